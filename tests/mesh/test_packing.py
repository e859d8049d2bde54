"""What a publisher says is packed so that it reads back as it was, or refused with the place and the way out."""

import math
from collections import OrderedDict, UserDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InvalidOption, NotSerializable, PayloadTooLarge
from mesh.limits import META_BYTES_MAX, PAYLOAD_BYTES_MAX
from mesh.packing import pack_meta, pack_payload

NAN, INF = math.nan, math.inf

finite = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(allow_nan=False, allow_infinity=False)
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def objects(leaves):
    values = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
    )
    return st.dictionaries(keys, values, max_size=3)


class Word(str):
    pass


class Colour(Enum):
    RED = "red"
    NOTHING = NAN


class Size(IntEnum):
    BIG = 9


class Kind(StrEnum):
    DONE = "TRAINING_COMPLETED"


@dataclass
class Reading:
    name: str
    degrees: float


@dataclass(slots=True)
class Slim:
    degrees: float


def nested(depth: int, value: object = 1) -> dict[str, object]:
    for _ in range(depth - 1):
        value = [value]
    return {"a": value}


class TestPackPayload:
    @pytest.mark.parametrize(
        ("payload", "body"),
        [
            (None, b"{}"),
            ({}, b"{}"),
            ({"b": 1, "a": {"d": 2, "c": 3}}, b'{"a":{"c":3,"d":2},"b":1}'),
            ({"a": [1.5, True, None, "x"]}, b'{"a":[1.5,true,null,"x"]}'),
            ({"a": (1, 2)}, b'{"a":[1,2]}'),
            ({"ö": "größe"}, '{"ö":"größe"}'.encode()),
            ({"a": (1 << 64) - 1, "b": -(1 << 63)}, b'{"a":18446744073709551615,"b":-9223372036854775808}'),
            ({"a": Colour.RED, "b": Size.BIG, "c": Kind.DONE}, b'{"a":"red","b":9,"c":"TRAINING_COMPLETED"}'),
            ({"a": Word("x")}, b'{"a":"x"}'),
            (OrderedDict(b=1, a=OrderedDict(d=1, c=2)), b'{"a":{"c":2,"d":1},"b":1}'),
            (defaultdict(list, b=[1], a=[]), b'{"a":[],"b":[1]}'),
            (MappingProxyType({"b": 1, "a": 2}), b'{"a":2,"b":1}'),
            (UserDict(b=1, a=2), b'{"a":2,"b":1}'),
            ({"a": Reading("x", 1.5)}, b'{"a":{"name":"x","degrees":1.5}}'),
            ({"a": datetime(2024, 1, 2, tzinfo=UTC)}, b'{"a":"2024-01-02T00:00:00+00:00"}'),
            ({"a": "null", "nullable": 1.5}, b'{"a":"null","nullable":1.5}'),
        ],
    )
    def test_a_payload_is_one_json_object_with_sorted_keys(self, payload, body):
        assert pack_payload(payload) == body

    @pytest.mark.parametrize("payload", [[], [1], "text", 7, 1.5, True, b"{}", {1, 2}, Word("a"), object()])
    def test_what_is_no_object_is_refused_with_the_way_out(self, payload):
        name = type(payload).__name__
        with pytest.raises(NotSerializable, match=rf"^payload is a {name}, not a JSON object; wrap it"):
            pack_payload(payload)

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            ({"a": 1 << 64}, "64-bit"),
            ({"a": -(1 << 63) - 1}, "64-bit"),
            ({1: 2}, "key must be str"),
            ({"a": {None: 2}}, "key must be str"),
            ({Word("a"): 2}, "key must be str"),
            ({Kind.DONE: 2}, "key must be str"),
            ({"a": "\ud800"}, "surrogates"),
            ({"\ud800": 1, "b": 1}, "surrogates"),
            ({"a": b"x"}, "bytes"),
            ({"a": {1}}, "set"),
            ({"a": object()}, "object"),
            ({"a": UserDict(b=1)}, "UserDict"),
        ],
    )
    def test_a_value_json_cannot_carry_is_refused_with_its_reason(self, payload, reason):
        with pytest.raises(NotSerializable, match=rf"^payload is no JSON: .*{reason}"):
            pack_payload(payload)

    @pytest.mark.parametrize(
        ("payload", "place"),
        [
            ({"a": NAN}, "payload['a'] is nan"),
            ({"a": INF}, "payload['a'] is inf"),
            ({"a": {"b": [1, (None, -INF)]}}, "payload['a']['b'][1][1] is -inf"),
            (UserDict(a=NAN), "payload['a'] is nan"),
            ({"a": OrderedDict(b=NAN)}, "payload['a']['b'] is nan"),
            ({"a": Colour.NOTHING}, "payload['a']['value'] is nan"),
            ({"a": [Reading("x", NAN)]}, "payload['a'][0]['degrees'] is nan"),
            ({"a": Slim(INF)}, "payload['a']['degrees'] is inf"),
            (nested(200, NAN), "payload['a']" + "[0]" * 199 + " is nan"),
        ],
    )
    def test_a_float_that_would_silently_become_null_is_refused_with_its_place(self, payload, place):
        with pytest.raises(NotSerializable) as caught:
            pack_payload(payload)
        assert str(caught.value) == f"{place}, which JSON cannot carry; use null or a string"

    @pytest.mark.parametrize("payload", [{"a": None}, {"a": [None, 1.5, Reading("null", 0.0)]}, {"null": 1.5}])
    def test_a_null_the_user_wrote_is_none_of_our_business(self, payload):
        assert b"null" in pack_payload(payload)

    def test_an_object_of_the_largest_size_fits_and_one_byte_more_does_not(self):
        room = PAYLOAD_BYTES_MAX - len(b'{"a":""}')
        assert len(pack_payload({"a": "x" * room})) == PAYLOAD_BYTES_MAX
        with pytest.raises(PayloadTooLarge, match=rf"^payload has {PAYLOAD_BYTES_MAX + 1} bytes, at most"):
            pack_payload({"a": "x" * (room + 1)})

    @pytest.mark.parametrize("depth", [255, 1_000, 100_000])
    def test_nesting_without_end_is_refused_not_a_crash(self, depth):
        with pytest.raises(NotSerializable, match="Recursion limit"):
            pack_payload(nested(depth))

    def test_a_payload_that_holds_itself_is_refused(self):
        payload: dict[str, object] = {}
        payload["me"] = payload
        with pytest.raises(NotSerializable, match="Recursion limit"):
            pack_payload(payload)

    def test_the_deepest_payload_that_can_be_packed_can_be_read(self):
        payload = nested(254, None)
        assert orjson.loads(pack_payload(payload)) == payload

    @given(objects(finite | keys))
    def test_any_object_reads_back_as_it_was(self, payload):
        assert orjson.loads(pack_payload(payload)) == payload

    @given(objects(finite))
    def test_the_order_of_keys_does_not_change_the_bytes(self, payload):
        turned = dict(reversed(payload.items()))
        assert pack_payload(turned) == pack_payload(payload)

    @given(objects(st.floats() | st.none()))
    def test_a_payload_is_refused_exactly_when_a_float_in_it_is_not_finite(self, payload):
        lossy = not_finite(payload)
        try:
            pack_payload(payload)
        except NotSerializable:
            assert lossy
        else:
            assert not lossy


