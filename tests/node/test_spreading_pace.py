"""How often a node with a leaf tells and answers while many peers speak one by one. One node, played others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.answering import ANSWER_WAIT_S, MORE_S
from node.spreading import LEAVES_S
from node.turn import Turn
from tests.node.workbench import Bench, control, interest, sent


class Hub:
    """Node `a` with the leaf `l` and some peers, all of whom have answered. `links`: the key of each."""

    def __init__(self, path: Path, *peers: str) -> None:
        self.bench = Bench(path)
        self.links = {"l": self.bench.peer("l", role="leaf"), **{name: self.bench.peer(name) for name in peers}}
        for name in self.links:
            self.answers(name)
        self.wait(ANSWER_WAIT_S)

    def wait(self, seconds: float) -> Turn:
        """A turn after some time in which nothing came."""
        return self.bench.turn(later_s=seconds)

    def says(self, name: str, message: dict[str, Any]) -> Turn:
        """A message comes from somebody."""
        return self.bench.turn(links=[(self.links[name], control(message))])

    def answers(self, name: str) -> Turn:
        """Somebody has taken in what it was told last."""
        version = self.bench.announced[self.links[name]]
        return self.says(name, {"t": "interest_ack", "version": version, "origins": [f"{name}.1"], "heads": []})

    def told(self, turn: Turn) -> list[object]:
        """What the leaf is told in a turn of what all others want."""
        return [each["lists"]["a"] for each in sent(turn, self.links["l"]) if each["t"] == "interest"]

    def answered(self, turn: Turn, name: str) -> list[tuple[int, list[str]]]:
        """The answers that somebody gets in a turn: to which version, and who knows of it."""
        acks = [each for each in sent(turn, self.links[name]) if each["t"] == "interest_ack"]
        return [(each["version"], each["origins"]) for each in acks]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path, "p", "q", "r")


def test_leaves_are_told_what_all_others_want_a_tenth_of_a_second_apart(hub: Hub) -> None:
    assert hub.told(hub.says("p", interest("p", "A", version=2))) == [["A"]]
    assert hub.told(hub.says("q", interest("q", "B", version=2))) == []
    assert hub.told(hub.wait(LEAVES_S - 0.01)) == []
    assert hub.told(hub.says("r", interest("r", "C", version=2))) == []
    assert hub.told(hub.wait(0.01)) == [["A", "B", "C"]]
    assert hub.told(hub.wait(LEAVES_S)) == []


def test_nobody_is_answered_before_the_leaves_are_told_and_have_answered(hub: Hub) -> None:
    hub.says("p", interest("p", "A", version=2))
    assert hub.answered(hub.answers("l"), "p") == [(2, [hub.bench.origin, "l.1"])]
    assert hub.answered(hub.says("q", interest("q", "B", version=2)), "q") == []
    assert hub.answered(hub.wait(LEAVES_S - 0.01), "q") == []
    turn = hub.wait(0.01)
    assert (hub.told(turn), hub.answered(turn, "q")) == ([["A", "B"]], [])
    assert hub.answered(hub.answers("l"), "q") == [(2, [hub.bench.origin, "l.1"])]


def test_a_leaf_is_told_who_has_answered_as_well_a_fifth_of_a_second_apart(hub: Hub) -> None:
    hub.says("l", interest("l", "A", version=2))
    mine = hub.bench.origin
    late = hub.wait(ANSWER_WAIT_S)
    assert hub.answered(late, "l") == [(2, [mine])]
    assert hub.answered(hub.answers("p"), "l") == [(2, [mine, "p.1"])]
    assert hub.answered(hub.answers("q"), "l") == []
    assert hub.answered(hub.wait(MORE_S - 0.01), "l") == []
    assert hub.answered(hub.answers("r"), "l") == []
    assert hub.answered(hub.wait(0.01), "l") == [(2, [mine, "p.1", "q.1", "r.1"])]
    assert hub.answered(hub.wait(MORE_S), "l") == []
