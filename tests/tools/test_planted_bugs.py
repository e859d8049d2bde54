"""Bugs are planted into the simulated nodes, one after the other: each is caught, by the statement that it breaks.

What a bug breaks must hold for the same seed without it: it is the bug that was seen, and not something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from node.turn import LinkKey, Turn
from tools.simulate.faults import KINDS, Kind
from tools.simulate.machine import Machine
from tools.simulate.report import Course
from tools.simulate.simulation import Setting

SEEDS = 12
"""A bug is caught by one of so many seeds."""


def repair_forgotten(machine: Machine) -> None:
    """Gaps between nodes show, and nobody asks for what is missing."""

    def tick(turn: Turn) -> None:
        """Ask for nothing."""

    machine.node._neighbours.repair.tick = tick


def forwards_back(machine: Machine) -> None:
    """A node passes on also to whom it has the event from."""
    routes = machine.node._neighbours.routes
    right = routes.onward

    def onward(topic: str, origin: str, source: LinkKey | None) -> tuple[LinkKey, ...]:
        return right(topic, origin, source) if source is None else (*right(topic, origin, source), source)

    routes.onward = onward


def reuses_a_sequence(machine: Machine) -> None:
    """A node that starts again has not on disk what it gave out last."""
    for stream in machine.node.state.relay.streams.values():
        if stream.origin == machine.node.state.origin:
            stream.head -= 1


def never_withdraws_interest(machine: Machine) -> None:
    """A node goes on wanting what its last consumer wanted."""
    machine.node.state.interest.unwant = lambda pattern: None


def ignores_tombstones(machine: Machine) -> None:
    """A node takes in a member that it has forgotten."""
    machine.node.membership.members.buried = lambda origin, stamp: False


def remembers_late(machine: Machine) -> None:
    """What durable consumers are owed is written a second after they were told that they are registered."""
    wanting, due_us = machine.node._wanting, 0
    right = wanting.keep

    def keep(turn: Turn) -> None:
        nonlocal due_us
        if turn.now.mono_us >= due_us:
            due_us = turn.now.later(1.0)
            right(turn)

    wanting.keep = keep


class Bug(NamedTuple):
    """What is planted, the statement it breaks, and the runs in which that shows."""

    plant: Callable[[Machine], None]
    statement: str
    kinds: tuple[Kind, ...]
    forget: bool = False
    nodes: int = 4

    def run(self, seed: int) -> Setting:
        return Setting(seed, self.nodes, 20.0, self.kinds, self.forget)


BUGS = [
    Bug(repair_forgotten, "what is receipted is delivered", ("break",)),
    Bug(forwards_back, "an event does not go back", ()),
    Bug(reuses_a_sequence, "a sequence is used once", ("crash",)),
    Bug(never_withdraws_interest, "interest is what consumers want", ("programs",)),
    Bug(ignores_tombstones, "who is forgotten stays forgotten", ("disk",), forget=True),
    Bug(remembers_late, "what is receipted is delivered", KINDS, nodes=10),
]


@pytest.mark.parametrize("bug", BUGS, ids=[each.plant.__name__ for each in BUGS])
def test_a_planted_bug_is_caught_by_the_statement_it_breaks(bug: Bug):
    runs = [bug.run(seed) for seed in range(1, SEEDS + 1)]
    caught = next((each for each in runs if _violated(each, bug.plant) == bug.statement), None)
    assert caught is not None
    assert _violated(caught) is None


def _violated(setting: Setting, bug: Callable[[Machine], None] | None = None) -> str | None:
    violated = Course.of(setting, bug).violated
    return None if violated is None else violated.statement