def not_finite(value):
    if isinstance(value, float):
        return not math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(not_finite, inner))


class TestPackMeta:
    @pytest.mark.parametrize(
        ("source", "trace", "dedup", "meta"),
        [
            ("", None, True, b""),
            ("trainer", None, True, b'{"source":"trainer"}'),
            ("", {}, True, b'{"trace":{}}'),
            ("", None, False, b'{"dedup":false}'),
            ("t", UserDict(b=1, a=None), False, b'{"dedup":false,"source":"t","trace":{"a":null,"b":1}}'),
        ],
    )
    def test_what_stands_beside_a_payload_takes_no_byte_when_there_is_nothing_to_say(self, source, trace, dedup, meta):
        assert pack_meta(source, trace, dedup) == meta

    def test_what_stands_for_the_content_is_written_in_hex(self):
        assert pack_meta("", None, True, bytes(range(16))) == b'{"dedup_key":"000102030405060708090a0b0c0d0e0f"}'

    @pytest.mark.parametrize("key", [b"", b"x" * 15, b"x" * 17])
    def test_a_key_of_another_length_is_refused(self, key):
        with pytest.raises(InvalidOption, match=rf"^dedup_key has {len(key)} bytes; give 16"):
            pack_meta("", None, True, key)

    @pytest.mark.parametrize(
        ("source", "trace", "message"),
        [
            ("\ud800", None, "source or trace is no JSON"),
            ("", {"a": {1}}, "source or trace is no JSON"),
            ("", {1: 1}, "source or trace is no JSON"),
            ("", "abc", "trace is a str, not a JSON object"),
            ("", [1], "trace is a list, not a JSON object"),
            ("", {"a": [NAN]}, r"trace\['a'\]\[0\] is nan"),
        ],
    )
    def test_a_trace_is_held_to_what_a_payload_is(self, source, trace, message):
        with pytest.raises(NotSerializable, match=f"^{message}"):
            pack_meta(source, trace)

    def test_it_stays_small_beside_a_payload(self):
        room = META_BYTES_MAX - len(b'{"source":""}')
        assert len(pack_meta("x" * room, None)) == META_BYTES_MAX
        with pytest.raises(PayloadTooLarge, match=rf"^source and trace have {META_BYTES_MAX + 1} bytes, at most"):
            pack_meta("x" * (room + 1), None)
