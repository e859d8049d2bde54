"""Several connections to one peer: which one is used, and that both ends use the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.node.wire import check_agreed, pair

FRAME = b"A\x00 whatever: frames are not looked at here"


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
