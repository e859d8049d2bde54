"""The scenario: what a seed stands for before anything goes wrong. Machines, who dials whom, programs and their work.

    seed, nodes ──▶ machines (turn time, latency) · publishers (topics, rate) · consumers (pattern, durable, queue)

Topics are few, so that many publish and want the same; patterns are exact, a prefix, or everything.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from node.link import Role
from node.plan import Plan
from node.retention import Limits
from tools.simulate.machine import Spec, address_of
from tools.simulate.world import World

KNOBS_S, _HASTY_S = (1.0, 10.0), (0.25, 1.5)
"""Heartbeat and dead-after; the hasty ones forget who is gone after nine minutes."""
_WINDOW_US = 10_000_000
_BUSY_FROM = 50
"""A turn takes so many times longer as a mesh is larger than this: with more to do, more waits for each turn."""
TOPICS = tuple(f"{name}.{number}" for name in ("job", "gpu") for number in range(4))


class Publishing(NamedTuple):
    """A program that publishes. `rate`: events a second; `burst`: how many at once at most."""

    name: str
    machine: str
    topics: tuple[str, ...]
    rate: float
    burst: int


class Consuming(NamedTuple):
    """A program with one consumer. `queue`: events it takes in ahead of its handler.

    `late_s`: when it first comes; 0 is before anything was published.
    """

    name: str
    machine: str
    pattern: str
    durable: bool
    queue: int
    late_s: float = 0.0


class Scenario(NamedTuple):
    """Everything that stands before the first moment."""

    machines: tuple[Spec, ...]
    publishers: tuple[Publishing, ...]
    consumers: tuple[Consuming, ...]
    latency_s: tuple[float, float]


def draw_scenario(world: World, nodes: int, for_s: float, hasty: bool = False) -> Scenario:
    """The scenario of a seed, whose load lasts `for_s`.

    With `hasty` its nodes give up on each other, and forget who is gone, early.
    """
    draw = world.draw("scenario")
    names = [f"n{number:03}" for number in range(nodes)]
    leaves = set(names[2:]) & set(draw.sample(names, draw.choice((0, nodes // 4, nodes // 2))))
    seeds = _seeds(names, leaves, draw)
    machines = tuple(
        Spec(
            name,
            plan(seeds[name], name in leaves, _HASTY_S if hasty else KNOBS_S),
            name in leaves,
            draw.choice((1000, 2000, 5000)) * max(1, nodes // _BUSY_FROM),
        )
        for name in names
    )
    busy = draw.sample(names, max(2, min(nodes // 2, 40)))
    publishers = tuple(_publisher(name, draw) for name in sorted(busy))
    wanting = draw.sample(names, max(2, min(2 * nodes // 3, 60)))
    consumers = tuple(
        _consumer(name, number, for_s, draw) for name in sorted(wanting) for number in range(draw.choice((1, 1, 2)))
    )
    return Scenario(machines, publishers, consumers, (0.0003, draw.choice((0.002, 0.05, 0.3))))


def _seeds(names: list[str], leaves: set[str], draw: random.Random) -> dict[str, tuple[str, ...]]:
    """Whom each machine is told to dial: a few of the peers before it, so that all hang together; now and then all."""
    everybody = draw.random() < 0.2
    seeds: dict[str, tuple[str, ...]] = {}
    for index, name in enumerate(names):
        others = [each for each in names[: max(index, 2)] if each not in leaves and each != name]
        few = others if everybody else draw.sample(others, min(len(others), draw.choice((1, 2, 3))))
        seeds[name] = tuple(address_of(each) for each in sorted(few))
    return seeds


def plan(seeds: tuple[str, ...], leaf: bool, knobs_s: tuple[float, float]) -> Plan:
    """What the operator of a simulated node has chosen."""
    limits = Limits(0, 0, 0, 0, 0)
    role: Role = "leaf" if leaf else "peer"
    return Plan(seeds, *knobs_s, limits, lambda topic: _WINDOW_US, _WINDOW_US, role)


def _publisher(machine: str, draw: random.Random) -> Publishing:
    topics = tuple(sorted(draw.sample(TOPICS, draw.randint(1, 3))))
    return Publishing(f"pub-{machine}", machine, topics, draw.choice((0.5, 2.0, 4.0)), draw.choice((1, 1, 5, 40)))


def _consumer(machine: str, number: int, for_s: float, draw: random.Random) -> Consuming:
    pattern = draw.choice((*TOPICS, "job.*", "gpu.*", "*.2"))
    durable = draw.random() < 0.5
    queue, late_s = draw.choice((4, 50, 1000)), draw.choice((0.0, draw.uniform(0.0, for_s)))
    return Consuming(f"con-{machine}-{number}", machine, pattern, durable, queue, late_s)
