"""Two `Links` back to back over a wire in memory, under virtual time."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MalformedFrame
from node.links import Links
from node.turn import Turn
from tests.node.wire import LinksAlone, Wire, check_agreed, only_link, pair
from tests.node.workbench import START, after, control, sent

FRAME = b"A\x00 whatever: frames are not looked at here"


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


def test_a_mark_is_said_back_and_one_that_comes_back_is_for_the_queues() -> None:
    a, _, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    turn = a.turn(
        links=[("tcp://b", control({"t": "mark", "put": 700})), ("tcp://b", control({"t": "took", "put": 9}))]
    )
    assert (sent(turn, "tcp://b"), turn.took) == ([{"t": "took", "put": 700}], [("tcp://b", 9)])


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
    sign = (connection.address, control({"t": "ping", "at": None}))
    turns = [a.turn(links=[sign], later_s=1.0) for _ in range(10)]
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


# ── restarts, silence, goodbye ───────────────────────────────────────────────────────────────────────────────────────


def test_the_acceptor_restarts_and_the_dialler_greets_again() -> None:
    a, _, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    again = LinksAlone("b", "2", ("B",))
    wire.replace(again)
    assert (only_link(a)[0], a.wanted) == ("down", {})
    wire.connect("a", "tcp://b")
    wire.settle()
    assert only_link(a) == ("up", "b", "b.2")
    check_agreed(wire, a, again)


def test_the_dialler_restarts_and_its_new_connection_replaces_the_old_one_at_once() -> None:
    _, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    again = LinksAlone("a", patterns=("A",))
    wire.replace(again)
    wire.dial("a", "tcp://b")
    wire.settle()
    assert b.links.up() == {b"c2"}
    check_agreed(wire, again, b)
    wire.run(3)
    assert list(b.links.links) == [b"c2"]


def test_a_node_that_lost_its_disk_is_let_in_once_its_former_self_is_found_gone() -> None:
    _, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    again = LinksAlone("a", "2", ("A",))
    wire.replace(again)
    wire.dial("a", "tcp://b")
    wire.settle()
    assert (b.links.up(), only_link(again)[0]) == (set(), "refused")
    wire.run(3)
    check_agreed(wire, again, b)
    assert only_link(b) == ("up", "a", "a.2")


def test_a_greeting_that_comes_after_its_connection_is_gone_brings_no_link_up() -> None:
    a, b, wire = pair()
    first = wire.dial("a", "tcp://b")
    wire.deliver(first, to_acceptor=True)
    (answer, *_) = first.to_dialler
    wire.cut(first)
    wire.tell(a, links=[("tcp://b", answer)])
    assert (only_link(a)[0], a.heard) == ("connecting", [])
    wire.connect("a", "tcp://b")
    wire.settle()
    check_agreed(wire, a, b)
    assert [kind for kind, _ in a.heard if kind != "interest"] == ["up"]


@pytest.mark.parametrize("lost_disk", [False, True])
def test_a_greeting_of_a_former_life_that_is_read_after_the_next_connection_stands_is_followed_by_the_next_life(
    lost_disk: bool,
) -> None:
    a, _, wire = pair()
    first = wire.dial("a", "tcp://b")
    wire.deliver(first, to_acceptor=True)
    late = list(first.to_dialler)
    again = LinksAlone("b", "2" if lost_disk else "1", life="again", incarnation=0 if lost_disk else 1)
    wire.replace(again)
    wire.connect("a", "tcp://b")
    wire.tell(a, links=[("tcp://b", data) for data in late])
    assert only_link(a) == ("up", "b", "b.1")
    wire.run(8)
    assert only_link(a) == ("up", "b", again.links.me.origin)
    assert a.links.links["tcp://b"].life == "again"
    assert [kind for kind, _ in a.heard if kind in ("up", "down")] == ["up", "down", "up"]


def test_a_greeting_that_comes_after_its_connection_was_let_go_of_makes_no_link() -> None:
    a, _, wire = pair()
    first = wire.dial("a", "tcp://b")
    wire.deliver(first, to_acceptor=True)
    (answer, *_) = first.to_dialler
    a.links.undial(["tcp://b"], Turn(a.now))
    wire.tell(a, links=[("tcp://b", answer)])
    assert (a.links.links, a.heard) == ({}, [])


def test_a_silent_peer_is_down_after_ten_seconds_and_up_again_when_it_speaks() -> None:
    a, b, wire = pair()
    connection = wire.dial("a", "tcp://b")
    wire.settle()
    connection.deaf = True
    wire.run(9)
    assert (len(a.links.up()), len(b.links.up())) == (1, 1)
    wire.run(4)
    assert (a.links.up(), b.links.up(), b.links.links) == (set(), set(), {})
    assert a.links.links["tcp://b"].reason == "silent for 10 s"
    wire.run(60)
    connection.deaf = False
    wire.run(4)
    check_agreed(wire, a, b)
    assert a.links.links["tcp://b"].reason == ""


def test_a_peer_that_heard_nothing_begins_anew_and_learns_the_interest_again() -> None:
    a, b, wire = pair()
    connection = wire.dial("a", "tcp://b")
    wire.settle()
    a.turn(later_s=12)
    a.turn(later_s=3)
    assert (a.links.up(), a.wanted) == (set(), {})
    assert b.links.up() == {connection.routing_id}
    wire.run(4)
    check_agreed(wire, a, b)


def test_a_link_that_is_asked_who_it_is_greets_again() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    b.links.links.clear()
    b.wanted.clear()
    wire.run(3)
    check_agreed(wire, a, b)


def leaves(wire: Wire, node: LinksAlone) -> None:
    """A node says goodbye."""
    turn = Turn(node.now)
    node.links.goodbye(turn)
    wire.send(node, turn)
    wire.settle()


def test_a_peer_that_says_goodbye_has_left_and_is_not_called_again() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    leaves(wire, b)
    (link,) = a.links.links.values()
    assert (link.state, link.reason, link.left) == ("down", "left", True)
    assert [each["t"] for each in sent(a.turn(later_s=30), "tcp://b")] == []


@pytest.mark.parametrize("late", [False, True])
def test_a_peer_that_said_goodbye_and_is_back_is_greeted_until_it_answers(late: bool) -> None:
    a, b, wire = pair()
    first = wire.dial("a", "tcp://b")
    wire.settle()
    goodbye = Turn(b.now)
    b.links.goodbye(goodbye)
    if not late:
        wire.send(b, goodbye)
        wire.settle()
    wire.replace(LinksAlone("b", patterns=("B",)))
    assert first not in wire.connections
    again = wire.connect("a", "tcp://b")
    if late:  # it was under way when the connection ended
        wire.tell(a, links=[("tcp://b", data) for _, data in goodbye.passing_links])
    again.to_acceptor.clear()  # and the greeting is lost
    wire.run(5)
    assert only_link(a) == ("up", "b", "b.1")


def test_a_peer_that_said_goodbye_and_is_back_is_asked_again_though_it_refused_this_nodes_name() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    leaves(wire, b)
    b = LinksAlone("b", patterns=("B",))
    wire.replace(b)
    elder = {"t": "hello", "protocol": 1, "name": "a", "origin": "a.0", "age_s": 1000}
    b.turn(links=[(b"elder", control(elder))])
    wire.connect("a", "tcp://b")
    wire.settle()
    assert only_link(a)[0] == "refused"
    b.turn(link_events=[(b"elder", "disconnected", "the connection was closed")])
    wire.run(5)
    assert only_link(a) == ("up", "b", "b.1")


def test_peers_that_come_and_go_in_good_order_leave_one_trace_each() -> None:
    b = LinksAlone("b")
    for number in range(5):
        key = b"c%d" % number
        hello = {"t": "hello", "protocol": 1, "name": "a", "origin": f"a.{number}"}
        b.turn(links=[(key, control(hello)), (key, control({"t": "goodbye"}))])
        b.turn(later_s=60)
    assert [(link.key, link.left) for link in b.links.links.values()] == [(b"c4", True)]


def test_an_accepted_connection_that_was_refused_is_forgotten() -> None:
    b = LinksAlone("b")
    hello = {"t": "hello", "protocol": 1, "name": "a", "origin": "a.1"}
    b.turn(links=[(b"c1", control(hello)), (b"c1", control({"t": "refuse", "reason": "no"}))])
    assert b.links.links[b"c1"].reason == "no"
    b.turn(later_s=12)
    assert b.links.links == {}
