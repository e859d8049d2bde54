"""Stages: the files of a process, as the way an event takes, and what each of them costs.

A function's own time belongs to the file it is in. What is built in (libzmq, SQLite, blake3, orjson, dict and list) has
no file and belongs to the files of its callers, as far as they call it. What only the start of a process needs
(imports, reading configuration) is left out.

A profiler slows down what it looks at, small functions most. So its times are only used as shares, of the processor
time per event that the same process took without it.
"""

from __future__ import annotations

import pstats
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tools.bench.child import ROOT

Place = tuple[str, int, str]
"""file, line, function, as `pstats` says it"""

_BENCH = "the benchmark itself"
_OURS = ("mesh", "node")
_STEADY = frozenset({"asyncio", "contextlib", "queue", "selectors", "threading"})
"""Modules of Python's library that work for every event."""


class Cost(NamedTuple):
    """One stage or function. `us`: processor time per event in microseconds; `calls`: calls per event."""

    name: str
    us: float
    calls: float


def read(place: Path) -> pstats.Stats:
    """All the threads' profiles in a directory as one. There is at least one."""
    first, *others = sorted(str(path) for path in place.glob("*.prof"))
    return pstats.Stats(first, *others)


def stages(stats: pstats.Stats, cpu_us: float, events: int) -> list[Cost]:
    """The files, the dearest first. `cpu_us`: what an event costs this process without a profiler."""
    own, calls = _own_times(stats)
    return _costs({place: _stage(place[0]) for place in own}, own, calls, cpu_us, events)


def functions(stats: pstats.Stats, cpu_us: float, events: int, most: int) -> list[Cost]:
    """The functions, the dearest first, with what they call of what is built in."""
    own, calls = _own_times(stats)
    named = {place: f"{_stage(place[0])}: {place[2]}" for place in own}
    return _costs(named, own, calls, cpu_us, events)[:most]


def _costs(
    names: Mapping[Place, str], own: Mapping[Place, float], calls: Mapping[Place, int], cpu_us: float, events: int
) -> list[Cost]:
    times: dict[str, float] = {}
    counts: dict[str, int] = {}
    for place, name in names.items():
        times[name] = times.get(name, 0.0) + own[place]
        counts[name] = counts.get(name, 0) + calls[place]
    total = sum(times.values()) or 1.0
    found = [Cost(name, cpu_us * seconds / total, counts[name] / max(1, events)) for name, seconds in times.items()]
    return sorted(found, key=lambda cost: -cost.us)


def _own_times(stats: pstats.Stats) -> tuple[dict[Place, float], dict[Place, int]]:
    """Seconds and calls of every function that has a file and runs in the steady state."""
    own: dict[Place, float] = {}
    calls: dict[Place, int] = {}
    rows: Mapping[Place, tuple[int, int, float, float, Mapping[Place, tuple[int, int, float, float]]]]
    rows = stats.stats  # type: ignore[attr-defined]  # not in the stubs
    for place, (_, count, seconds, _, callers) in rows.items():
        for owner, share in _owners(place, seconds, callers):
            own[owner] = own.get(owner, 0.0) + share
        calls[place] = count
    return own, {place: calls.get(place, 0) for place in own}


def _owners(
    place: Place, seconds: float, callers: Mapping[Place, tuple[int, int, float, float]]
) -> list[tuple[Place, float]]:
    if place[0] != "~":
        return [(place, seconds)] if _stage(place[0]) else []
    return [(caller, spent) for caller, (_, _, spent, _) in callers.items() if _stage(caller[0])]


def _stage(file: str) -> str:
    """A file's stage; "" for what only the start needs."""
    path = Path(file)
    if ROOT / "tools" in path.parents:
        return _BENCH
    if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in _OURS:
        return str(path.relative_to(ROOT).with_suffix(""))
    if "zmq" in path.parts:
        return "pyzmq"
    return f"Python's {path.stem}" if _STEADY.intersection((path.stem, path.parent.name)) else ""
