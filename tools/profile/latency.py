"""Where an event waits on its way from `publish()` to its handler, stage by stage.

    publisher: wake · send ─▶ node: poll · drain · admit · commit · send ─▶ subscriber: poll · decode · handler
    each step's median, 90th and 99th percentile, in microseconds

The median of the whole is what the medians of the steps add up to, nearly. The tail is not: an event is late because of
one step that was late, and that one is counted. A frame that waited for the node waited for a turn that was under way;
then it says what that turn was doing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.bench.figures import percentile
from tools.profile.stamped import POLLED, STAGES, Turn, read_stamps, read_turns

LATE_US = 1000.0
"""From here on an event is late."""


class Step(NamedTuple):
    """The way from the stage before to this one, in microseconds."""

    name: str
    p50: float
    p90: float
    p99: float


class Latency(NamedTuple):
    """What was found. `late`: how many events were late because of what."""

    events: int
    steps: list[Step]
    late: dict[str, int]


def latency(place: Path) -> Latency:
    """What the stamps in a directory say, of the events that have passed every stage."""
    stamps, turns = read_stamps(place), read_turns(place)
    numbers = sorted(set.intersection(*(set(each) for each in stamps)))
    ways = [_passed([each[number] for each in stamps]) for number in numbers]
    steps = [_step(name, [way[at + 1] - way[at] for way in ways]) for at, name in enumerate(STAGES[1:])]
    whole = _step("the whole", [way[-1] - way[0] for way in ways])
    usual = [step.p50 for step in steps]
    late = Counter(_cause(way, usual, turns) for way in ways if way[-1] - way[0] > LATE_US * 1e3)
    return Latency(len(ways), [*steps, whole], dict(late.most_common()))


def _passed(way: Sequence[int]) -> list[int]:
    """The moments of an event in order: a stage it did not need (a thread that was awake) took no time."""
    passed = [way[0]]
    for moment in way[1:]:
        passed.append(max(passed[-1], moment))
    return passed


def _step(name: str, took_ns: Sequence[int]) -> Step:
    took_us = sorted(each / 1e3 for each in took_ns)
    return Step(name, *(percentile(took_us, part) for part in (0.5, 0.9, 0.99)))


def _cause(way: Sequence[int], usual_us: Sequence[float], turns: Sequence[Turn]) -> str:
    """The step that exceeded its median most."""
    excess = [(way[at + 1] - way[at]) / 1e3 - usual for at, usual in enumerate(usual_us)]
    worst = excess.index(max(excess))
    if worst + 1 == POLLED and (busy := _doing(way[POLLED - 1], turns)):
        return f"the node was busy with {busy}"
    return f"until: {STAGES[worst + 1]}"


def _doing(moment: int, turns: Sequence[Turn]) -> str:
    """What the node was doing then; "" when it was waiting."""
    at = bisect_right(turns, moment, key=lambda turn: turn.begin) - 1
    if at < 0 or turns[at].end < moment:
        return ""
    turn = turns[at]
    about = [name for name, count in (("events", turn.frames), ("requests", turn.requests)) if count]
    return f"{' and '.join(about) or 'itself'}{', syncing' if turn.committing else ''}"
