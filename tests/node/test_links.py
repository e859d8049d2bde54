"""Two `Links` back to back over a wire in memory, under virtual time."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MalformedFrame
from node.links import Links
from node.turn import Turn
from tests.node.wire import LinksAlone, Wire
from tests.node.workbench import START, after, control, sent

FRAME = b"A\x00 whatever: frames are not looked at here"


def pair(a: str = "a", b: str = "b") -> tuple[LinksAlone, LinksAlone, Wire]:
    first, second = LinksAlone(a, patterns=("A",)), LinksAlone(b, patterns=("B",))
    return first, second, Wire(first, second)


def only_link(machine: LinksAlone) -> tuple[str, str, str]:
    (link,) = machine.links.links.values()
    return link.state, link.name, link.origin


def check_agreed(wire: Wire, a: LinksAlone, b: LinksAlone) -> None:
    """Exactly one connection is used, by both, and each knows what the other wants."""
    at_a, at_b = wire.used("a"), wire.used("b")
    assert len(at_a) == len(at_b) == 1
    assert at_a[0] == (at_b[0][0], not at_b[0][1])
    assert list(a.wanted.values()) == [["B"]]
    assert list(b.wanted.values()) == [["A"]]
    assert (set(a.wanted), set(b.wanted)) == (a.links.up(), b.links.up())


# ── greeting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dialled_link_comes_up_on_both_sides_with_name_and_origin() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    assert only_link(a) == ("up", "b", "b.1")
    assert only_link(b) == ("up", "a", "a.1")
    check_agreed(wire, a, b)


def test_nothing_is_used_before_both_have_greeted() -> None:
    a, b, wire = pair()
    connection = wire.dial("a", "tcp://b")
    assert (a.links.up(), only_link(a)[0]) == (set(), "greeting")
    wire.deliver(connection, to_acceptor=True)
    assert (a.links.up(), b.links.up()) == (set(), {connection.routing_id})


def test_an_unanswered_greeting_is_sent_again_after_two_seconds() -> None:
    a, _, wire = pair()
    connection = wire.dial("a", "tcp://b")
    connection.to_acceptor.clear()
    a.turn(later_s=1.9)
    assert not connection.to_acceptor
    assert [each["t"] for each in sent(a.turn(later_s=1.2), "tcp://b")] == ["hello"]


def test_another_protocol_is_refused_with_both_versions_named() -> None:
    _, b, _ = pair()
    hello = {"t": "hello", "protocol": 9, "name": "a", "origin": "a.1"}
    (answer,) = sent(b.turn(links=[(b"c1", control(hello))]), b"c1")
    assert answer["t"] == "refuse"
    assert "protocol 9, this node 1" in answer["reason"]
    assert b.links.links == {}


@pytest.mark.parametrize("wrong", [{"name": 5}, {"origin": None}, {"name": None}])
def test_a_greeting_without_name_or_origin_is_refused(wrong: dict[str, object]) -> None:
    _, b, _ = pair()
    hello = {"t": "hello", "protocol": 1, "name": "a", "origin": "a.1", **wrong}
    assert [each["t"] for each in sent(b.turn(links=[(b"c1", control(hello))]), b"c1")] == ["refuse"]
    assert b.links.links == {}


def test_dialling_oneself_is_refused_and_says_so() -> None:
    a = LinksAlone("a")
    wire = Wire(a)
    wire.dial("a", "tcp://a")
    wire.settle()
    (link,) = a.links.links.values()
    assert (link.state, link.key) == ("refused", "tcp://a")
    assert "this node itself" in link.reason


def test_two_nodes_of_one_name_refuse_each_other_and_name_it() -> None:
    first, second = LinksAlone("a", "1"), LinksAlone("a", "2")
    wire = Wire(first)
    wire.machines["other"], wire.addresses["tcp://other"] = second, "other"
    wire.dial("a", "tcp://other")
    wire.settle()
    assert (first.links.up(), second.links.up()) == (set(), set())
    (link,) = first.links.links.values()
    assert link.state == "refused"
    assert "two nodes are called 'a'" in link.reason


def test_a_refused_link_is_not_asked_again_until_its_next_connection() -> None:
    a = LinksAlone("a")
    wire = Wire(a)
    wire.dial("a", "tcp://a")
    wire.run(30)
    (link,) = a.links.links.values()
    assert (link.state, wire.under_way) == ("refused", 0)


def test_no_more_than_1024_accepted_connections_are_remembered() -> None:
    b = LinksAlone("b")
    for number in range(1030):
        hello = {"t": "hello", "protocol": 1, "name": f"n{number}", "origin": f"n{number}.1"}
        b.turn(links=[(b"c%d" % number, control(hello))], later_s=0)
    assert len(b.links.links) == 1024


# ── frames and control ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_goes_through_a_link_that_is_up() -> None:
    a, b, wire = pair()
    connection = wire.dial("a", "tcp://b")
    wire.settle()
    b.turn(links=[(connection.routing_id, FRAME)])
    a.turn(links=[("tcp://b", FRAME)])
    assert (a.frames, b.frames) == ([FRAME], [FRAME])


@pytest.mark.parametrize("data", [FRAME, control({"t": "ping", "at": 1}), control({"t": "interest"})])
def test_a_stranger_is_asked_who_it_is_and_not_listened_to(data: bytes) -> None:
    b = LinksAlone("b")
    turn = b.turn(links=[(b"c9", data)])
    assert sent(turn, b"c9") == [{"t": "who"}]
    assert (b.frames, b.heard, b.links.links, b.links.strangers) == ([], [], {}, 1)


def test_a_frame_during_the_greeting_is_not_taken_and_does_not_disturb_it() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    turn = a.turn(links=[("tcp://b", FRAME)])
    assert (a.frames, sent(turn, "tcp://b")) == ([], [])
    wire.settle()
    check_agreed(wire, a, b)


def test_unknown_control_is_passed_over_and_garbage_is_malformed() -> None:
    a, _, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    a.heard.clear()
    assert sent(a.turn(links=[("tcp://b", control({"t": "tomorrow"})), ("tcp://b", control({}))]), "tcp://b") == []
    assert (a.heard, only_link(a)[0]) == ([], "up")
    for data in (b"\x00", b"\x00{", b"\x00[]"):
        with pytest.raises(MalformedFrame):
            a.turn(links=[("tcp://b", data)])


def test_a_ping_measures_round_trip_and_skew() -> None:
    links = Links(LinksAlone("a").links.me, 1.0, 10.0)
    links.dial(["x"])
    links.connected("x", Turn(START))
    hello = {"t": "hello", "answer": True, "protocol": 1, "name": "b", "origin": "b.1"}
    links.receive("x", control(hello), Turn(START))
    later = after(START, 0.2)
    pong = {"t": "pong", "at": START.mono_us, "wall_us": START.wall_us + 100_000 + 7_000_000}
    links.receive("x", control(pong), Turn(later))
    assert (links.links["x"].rtt_us, links.links["x"].skew_us) == (200_000, 7_000_000)


@given(
    st.lists(
        st.binary(max_size=20)
        | st.recursive(
            st.none() | st.integers() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["t", "at", "protocol", "name", "origin", "wall_us", "hello", "reason"]),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=8,
        ).map(
            lambda value: (
                b"\x00" + orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS) if not _large(value) else b"\x00"
            )
        ),
        max_size=8,
    )
)
def test_no_message_from_a_stranger_brings_anything_but_a_clean_error(messages: list[bytes]) -> None:
    b = LinksAlone("b")
    for data in messages:
        try:
            b.turn(links=[(b"c1", data)])
        except (MalformedFrame, KeyError, TypeError, ValueError, OverflowError):
            pass
    assert b.frames == []


def _large(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) > 2**62
    if isinstance(value, list):
        return any(map(_large, value))
    return isinstance(value, dict) and any(map(_large, value.values()))


def test_a_link_is_pinged_every_heartbeat_and_measured_every_fifth() -> None:
    a, _, wire = pair()
    connection = wire.dial("a", "tcp://b")
    wire.settle()
    wire.run(2.0)
    turns = [a.turn(later_s=1.0) for _ in range(10)]
    pings = [each for turn in turns for each in sent(turn, connection.address) if each["t"] == "ping"]
    assert len(pings) == 10
    assert sum(each["at"] is not None for each in pings) == 2


def test_nodes_whose_clocks_agree_ping_at_the_same_moment() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    b.now = after(b.now, 0.3)
    at_a, at_b = (machine.links.idle_ms(machine.now, 10_000) + machine.now.wall_us // 1000 for machine in (a, b))
    assert abs(at_a - at_b) <= 1
