"""Whom a node misses, and whom it asks to carry them."""

from __future__ import annotations

import pytest

from node.carrying import MISSED_S, Carrying
from node.routes import Neighbour
from node.turn import LinkKey
from tests.node.workbench import START, after

TWO: dict[LinkKey, Neighbour] = {"b": Neighbour("b", False), "c": Neighbour("c", False)}
LATER = after(START, MISSED_S)


def missing(*reached: tuple[str, set[str]]) -> Carrying:
    """A node `me` that has just noticed whom its neighbours reach."""
    carrying = Carrying("me")
    for link, names in reached:
        carrying.reach(link, 1, names, whole=True)
    assert carrying.choose(TWO, {}, START) == {}
    return carrying


def test_a_member_that_a_neighbour_reaches_and_this_node_does_not_is_carried_by_it_after_a_while() -> None:
    carrying = missing(("b", {"me", "c", "far"}))
    assert carrying.choose(TWO, {}, after(START, MISSED_S - 0.1)) == {}
    assert carrying.choose(TWO, {}, LATER) == {"b": ("far",)}


def test_who_is_linked_or_reached_by_nobody_is_not_missed() -> None:
    assert missing(("b", {"me", "c"}), ("c", {"me", "b"})).choose(TWO, {}, LATER) == {}


def test_one_neighbour_carries_and_the_same_as_long_as_it_can() -> None:
    carrying = missing(("b", {"far"}), ("c", {"far"}))
    (first,) = carrying.choose(TWO, {}, LATER)
    other = "c" if first == "b" else "b"
    assert carrying.choose(TWO, {other: ("far",)}, LATER) == {other: ("far",)}
    carrying.reach(other, 2, (), whole=False, lost=["far"])
    assert carrying.choose(TWO, {other: ("far",)}, LATER) == {first: ("far",)}


def test_a_link_that_is_back_needs_no_carrier() -> None:
    carrying = missing(("b", {"far"}))
    linked = {**TWO, "far": Neighbour("far", False)}
    assert carrying.choose(linked, {"b": ("far",)}, LATER) == {}


def test_many_who_miss_one_member_do_not_all_ask_the_same() -> None:
    chosen = set()
    for number in range(32):
        carrying = Carrying(f"n{number}")
        for link in TWO:
            carrying.reach(link, 1, {"far"}, whole=True)
        carrying.choose(TWO, {}, START)
        chosen |= set(carrying.choose(TWO, {}, LATER))
    assert chosen == {"b", "c"}


def test_what_a_neighbour_said_goes_with_its_link() -> None:
    carrying = missing(("b", {"far"}))
    carrying.forget("b")
    assert carrying.choose(TWO, {}, LATER) == {}


@pytest.mark.parametrize("whole", [True, False])
def test_what_comes_late_over_a_connection_that_is_gone_changes_nothing(whole: bool) -> None:
    carrying = missing(("b", {"far"}))
    carrying.reach("b", 3, {"far", "c"}, whole=True)
    carrying.reach("b", 2, {"gone"}, whole, lost=["far"])
    assert carrying.choose(TWO, {}, LATER) == {"b": ("far",)}
    carrying.reach("b", 4, (), whole=False, lost=["far"])
    assert carrying.choose(TWO, {}, LATER) == {}
