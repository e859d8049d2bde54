"""What each link is told is wanted, and for which origins a node speaks there."""

from __future__ import annotations

from node.routes import Routes
from node.speaking import Speaking
from tests.node.junction import EVERYBODY, routes_of


def speaking_of(wanted: dict[str, tuple[str, ...]] = EVERYBODY, *, leaf: bool = False) -> tuple[Routes, Speaking]:
    """The routes of `me`, and what it says by them."""
    routes = routes_of(wanted, leaf=leaf)
    return routes, Speaking(routes, routes._interest)


def test_a_peer_is_told_of_this_node_its_leaves_and_whom_it_is_carried_for_each_by_name() -> None:
    routes, speaking = speaking_of({"p": ("P",), "q": ("Q",), "l": ("L",), "m": ()})
    routes._interest.want("HERE")
    assert speaking.lists_for("p") == {"me": ("HERE",), "l": ("L",)}
    routes.carry("q", ["p"])
    assert speaking.lists_for("p") == {"me": ("HERE",), "l": ("L",), "q": ("Q",)}


def test_a_leaf_is_told_the_union_of_what_is_wanted_elsewhere() -> None:
    routes, speaking = speaking_of({"p": ("P",), "q": ("Q",), "l": ("L",), "m": ("M", "P")})
    routes._interest.want("HERE")
    assert speaking.lists_for("l") == {"me": ("HERE", "M", "P", "Q")}


def test_a_leaf_tells_what_is_wanted_here_and_nothing_else() -> None:
    routes, speaking = speaking_of(leaf=True)
    routes._interest.want("HERE")
    assert speaking.lists_for("p") == {"me": ("HERE",)}


def test_a_node_speaks_on_a_link_for_the_origins_whose_events_it_would_send_there() -> None:
    routes, speaking = speaking_of()
    for link, origins in {"p": {"p.1", "far.1"}, "q": {"q.1"}, "l": {"l.1"}}.items():
        routes.heard.put(link, origins)
    assert speaking.speaks("q") == {"l.1"}
    assert speaking.speaks("m") == {"p.1", "far.1", "q.1", "l.1"}
    routes.carry("q", ["p"])
    assert speaking.speaks("q") == {"l.1", "p.1", "far.1"}


def test_how_far_a_stream_reaches_is_told_where_its_events_go() -> None:
    routes, speaking = speaking_of()
    for link, origins in {"p": {"p.1"}, "l": {"l.1"}}.items():
        routes.heard.put(link, origins)
    assert set(speaking.told_of("A", "me.1")) == {"p", "q", "l", "m"}
    assert set(speaking.told_of("A", "p.1")) == {"l", "m"}
    assert set(speaking.told_of("A", "l.1")) == {"p", "q", "m"}
    assert speaking.told_of("A", "unheard.1") == ()


def test_what_reaches_a_peer_by_a_detour_is_marked_and_goes_on_from_there_to_leaves_only() -> None:
    routes, speaking = speaking_of({"p": (), "q": (), "l": ("L",)})
    routes.carry("q", ["p"], detoured=["far", "both"])
    routes._interest.announced("q", {"q": ("Q",), "far": ("FAR",), "both": ("BOTH",)})
    assert speaking.lists_for("p") == {"l": ("L",), "q": ("Q",)}
    assert speaking.detoured_for("p") == ("q",)
    assert speaking.lists_for("l") == {"me": ("BOTH", "FAR", "Q")}
    assert (speaking.wants("Q"), speaking.wants("FAR")) == (True, False)
    assert speaking.detoured_for("l") == speaking.detoured_for("q") == ()


def test_a_leaf_of_this_node_takes_no_detour_though_somebody_who_is_carried_has_it_too() -> None:
    routes, speaking = speaking_of({"p": (), "q": (), "l": ("L",)})
    routes.carry("q", ["p"])
    routes._interest.announced("q", {"q": ("Q",), "l": ("L",), "p": ("P",), "its": ("I",)})
    assert speaking.detoured_for("p") == ("its", "q")
    for link, origins in {"p": {"p.1", "l.1", "far.1"}, "l": {"l.1"}}.items():
        routes.hear(link, origins)
    assert speaking.detours("q", {"me.1", *speaking.speaks("q")}) == {"p.1", "far.1"}
    assert speaking.detours("p", {"me.1", *speaking.speaks("p")}) == set()


def test_an_origin_that_took_a_detour_to_this_node_is_spoken_for_to_leaves_alone() -> None:
    routes, speaking = speaking_of()
    routes.carry("q", ["p"])
    routes.hear("p", {"p.1", "far.1"}, detoured={"far.1"})
    assert (speaking.speaks("q"), speaking.speaks("m")) == ({"p.1"}, {"p.1", "far.1"})
    assert (speaking.way("q", "far.1"), speaking.way("q", "p.1"), speaking.way("m", "far.1")) == (None, "p", "p")
