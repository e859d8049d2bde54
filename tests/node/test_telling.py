"""Telling: what one link is told of wishes that change, and what its answers mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from node.interest import Lists
from node.link import Identity
from node.telling import RETELL_S, VERSION_BITS, Telling
from node.turn import Turn
from tests.node.workbench import START, after


class Desk:
    """The telling of a node in its second life, with one link, `b`. `lists` is what that is to be told."""

    def __init__(self) -> None:
        self.lists: Lists = {"a": ("A",)}
        self.state: Any = SimpleNamespace(interest=SimpleNamespace(version=1), informed={})
        speaking: Any = SimpleNamespace(lists_for=lambda link: self.lists, detoured_for=lambda link: ())
        wanting: Any = SimpleNamespace(told=lambda *_: None)
        beginnings: Any = SimpleNamespace(far=lambda: [], stands=lambda *_: [])
        me = Identity("a", "a.1", "1.0", "", incarnation=2, life="the second")
        self.telling = Telling(self.state, speaking, wanting, beginnings, me)
        turn = Turn(START)
        self.telling.up("b", turn)
        self.first = said(turn)

    def tell(self) -> list[dict[str, Any]]:
        turn = Turn(START)
        self.telling.tell("b", [], turn)
        return said(turn)


def said(turn: Turn) -> list[dict[str, Any]]:
    return [orjson.loads(data[1:]) for _, data in turn.passing_links]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_new_link_is_told_everything_under_a_version_of_this_life(desk: Desk) -> None:
    (first,) = desk.first
    assert (first["version"], first["whole"], first["lists"]) == ((2 << VERSION_BITS) + 1, True, {"a": ["A"]})
    assert first["life"] == "the second"
    assert list(desk.telling.unanswered) == ["b"]


def test_only_what_has_changed_is_told_and_nothing_where_nothing_has(desk: Desk) -> None:
    assert desk.tell() == []
    desk.lists = {"a": ("A",), "leaf": ("B",)}
    (change,) = desk.tell()
    before = desk.first[0]["version"]
    assert (change["after"], change["version"], change["whole"]) == (before, before + 1, False)
    assert change["lists"] == {"leaf": ["B"]}
    desk.lists = {"leaf": ("B",)}
    assert [each["lists"] for each in desk.tell()] == [{"a": []}]


def test_an_answer_informs_of_what_was_wanted_when_it_was_asked_for(desk: Desk) -> None:
    version = desk.first[0]["version"]
    desk.state.interest.version, desk.lists = 2, {"a": ("A", "B")}
    desk.tell()
    desk.telling.answered("b", version, Turn(START))
    assert (desk.state.informed, list(desk.telling.unanswered)) == ({"b": 1}, ["b"])
    desk.telling.answered("b", version + 1, Turn(START))
    assert (desk.state.informed, list(desk.telling.unanswered)) == ({"b": 2}, [])


def test_a_change_here_that_says_nothing_new_to_an_informed_link_informs_it(desk: Desk) -> None:
    desk.telling.answered("b", desk.first[0]["version"], Turn(START))
    desk.state.interest.version = 2
    assert (desk.tell(), desk.state.informed) == ([], {"b": 2})


def test_what_is_not_answered_for_long_is_told_again_under_its_version(desk: Desk) -> None:
    assert desk.telling.overdue(after(START, RETELL_S)) == []
    assert desk.telling.overdue(after(START, RETELL_S + 0.1)) == ["b"]
    turn = Turn(after(START, RETELL_S + 0.1))
    desk.telling.again("b", turn, same=True)
    (again,) = said(turn)
    assert (again["version"], again["whole"], again["lists"]) == (desk.first[0]["version"], True, {"a": ["A"]})


def test_what_has_changed_meanwhile_is_told_under_a_version_that_no_earlier_answer_covers(desk: Desk) -> None:
    version, desk.lists = desk.first[0]["version"], {"a": ("A", "B")}
    turn = Turn(after(START, RETELL_S + 0.1))
    desk.telling.again("b", turn, same=True)
    (again,) = said(turn)
    assert (again["version"], again["whole"], again["lists"]) == (version + 1, True, {"a": ["A", "B"]})
    desk.telling.answered("b", version, Turn(START))
    assert list(desk.telling.unanswered) == ["b"]


def test_a_link_that_moves_keeps_what_it_was_told_and_one_that_is_gone_leaves_nothing(desk: Desk) -> None:
    desk.telling.answered("b", desk.first[0]["version"], Turn(START))
    desk.telling.moved("b", "c")
    assert (list(desk.telling.told), desk.state.informed) == (["c"], {"c": 1})
    desk.telling.down("c")
    assert (desk.telling.told, desk.telling.unanswered, desk.state.informed) == ({}, {}, {})


@pytest.mark.parametrize("key", ["b", "c"])
def test_an_answer_in_a_turn_that_failed_was_none_also_when_the_link_moved_in_it(desk: Desk, key: str) -> None:
    turn = Turn(START)
    desk.telling.answered("b", desk.first[0]["version"], turn)
    if key != "b":
        desk.telling.moved("b", key)
        desk.telling.again(key, turn)
    for act in reversed(turn.once_failed):
        act()
    assert (list(desk.telling.unanswered), desk.state.informed) == ([key], {key: 0})
    assert desk.telling.overdue(after(START, RETELL_S + 0.1)) == [key]


def test_answers_to_two_versions_in_a_turn_that_failed_may_be_given_again_one_after_the_other(desk: Desk) -> None:
    version, turn = desk.first[0]["version"], Turn(START)
    desk.lists = {"a": ("A", "B")}
    desk.tell()
    for each in (version, version + 1):
        desk.telling.answered("b", each, turn)
    for act in reversed(turn.once_failed):
        act()
    assert sorted(desk.telling.told["b"].local) == [version, version + 1]
