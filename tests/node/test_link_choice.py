"""Several connections to one peer, restarts and silence: which connection is used, and that both ends use the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.turn import Turn
from tests.node.wire import LinksAlone, Wire
from tests.node.workbench import control, sent

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


# ── two connections ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_both_dial_and_the_one_dialled_by_the_lesser_name_is_used() -> None:
    a, b, wire = pair()
    wire.dial("b", "tcp://a")
    wire.settle()
    wire.dial("a", "tcp://b")
    wire.settle()
    assert wire.used("a") == [("c2", True)]
    check_agreed(wire, a, b)
    assert sorted(link.state for link in a.links.links.values()) == ["spare", "up"]


@settings(max_examples=200)
@given(
    st.permutations([("a", "tcp://b"), ("b", "tcp://a"), ("a", "tcp://b-again")]),
    st.lists(st.integers(0, 5), max_size=60),
)
def test_both_dial_at_once_and_agree_whatever_the_order_of_arrival(
    calls: list[tuple[str, str]], order: list[int]
) -> None:
    a, b, wire = pair()
    wire.addresses["tcp://b-again"] = "b"
    for step in order:
        if step < 2 * len(wire.connections):
            wire.deliver(wire.connections[step // 2], to_acceptor=bool(step % 2))
        elif len(wire.connections) < len(calls):
            wire.dial(*calls[len(wire.connections)])
    for call in calls[len(wire.connections) :]:
        wire.dial(*call)
    wire.settle()
    wire.run(4)
    check_agreed(wire, a, b)


def test_what_was_under_way_when_the_link_changed_still_arrives() -> None:
    a, b, wire = pair()
    first = wire.dial("b", "tcp://a")
    wire.settle()
    first.to_dialler.append(FRAME)
    wire.dial("a", "tcp://b")
    while len(wire.connections) == 2 and wire.used("b") != [("c2", False)]:
        wire.deliver(wire.connections[1], to_acceptor=True)
        wire.deliver(wire.connections[1], to_acceptor=False)
    wire.settle()
    assert b.frames == [FRAME]
    check_agreed(wire, a, b)


@pytest.mark.parametrize("silently", [False, True])
def test_the_spare_takes_over_when_the_used_connection_goes(silently: bool) -> None:
    a, b, wire = pair()
    wire.dial("b", "tcp://a")
    used = wire.dial("a", "tcp://b")
    wire.settle()
    assert wire.used("a") == [("c2", True)]
    if silently:
        used.deaf = True
        wire.run(16)
    else:
        wire.cut(used)
        wire.run(4)
    assert wire.used("a") == [("c1", False)]
    check_agreed(wire, a, b)


def test_who_notices_first_takes_the_spare_and_the_other_end_follows() -> None:
    a, b, wire = pair()
    wire.dial("b", "tcp://a")
    used = wire.dial("a", "tcp://b")
    wire.settle()
    wire.connections.remove(used)
    wire.tell(b, link_events=[(used.routing_id, "disconnected", "gone")])
    wire.settle()
    check_agreed(wire, a, b)
    wire.tell(a, link_events=[("tcp://b", "disconnected", "gone")])
    wire.settle()
    check_agreed(wire, a, b)


def test_a_link_that_changes_its_connection_is_never_down() -> None:
    a, b, wire = pair()
    wire.dial("b", "tcp://a")
    wire.settle()
    used = wire.dial("a", "tcp://b")
    wire.settle()
    wire.cut(used)
    wire.run(4)
    wire.connect("a", "tcp://b")
    wire.run(4)
    check_agreed(wire, a, b)
    for machine in (a, b):
        assert [kind for kind, _ in machine.heard if kind in ("up", "down")] == ["up"]
        assert [kind for kind, _ in machine.heard].count("moved") >= 3


def test_a_greeting_repeated_on_a_link_that_is_up_takes_nothing_down() -> None:
    a, b, wire = pair()
    connection = wire.dial("a", "tcp://b")
    greeting = connection.to_acceptor[0]
    wire.settle()
    wire.tell(b, links=[(connection.routing_id, greeting)])
    wire.settle()
    check_agreed(wire, a, b)
    assert [kind for kind, _ in (*a.heard, *b.heard) if kind in ("up", "down")] == ["up", "up"]


def test_two_ends_that_use_different_connections_come_to_use_the_same() -> None:
    a, b, wire = pair()
    wire.dial("b", "tcp://a")
    wire.dial("a", "tcp://b")
    wire.settle()
    for link in b.links.links.values():
        link.state = "up" if link.state == "spare" else "spare"
    (b.wanted[b.links.up().pop()],) = (b.wanted.popitem()[1],)
    assert wire.used("a") != [(key, not dialled) for key, dialled in wire.used("b")]
    wire.run(6)
    check_agreed(wire, a, b)


def test_the_first_connection_is_used_again_when_it_is_back() -> None:
    a, b, wire = pair()
    wire.dial("b", "tcp://a")
    used = wire.dial("a", "tcp://b")
    wire.settle()
    wire.cut(used)
    wire.run(4)
    wire.connect("a", "tcp://b")
    wire.run(4)
    assert wire.used("a") == [("c3", True)]
    check_agreed(wire, a, b)


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


def test_a_peer_that_says_goodbye_has_left_and_is_not_called_again() -> None:
    a, b, wire = pair()
    wire.dial("a", "tcp://b")
    wire.settle()
    turn = Turn(b.now)
    b.links.goodbye(turn)
    wire.send(b, turn)
    wire.settle()
    (link,) = a.links.links.values()
    assert (link.state, link.reason, link.left) == ("down", "left", True)
    assert [each["t"] for each in sent(a.turn(later_s=30), "tcp://b")] == []


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
