"""Answering: who is answered when, beside links that are only names here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from mesh.topic import PatternSet
from node.answering import ANSWER_WAIT_S, MORE_S, Answering
from node.clock import Now
from node.streams import Stream
from node.telling import Told
from node.turn import Turn
from tests.node.workbench import START, after


class House:
    """A node `a` whose link `leaf` is brought what comes by `peer`, which speaks for the origin `p.1`."""

    def __init__(self) -> None:
        self.telling: Any = SimpleNamespace(told={"leaf": Told(), "peer": Told(version=5, answered=4)}, unanswered={})
        self.telling.unanswered["peer"] = None
        routes: Any = SimpleNamespace(
            heard=SimpleNamespace(of=lambda link: {"p.1"}),
            wanting_from=lambda link: ["leaf"] if link == "peer" else [],
            bringing_to=lambda link: ["peer"] if link == "leaf" else [],
        )
        self.brings = {"peer": {"p.1"}}
        speaking: Any = SimpleNamespace(
            speaks=lambda link, without: {each for key in self.brings.keys() - without for each in self.brings[key]},
            detours=lambda link, origins: set(),
        )
        streams = [Stream(1, "a.1", "A", 0, 3), Stream(2, "p.1", "A", 0, 4), Stream(3, "p.1", "B", 0, 9)]
        state: Any = SimpleNamespace(
            origin="a.1",
            relay=SimpleNamespace(streams={(each.origin, each.topic): each for each in streams}),
            interest=SimpleNamespace(patterns_of=lambda link: PatternSet(["A"])),
        )
        self.answering = Answering(state, routes, speaking, self.telling)
        self.answering.up("leaf")
        self.answering.up("peer")

    def peer_answers(self) -> None:
        self.telling.told["peer"].answered = 5
        self.telling.unanswered.clear()
        self.answering.more_is_known("peer")

    def tick(self, now: Now, hold: bool = False) -> tuple[Turn, list[tuple[int, list[str], list[list[object]]]]]:
        """The turn, and of each answer in it version, origins and heads."""
        turn = Turn(now)
        self.answering.tick(turn, hold)
        said = [orjson.loads(data[1:]) for _, data in turn.closing_links]
        return turn, [(each["version"], each["origins"], each["heads"]) for each in said]


@pytest.fixture
def house() -> House:
    return House()


def test_an_answer_waits_for_those_it_speaks_for_and_names_their_streams(house: House) -> None:
    house.answering.ask("leaf", 3, True, START)
    assert (house.tick(START)[1], house.answering.version("leaf")) == ([], 3)
    house.peer_answers()
    assert house.tick(START)[1] == [(3, ["a.1", "p.1"], [["a.1", "A", 3], ["p.1", "A", 4]])]
    assert (house.answering.open, house.answering.stale) == ({}, {})


def test_an_answer_that_waits_no_longer_says_less_and_the_rest_follows(house: House) -> None:
    house.answering.ask("leaf", 3, True, START)
    late = after(START, ANSWER_WAIT_S)
    assert house.tick(late)[1] == [(3, ["a.1"], [["a.1", "A", 3]])]
    house.peer_answers()
    assert house.tick(after(late, MORE_S))[1] == [(3, ["a.1", "p.1"], [["p.1", "A", 4]])]


def test_who_was_told_of_an_origin_is_told_when_it_is_brought_no_longer_and_when_it_is_again(house: House) -> None:
    house.peer_answers()
    house.answering.ask("leaf", 3, True, START)
    house.tick(START)
    house.brings.clear()
    house.answering.less_is_known("peer", {"other.1"})
    assert (house.answering.stale, house.tick(START)[1]) == ({}, [])
    house.answering.less_is_known("peer", {"p.1"})
    assert house.tick(START)[1] == [(3, ["a.1"], [])]
    house.brings["peer"] = {"p.1"}
    house.answering.more_is_known("peer")
    assert house.tick(after(START, MORE_S))[1] == [(3, ["a.1", "p.1"], [["p.1", "A", 4]])]


def test_nobody_is_answered_while_answers_are_held(house: House) -> None:
    house.answering.ask("peer", 3, True, START)
    assert house.tick(START, hold=True)[1] == []
    assert len(house.tick(START)[1]) == 1


def test_an_answer_that_did_not_leave_is_given_again(house: House) -> None:
    house.peer_answers()
    house.answering.ask("leaf", 3, True, START)
    turn, said = house.tick(START)
    for act in turn.once_failed:
        act()
    assert house.tick(START)[1] == said


def test_who_goes_on_over_another_connection_is_waited_for_until_it_has_answered_there(house: House) -> None:
    house.answering.ask("leaf", 3, True, START)
    house.telling.told["elsewhere"] = house.telling.told.pop("peer")
    house.answering.moved("peer", "elsewhere")
    assert house.tick(START)[1] == []
    house.telling.told["elsewhere"].answered = 5
    assert [origins for _, origins, _ in house.tick(START)[1]] == [["a.1", "p.1"]]


def test_a_link_that_moves_is_answered_where_it_is_now_and_one_that_is_gone_is_waited_for_no_more(
    house: House,
) -> None:
    house.answering.ask("leaf", 3, True, START)
    house.answering.moved("leaf", "elsewhere")
    house.answering.down("peer")
    turn, said = house.tick(START)
    assert ([link for link, _ in turn.closing_links], len(said)) == (["elsewhere"], 1)
