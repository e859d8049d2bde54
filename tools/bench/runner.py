"""The runner: starts the processes of a run, lets them work, ends them, and leaves nothing behind.

    round 1   a b c d      every cell (a contender at a workload) once a round, the order moved on by one each
    round 2   b c d a      round, so that whatever else loads the machine falls on all of them alike
    round 3   c d a b
    one run   broker ─▶ subscribers ─▶ publisher ─▶ warm-up, drained ─▶ measured part, drained ─▶ all ended

The measured part begins with empty pipes and ends with the last delivery, so nothing that is still under way counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools.bench.child import Child
from tools.bench.contender import BenchFailed, Contender
from tools.bench.figures import Run, Summary, make_run, summarise
from tools.bench.workloads import Workload

if TYPE_CHECKING:
    import psutil

PATIENCE_S = 120.0
"""How much longer than its own time a part of a run may take."""


def check_installed() -> None:
    """Raises `BenchFailed` when what looks at the processes of a run is not installed."""
    if find_spec("psutil") is None:
        raise BenchFailed("psutil is not installed; pip install -e '.[bench,plot]'")


@dataclass(frozen=True)
class Plan:
    """How to measure: publish for `seconds` after `warmup_s`; what has not come after `quiet_s` of silence is lost."""

    rounds: int = 5
    seconds: float = 2.0
    warmup_s: float = 0.5
    quiet_s: float = 3.0


class Cell(NamedTuple):
    """What is measured once a round."""

    contender: Contender
    workload: Workload


OnRun = Callable[[int, Cell, Run], object]
"""Told of every run: round from 0, cell, figures."""


def measure_all(
    contenders: Sequence[Contender], workloads: Sequence[Workload], plan: Plan, on_run: OnRun
) -> list[Summary]:
    """Run everything; the summaries by workload, in the order of the contenders."""
    summaries: list[Summary] = []
    for workload in workloads:
        cells = [Cell(contender, workload) for contender in contenders if contender.takes(workload)]
        runs = measure_cells(cells, plan, on_run)
        summaries += [summarise(each.contender.name, workload.name, runs[each], runs[cells[0]]) for each in cells]
    return summaries


def measure_cells(cells: Sequence[Cell], plan: Plan, on_run: OnRun) -> dict[Cell, list[Run]]:
    """Every cell once a round; its runs, round by round."""
    runs: dict[Cell, list[Run]] = {cell: [] for cell in cells}
    for round_, cell in in_turns(cells, plan.rounds):
        run = measure(cell, plan)
        runs[cell].append(run)
        on_run(round_, cell, run)
    return runs


def in_turns(cells: Sequence[Cell], rounds: int) -> Iterator[tuple[int, Cell]]:
    """Round by round every cell once, beginning with another one each time."""
    for round_ in range(rounds if cells else 0):
        shift = round_ % len(cells)
        for cell in (*cells[shift:], *cells[:shift]):
            yield round_, cell


def measure(cell: Cell, plan: Plan) -> Run:
    """One run. Raises `BenchFailed`; every process has ended and every file is gone either way."""
    with running(cell, plan.quiet_s) as trial:
        warmed_up = trial.part(0, plan.warmup_s)
        return trial.part(warmed_up.published, plan.seconds)


class Trial:
    """The processes of one run, at work."""

    def __init__(self, publisher: Child, subscribers: Sequence[Child], brokers: Sequence[int], quiet_s: float) -> None:
        self._publisher = publisher
        self._subscribers = subscribers
        self._quiet_s = quiet_s
        import psutil

        pids = {"publisher": [publisher.pid], "broker": brokers, "subscriber": [each.pid for each in subscribers]}
        self.processes = {name: [psutil.Process(pid) for pid in each] for name, each in pids.items()}

    def part(self, first: int, seconds: float) -> Run:
        """Publish for so long, wait for what arrives."""
        for subscriber in self._subscribers:
            subscriber.ask("begin", PATIENCE_S, first=first)
        before = self._cpu_s()
        said = self._publisher.ask("publish", seconds + PATIENCE_S, first=first, seconds=seconds)
        published = said["published"]
        for subscriber in self._subscribers:
            subscriber.ask("wait", PATIENCE_S, published=published, quiet_s=self._quiet_s)
        spent = {name: after - before[name] for name, after in self._cpu_s().items()}
        reports = [subscriber.ask("report", PATIENCE_S) for subscriber in self._subscribers]
        return make_run(published, reports, said["late_us_p99"], spent)

    def _cpu_s(self) -> dict[str, float]:
        """Processor time of every kind of process so far, in seconds (the kernel counts in steps of 10 ms)."""
        return {name: sum(_cpu_s(process) for process in each) for name, each in self.processes.items()}


@contextmanager
def running(cell: Cell, quiet_s: float) -> Iterator[Trial]:
    """The processes of a run; at the end they have ended and their files are gone. Raises `BenchFailed`."""
    contender, workload = cell
    with tempfile.TemporaryDirectory(prefix="meshbus-bench-") as directory, ExitStack() as stack:
        place = Path(directory)
        broker = contender.start_broker(place, workload)
        stack.callback(broker.stop)
        subscribers = [
            stack.enter_context(_role("subscriber", cell, broker.subscribe_at, place, index))
            for index in range(workload.subscribers)
        ]
        publisher = stack.enter_context(_role("publisher", cell, broker.publish_at, place))
        yield Trial(publisher, subscribers, broker.pids, quiet_s)


def _role(role: str, cell: Cell, address: str, place: Path, index: int = 0) -> Child:
    command = ["-m", "tools.bench.roles", role, cell.contender.name, cell.workload.name, address]
    return Child(f"the {role} of {cell.contender.name}", command, place / f"{role}-{index}.log")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
