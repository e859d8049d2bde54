"""The targets: what meshbus promises about its speed, measured in one go and compared.

    comparisons   two cells (ours, theirs), one figure, the ratio taken round by round, a bound
    by itself     one figure of ours: the node's processor time per event, its memory, how fast things start

All cells are measured in turns, so a ratio is of runs that were minutes apart at most. A comparison whose other system
is not installed has no verdict.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from mesh.node_process import NodeProcess
from tools.bench.child import ROOT
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import Figure, Run, Spread, rate, ratio, spread
from tools.bench.runner import Cell, OnRun, Plan, measure_cells, running
from tools.bench.workloads import WORKLOADS

Bound = Literal["at least", "at most"]
CellName = tuple[str, str]
"""contender, workload"""

MEMORY_EVENTS = 10_000_000
MEMORY_EVENTS_QUICK = 200_000
_PART_S = 5.0
_STARTS = 5


class Target(NamedTuple):
    """A figure and its bound. With `theirs` it is a ratio; `unit` is empty then."""

    about: str
    figure: Figure
    bound: Bound
    limit: float
    ours: CellName
    theirs: CellName | None
    unit: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came out. `measured` is None where the other system is not installed."""

    about: str
    bound: Bound
    limit: float
    unit: str
    measured: Spread | None
    ours: Spread | None = None
    theirs: Spread | None = None
    against: str = ""
    lost: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median keeps within the bound."""
        if self.measured is None:
            return None
        median = self.measured.median
        return median >= self.limit if self.bound == "at least" else median <= self.limit


def p50(run: Run) -> float:
    """The median latency in microseconds."""
    return run.latency_us["p50"]


def p99(run: Run) -> float:
    """The 99th percentile of the latency in microseconds."""
    return run.latency_us["p99"]


def node_cpu(run: Run) -> float:
    """The node's processor time per event in microseconds."""
    return run.cpu_us["broker"]


_BURST = ("meshbus", "burst")
TARGETS = (
    Target("coordination events in bursts", rate, "at least", 6.0, _BURST, ("jetstream-push", "burst")),
    Target("coordination events in bursts", rate, "at least", 1.0, _BURST, ("nats", "burst")),
    Target("coordination events in bursts", rate, "at least", 1.5, _BURST, ("redis-streams", "burst")),
    Target("ephemeral events", rate, "at least", 1.0, ("meshbus-ephemeral", "burst"), ("zenoh", "burst")),
    Target("one event a frame", rate, "at least", 0.5, ("meshbus", "singles"), ("zmq-proxy", "singles")),
    Target("8 KB documents", rate, "at least", 1.0, ("meshbus", "documents"), ("nats", "documents")),
    Target("latency p50 at 1,000/s", p50, "at most", 1.0, ("meshbus", "latency"), ("jetstream-push", "latency")),
    Target("latency p99 at 1,000/s", p99, "at most", 1.0, ("meshbus", "latency"), ("redis-streams-always", "latency")),
    Target("8 subscribers in 8 processes", rate, "at least", 1.0, ("meshbus", "fan-out"), ("nats", "fan-out")),
    Target("two hops against one", rate, "at least", 0.6, ("meshbus", "two-hops"), _BURST),
    Target("node CPU per event in bursts", node_cpu, "at most", 2.5, _BURST, None, "µs"),
)


def measure_targets(
    installed: Collection[str], plan: Plan, quick: bool, on_run: OnRun, tell: Callable[[str], object]
) -> list[Verdict]:
    """Measure what every target needs. Raises `BenchFailed`."""
    names = dict.fromkeys(
        name
        for target in TARGETS
        for name in (target.ours, target.theirs)
        if name and (target.theirs or target.ours)[0] in installed and name[0] in installed
    )
    cells = {name: Cell(CONTENDERS[name[0]], WORKLOADS[name[1]]) for name in names}
    runs = measure_cells(list(cells.values()), plan, on_run)
    verdicts = [judge(target, {name: runs[cell] for name, cell in cells.items()}) for target in TARGETS]
    events = MEMORY_EVENTS_QUICK if quick else MEMORY_EVENTS
    tell(f"memory of a node, {events:,} events")
    verdicts.append(_by_itself(f"node memory, {events:,} events", "MB", 100.0, node_memory_mb(events, plan)))
    tell("starts")
    verdicts.append(_by_itself("start of mesh-node until it is ready", "s", 1.0, _times(_node_start_s)))
    verdicts.append(_by_itself("mesh --help", "s", 0.3, _times(_help_s)))
    return verdicts


def judge(target: Target, runs: Mapping[CellName, Sequence[Run]]) -> Verdict:
    """Compare the runs of one target."""
    found = Verdict(target.about, target.bound, target.limit, target.unit, None, against=_against(target))
    ours, theirs = runs.get(target.ours), runs.get(target.theirs) if target.theirs else None
    if ours is None or (target.theirs and theirs is None):
        return found
    own = spread([target.figure(run) for run in ours])
    if theirs is None:
        return replace(found, measured=own, ours=own, lost=_lost(ours))
    other = spread([target.figure(run) for run in theirs])
    measured = ratio(ours, theirs, target.figure)
    return replace(found, measured=measured, ours=own, theirs=other, lost=f"{_lost(ours)} / {_lost(theirs)}")


def node_memory_mb(events: int, plan: Plan) -> list[float]:
    """Resident memory of a node while it takes in and delivers so many events, in MB: after each part, of 5 s or less.

    The moment it is looked at matters by a tenth, because what a turn has used goes back to the system a little later.
    """
    found: list[float] = []
    with running(Cell(CONTENDERS["meshbus"], WORKLOADS["burst"]), plan.quiet_s) as trial:
        published = 0
        while published < events:
            published += trial.part(published, min(_PART_S, plan.seconds * 10)).published
            found.append(sum(float(process.memory_info().rss) for process in trial.processes["broker"]) / 1e6)
    return found


def _by_itself(about: str, unit: str, limit: float, values: Sequence[float]) -> Verdict:
    measured = spread(values)
    return Verdict(about, "at most", limit, unit, measured, measured)


def _times(measure: Callable[[], float]) -> list[float]:
    return [measure() for _ in range(_STARTS)]


def _node_start_s() -> float:
    with tempfile.TemporaryDirectory(prefix="meshbus-bench-") as directory:
        begin = time.monotonic()
        node = NodeProcess(Path(directory), "bench").start()
        taken = time.monotonic() - begin
        node.stop()
        return taken


def _help_s() -> float:
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "mesh.cli", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def _against(target: Target) -> str:
    if target.theirs is None:
        return ""
    return target.theirs[0] if target.theirs[0] != target.ours[0] else f"its own {target.theirs[1]}"


def _lost(runs: Sequence[Run]) -> str:
    lost = sum(run.lost for run in runs)
    return f"{100 * lost / sum(run.expected for run in runs):.1f} %" if lost else "0"
