"""Which links an event goes out on, and what each link is told: the forwarding rules as a table."""

from __future__ import annotations

import pytest

from node.interest import Interest
from node.routes import Routes
from node.turn import LinkKey

EVERYBODY = {"p": ("A",), "q": ("A",), "l": ("A",), "m": ("A",)}


def routes_of(wanted: dict[str, tuple[str, ...]] = EVERYBODY, *, leaf: bool = False) -> Routes:
    """Node `me` with the peers p and q and the leaves l and m, who want what `wanted` says."""
    interest: Interest[LinkKey] = Interest()
    routes = Routes("me", leaf, interest)
    for name, patterns in wanted.items():
        routes.up(name, name, name in "lm")
        interest.announced(name, {name: patterns})
    return routes


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


def test_a_peer_is_told_of_this_node_its_leaves_and_whom_it_is_carried_for_each_by_name() -> None:
    routes = routes_of({"p": ("P",), "q": ("Q",), "l": ("L",), "m": ()})
    routes._interest.want("HERE")
    assert routes.lists_for("p") == {"me": ("HERE",), "l": ("L",)}
    routes.carry("q", ["p"])
    assert routes.lists_for("p") == {"me": ("HERE",), "l": ("L",), "q": ("Q",)}


def test_a_leaf_is_told_the_union_of_what_is_wanted_elsewhere() -> None:
    routes = routes_of({"p": ("P",), "q": ("Q",), "l": ("L",), "m": ("M", "P")})
    routes._interest.want("HERE")
    assert routes.lists_for("l") == {"me": ("HERE", "M", "P", "Q")}


def test_a_leaf_tells_what_is_wanted_here_and_nothing_else() -> None:
    routes = routes_of(leaf=True)
    routes._interest.want("HERE")
    assert routes.lists_for("p") == {"me": ("HERE",)}


def test_a_node_speaks_on_a_link_for_the_origins_whose_events_it_would_send_there() -> None:
    routes = routes_of()
    for link, origins in {"p": {"p.1", "far.1"}, "q": {"q.1"}, "l": {"l.1"}}.items():
        routes.heard.put(link, origins)
    assert routes.speaks("q") == {"l.1"}
    assert routes.speaks("m") == {"p.1", "far.1", "q.1", "l.1"}
    routes.carry("q", ["p"])
    assert routes.speaks("q") == {"l.1", "p.1", "far.1"}


def test_how_far_a_stream_reaches_is_told_where_its_events_go() -> None:
    routes = routes_of()
    for link, origins in {"p": {"p.1"}, "l": {"l.1"}}.items():
        routes.heard.put(link, origins)
    assert set(routes.told_of("A", "me.1")) == {"p", "q", "l", "m"}
    assert set(routes.told_of("A", "p.1")) == {"l", "m"}
    assert set(routes.told_of("A", "l.1")) == {"p", "q", "m"}
    assert routes.told_of("A", "unheard.1") == ()


def test_what_reaches_a_peer_by_a_detour_is_marked_and_goes_on_from_there_to_leaves_only() -> None:
    routes = routes_of({"p": (), "q": (), "l": ("L",)})
    routes.carry("q", ["p"], detoured=["far", "both"])
    routes._interest.announced("q", {"q": ("Q",), "far": ("FAR",), "both": ("BOTH",)})
    assert routes.lists_for("p") == {"l": ("L",), "q": ("Q",)}
    assert routes.detoured_for("p") == ("q",)
    assert routes.lists_for("l") == {"me": ("BOTH", "FAR", "Q")}
    assert (routes.wants("Q"), routes.wants("FAR")) == (True, False)
    assert routes.detoured_for("l") == routes.detoured_for("q") == ()


def test_a_leaf_of_this_node_takes_no_detour_though_somebody_who_is_carried_has_it_too() -> None:
    routes = routes_of({"p": (), "q": (), "l": ("L",)})
    routes.carry("q", ["p"])
    routes._interest.announced("q", {"q": ("Q",), "l": ("L",), "p": ("P",), "its": ("I",)})
    assert routes.detoured_for("p") == ("its", "q")
    for link, origins in {"p": {"p.1", "l.1", "far.1"}, "l": {"l.1"}}.items():
        routes.hear(link, origins)
    assert routes.detours("q", {"me.1", *routes.speaks("q")}) == {"p.1", "far.1"}
    assert routes.detours("p", {"me.1", *routes.speaks("p")}) == set()


def test_an_event_that_took_a_detour_to_this_node_takes_no_second_one() -> None:
    routes = routes_of()
    routes.carry("q", ["p"])
    assert set(routes.onward("A", "far.1", "p")) == {"q", "l", "m"}
    routes.hear("p", {"p.1", "far.1"}, detoured={"far.1"})
    assert set(routes.onward("A", "far.1", "p")) == {"l", "m"}
    assert set(routes.onward("A", "p.1", "p")) == {"q", "l", "m"}
    assert (routes.speaks("q"), routes.speaks("m")) == ({"p.1"}, {"p.1", "far.1"})
    assert (routes.way("q", "far.1"), routes.way("q", "p.1"), routes.way("m", "far.1")) == (None, "p", "p")


def test_what_somebody_wants_for_others_alone_is_sent_to_it_by_this_node_and_its_leaves() -> None:
    routes = routes_of({"p": (), "q": (), "l": ()})
    routes.carry("q", ["p"], detoured=["far"])
    routes._interest.announced("q", {"far": ("A",)})
    routes.changed()
    assert routes.onward("A", "me.1", None) == routes.onward("A", "l.1", "l") == ("q",)
    assert routes.onward("A", "p.1", "p") == ()
