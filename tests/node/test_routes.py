"""Which links an event goes out on: the forwarding rules as a table."""

from __future__ import annotations

import pytest

from node.interest import Interest
from node.routes import Routes
from node.turn import LinkKey
from tests.node.junction import routes_of


@pytest.mark.parametrize(
    ("origin", "source", "onward"),
    [
        ("me.1", None, {"p", "q", "l", "m"}),  # from where it entered to every link that wants it
        ("l.1", "l", {"p", "q", "m"}),  # from a leaf to all the others, never back
        ("p.1", "p", {"l", "m"}),  # from a peer to leaves only
        ("x.1", "p", {"l", "m"}),  # also what that peer has from elsewhere
        ("m.1", "p", {"l"}),  # never to the member where it began
    ],
)
def test_an_event_goes(origin: str, source: str | None, onward: set[str]) -> None:
    assert set(routes_of().onward("A", origin, source)) == onward


def test_a_leaf_passes_nothing_on() -> None:
    routes = routes_of(leaf=True)
    assert routes.onward("A", "p.1", "p") == ()
    assert set(routes.onward("A", "me.1", None)) == {"p", "q", "l", "m"}


def test_an_event_goes_to_nobody_who_does_not_want_it() -> None:
    assert routes_of({"p": ("B",), "l": ()}).onward("A", "me.1", None) == ()


def test_a_link_that_is_gone_is_no_way_in_or_out() -> None:
    routes = routes_of()
    routes.down("l")
    assert set(routes.onward("A", "p.1", "p")) == {"m"}
    assert routes.onward("A", "l.1", "l") == ()


def test_what_comes_from_a_member_goes_to_whom_it_is_carried_for() -> None:
    routes = routes_of()
    routes.carry("q", ["p"])
    assert set(routes.onward("A", "p.1", "p")) == {"q", "l", "m"}
    assert set(routes.onward("A", "q.1", "q")) == {"l", "m"}
    routes.carry("q", [])
    assert set(routes.onward("A", "p.1", "p")) == {"l", "m"}


def test_what_a_leaf_alone_wants_is_no_reason_to_send_its_events_to_its_other_peer() -> None:
    interest: Interest[LinkKey] = Interest()
    routes = Routes("me", False, interest)
    routes.up("l", "l", True)
    routes.up("p", "p", False)
    interest.announced("p", {"l": ("A",)})
    assert routes.onward("A", "l.1", "l") == ()
    assert routes.onward("A", "me.1", None) == ("p",)


def test_an_event_that_took_a_detour_to_this_node_takes_no_second_one() -> None:
    routes = routes_of()
    routes.carry("q", ["p"])
    assert set(routes.onward("A", "far.1", "p")) == {"q", "l", "m"}
    routes.hear("p", {"p.1", "far.1"}, detoured={"far.1"})
    assert set(routes.onward("A", "far.1", "p")) == {"l", "m"}
    assert set(routes.onward("A", "p.1", "p")) == {"q", "l", "m"}


def test_what_somebody_wants_for_others_alone_is_sent_to_it_by_this_node_and_its_leaves() -> None:
    routes = routes_of({"p": (), "q": (), "l": ()})
    routes.carry("q", ["p"], detoured=["far"])
    routes._interest.announced("q", {"far": ("A",)})
    routes.changed()
    assert routes.onward("A", "me.1", None) == routes.onward("A", "l.1", "l") == ("q",)
    assert routes.onward("A", "p.1", "p") == ()
