"""Faults: what goes wrong in a run, and when. Drawn whole from the seed before the first moment, so it can be printed.

    crash      a node is killed, or its machine loses power; it comes back on its disk. Every third of these hits soon
               after a consumer came to the machine
    stall      a node stands still (SIGSTOP) and goes on
    break      one connection falls
    partition  some machines cannot reach others, in one direction or both, and then can again
    disk       a node dies and comes back with an empty disk
    restore    a copy of a node's disk is taken; halfway it dies, comes back with that, and reaches nobody until the end
    clock      a machine's wall clock jumps
    programs   publishers and consumers die and come back, or stand still
    walls      from the first moment to the last some peers cannot dial some others, and some pairs not each other

Every fault but the last kind ends before the faults' time is over. A node whose volume was set back cannot know it
before a peer tells; what it gives out until then may have been given out before, and is not judged.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations
from typing import Literal, NamedTuple

from tools.simulate.disk import WAYS
from tools.simulate.machine import address_of
from tools.simulate.scenario import Scenario
from tools.simulate.world import World

Kind = Literal["crash", "stall", "break", "partition", "disk", "restore", "clock", "programs", "walls"]
KINDS: tuple[Kind, ...] = ("crash", "stall", "break", "partition", "disk", "restore", "clock", "programs", "walls")

_EVERY_S: dict[Kind, float] = {
    "crash": 80.0,
    "stall": 100.0,
    "break": 60.0,
    "partition": 250.0,
    "disk": 300.0,
    "restore": 300.0,
    "clock": 120.0,
    "programs": 60.0,
}
"""How many seconds of one machine's life bring one fault of a kind."""
_LASTS_S: dict[Kind, tuple[float, float]] = {
    "crash": (0.3, 20.0),
    "stall": (0.2, 25.0),
    "break": (0.0, 0.0),
    "partition": (1.0, 40.0),
    "disk": (0.5, 15.0),
    "restore": (1.0, 30.0),
    "clock": (0.0, 0.0),
    "programs": (0.1, 10.0),
}
_SOON_S = (0.2, 3.0)
"""After a consumer came: while it registers, or just has."""


class Fault(NamedTuple):
    """One thing that goes wrong from `at_s` until `until_s`. `who`: whom it hits; `how`: a variant of the kind."""

    at_s: float
    until_s: float
    kind: Kind
    who: tuple[str, ...]
    how: str

    def __str__(self) -> str:
        return f"{self.at_s:9.3f} s .. {self.until_s:9.3f} s  {self.kind:<10}{self.how:<12}{' '.join(self.who)}"


def draw_faults(world: World, scenario: Scenario, kinds: tuple[Kind, ...], begin_s: float, end_s: float) -> list[Fault]:
    """The schedule of a seed, in order of time."""
    found: list[Fault] = []
    for kind in kinds:
        draw = world.draw("faults", kind)
        if kind == "walls":
            found += _walls(scenario, draw, end_s)
            continue
        count = (end_s - begin_s) * len(scenario.machines) / _EVERY_S[kind]
        for _ in range(int(count) + (draw.random() < count % 1)):
            at_s = draw.uniform(begin_s, end_s)
            low, high = _LASTS_S[kind]
            lasts_s = low * (high / low) ** draw.random() if low else 0.0
            who, how = _whom(kind, scenario, draw)
            if kind == "crash" and draw.random() < 1 / 3:
                consumer = draw.choice(scenario.consumers)
                at_s, who = max(begin_s, consumer.late_s + draw.uniform(*_SOON_S)), (consumer.machine,)
            found.append(Fault(round(at_s, 3), round(min(at_s + lasts_s, end_s), 3), kind, who, how))
    return sorted(found)


def _whom(kind: Kind, scenario: Scenario, draw: random.Random) -> tuple[tuple[str, ...], str]:
    names = [each.name for each in scenario.machines]
    match kind:
        case "partition":
            return _parted(names, draw), draw.choice(("both", "one way"))
        case "break":
            return tuple(draw.sample(names, 2)), ""
        case "programs":
            programs = [each.name for each in scenario.publishers] + [each.name for each in scenario.consumers]
            return (draw.choice(programs),), draw.choice(("killed", "killed", "stalled"))
        case "restore":
            return (draw.choice(names),), draw.choice(WAYS)
        case "crash":
            return (draw.choice(names),), draw.choice(("killed", "no power"))
        case "clock":
            return (draw.choice(names),), draw.choice(("-3600", "-5", "5", "3600"))
        case _:
            return (draw.choice(names),), ""


def _parted(names: list[str], draw: random.Random) -> tuple[str, ...]:
    """One machine, a few, or half of them against the rest; two machines against each other."""
    if draw.random() < 0.3:
        return (*draw.sample(names, 1), "|", *draw.sample(names, 1))
    size = draw.choice((1, 1, max(1, len(names) // 4), max(1, len(names) // 2)))
    return (*sorted(draw.sample(names, size)), "|")


def _walls(scenario: Scenario, draw: random.Random, end_s: float) -> list[Fault]:
    """Pairs of peers of which one cannot dial the other, or neither can. Whoever is told a seed can dial it.

    Two that can never be linked both reach a third: a detour is promised over one peer, and not over two.
    """
    seeds = {each.name: each.plan.peers for each in scenario.machines if not each.hidden}
    pairs = list(combinations(sorted(seeds), 2))
    found, apart = list[Fault](), set[frozenset[str]]()
    for a, b in draw.sample(pairs, min(len(pairs), draw.randint(1, 1 + len(seeds) // 4))):
        seen = [(x, y) for x, y in ((a, b), (b, a)) if address_of(y) not in seeds[x]]
        both = len(seen) == 2 and _bridged(apart | {frozenset((a, b))}, seeds) and draw.random() < 0.5
        if both:
            apart.add(frozenset((a, b)))
        if seen:
            who, how = ((a, b), "both") if both else (draw.choice(seen), "one way")
            found.append(Fault(0.0, end_s, "walls", who, how))
    return found


def _bridged(apart: Iterable[frozenset[str]], peers: Iterable[str]) -> bool:
    """Whether any two of these pairs' peers have a third that both reach."""
    pairs, names = list(apart), list(peers)
    return all(any(third not in pair and not _cut_off(third, pair, pairs) for third in names) for pair in pairs)


def _cut_off(third: str, pair: frozenset[str], pairs: list[frozenset[str]]) -> bool:
    """Whether one of a pair can never be linked with a third."""
    return any(frozenset((third, each)) in pairs for each in pair)


def directions(fault: Fault, names: list[str]) -> list[tuple[str, str]]:
    """The directions a partition cuts."""
    bar = fault.who.index("|")
    some, others = fault.who[:bar], fault.who[bar + 1 :] or tuple(sorted(set(names) - set(fault.who)))
    ways = [(a, b) for a in some for b in others if a != b]
    return ways if fault.how == "one way" else ways + [(b, a) for a, b in ways]
