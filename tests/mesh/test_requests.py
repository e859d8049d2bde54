import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import requests
from mesh.errors import ConsumerHeld, InvalidTopic, MalformedFrame, RequestRefused
from mesh.limits import CONTROL_BYTES_MAX
from mesh.topic import check_topic

SESSION = bytes.fromhex("0123456789abcdef")


def test_a_directed_message_starts_with_what_its_session_subscribes():
    part = requests.pack_directed(SESSION, {"t": "goodbye"})
    assert requests.session_topic(SESSION) == b"!0123456789abcdef\0"
    assert part == b'!0123456789abcdef\0{"t":"goodbye"}'
    assert len(requests.session_topic(SESSION)) == requests.DIRECTED_HEAD_BYTES
    assert requests.unpack_directed(part) == {"t": "goodbye"}


def test_a_beacon_carries_origin_topic_and_head_of_each_stream():
    heads = [("n.1", "A", 7), ("n.1", "größe", (1 << 63) - 1)]
    assert requests.pack_beacon(heads).startswith(b"~heads\0")
    assert requests.unpack_beacon(requests.pack_beacon(heads)) == heads
    assert requests.unpack_beacon(requests.pack_beacon([])) == []


@pytest.mark.parametrize("text", [b"{}", b'{"heads":1}', b'{"heads":[1]}', b'{"heads":[["n","A"]]}', b"[]", b"", b"{"])
def test_a_beacon_of_another_shape_is_malformed(text):
    with pytest.raises(MalformedFrame) as caught:
        requests.unpack_beacon(requests.HEADS_TOPIC + text)
    assert caught.value.kind == "control"


@pytest.mark.parametrize("first", [requests.DIRECTED, requests.MARKER, requests.BEACON])
def test_no_topic_can_be_mistaken_for_a_message_of_the_system(first):
    with pytest.raises(InvalidTopic):
        check_topic(first.decode() + "a")


def test_a_marker_is_subscribed_under_its_own_first_byte():
    assert requests.marker_topic("17") == b"@17"


def test_a_position_is_eight_bytes_in_network_order():
    assert requests.POSITION.pack(258) == b"\0\0\0\0\0\0\1\2"


def test_fields_cannot_take_the_place_of_what_makes_a_request_or_reply():
    assert orjson.loads(requests.pack_request(3, "hello", {"id": 9, "do": "x", "pid": 1})) == {
        "id": 3,
        "do": "hello",
        "pid": 1,
    }
    assert orjson.loads(requests.pack_reply(3, {"id": 9, "ok": False, "a": 1})) == {"id": 3, "ok": True, "a": 1}


@pytest.mark.parametrize(("code", "kind"), [("held", ConsumerHeld), ("unknown", RequestRefused)])
def test_a_refusal_becomes_the_error_its_code_stands_for(code, kind):
    error = requests.refusal(requests.unpack_control(requests.pack_refusal(3, code, "a sentence")))
    assert (type(error), error.code, str(error)) == (kind, code, "a sentence")


def test_a_refusal_without_code_and_message_is_still_an_error():
    error = requests.refusal({"id": 1, "ok": False})
    assert (type(error), error.code, str(error)) == (RequestRefused, "refused", "the node refused without a reason")


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "it is nested so deep"),
        (b"[]", "a JSON list where an object is expected"),
        (b"null", "a JSON NoneType where an object is expected"),
        (b" " * (CONTROL_BYTES_MAX + 1), f"{CONTROL_BYTES_MAX + 1} bytes, at most {CONTROL_BYTES_MAX} are allowed"),
    ],
)
def test_what_is_no_control_message_is_malformed(part, detail):
    with pytest.raises(MalformedFrame) as caught:
        requests.unpack_control(part)
    assert caught.value.kind == "control"
    assert caught.value.detail.startswith(detail)


def test_a_message_that_holds_much_and_not_deep_is_one():
    many = {"rows": [[{}] for _ in range(1000)]}
    assert requests.unpack_control(orjson.dumps(many)) == many


@given(st.binary(max_size=40))
def test_random_bytes_are_a_json_object_or_malformed_and_nothing_else(part):
    try:
        message = requests.unpack_control(part)
    except MalformedFrame:
        return
    assert message == orjson.loads(part)
    assert isinstance(message, dict)
