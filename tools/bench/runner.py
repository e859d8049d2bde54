"""The runner: starts the processes of a run, lets them work, ends them, and leaves nothing behind.

    round 1   a b c d      every contender once a round, the order moved on by one each round, so that
    round 2   b c d a      whatever else loads the machine falls on all of them alike
    round 3   c d a b
    one run   broker ─▶ subscriber ─▶ publisher ─▶ warm-up, drained ─▶ measured part, drained ─▶ all ended

The measured part begins with empty pipes and ends with the last delivery, so nothing that is still under way counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from tools.bench.child import Child
from tools.bench.contender import Contender
from tools.bench.figures import Run, Summary, make_run, summarise
from tools.bench.workloads import Workload

PATIENCE_S = 120.0
"""How much longer than its own time a part of a run may take."""


@dataclass(frozen=True)
class Plan:
    """How to measure: publish for `seconds` after `warmup_s`; what has not come after `quiet_s` of silence is lost."""

    rounds: int = 5
    seconds: float = 3.0
    warmup_s: float = 1.0
    quiet_s: float = 3.0


OnRun = Callable[[int, Contender, Workload, Run], object]
"""Told of every run: round from 0, contender, workload, figures."""


def measure_all(
    contenders: Sequence[Contender], workloads: Sequence[Workload], plan: Plan, on_run: OnRun
) -> list[Summary]:
    """Run everything; the summaries by workload, in the order of the contenders."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for workload in workloads:
        for round_, contender in in_turns(contenders, plan.rounds):
            run = measure(contender, workload, plan)
            runs.setdefault((workload.name, contender.name), []).append(run)
            on_run(round_, contender, workload, run)
    return [
        summarise(contender.name, workload.name, found, runs[workload.name, contenders[0].name])
        for workload in workloads
        for contender in contenders
        if (found := runs[workload.name, contender.name])
    ]


def in_turns(contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """Round by round every contender once, beginning with another one each time."""
    for round_ in range(rounds):
        shift = round_ % len(contenders)
        for contender in (*contenders[shift:], *contenders[:shift]):
            yield round_, contender


def measure(contender: Contender, workload: Workload, plan: Plan) -> Run:
    """One run. Raises `BenchFailed`; every process has ended and every file is gone either way."""
    with tempfile.TemporaryDirectory(prefix="meshbus-bench-") as directory, ExitStack() as stack:
        place = Path(directory)
        broker = contender.start_broker(place)
        stack.callback(broker.stop)
        subscriber = stack.enter_context(_role("subscriber", contender, broker.address, place))
        publisher = stack.enter_context(_role("publisher", contender, broker.address, place))
        trial = Trial(publisher, subscriber, broker.pid, plan.quiet_s)
        warmed_up = trial.part(0, plan.warmup_s, workload.rate)
        return trial.part(warmed_up.published, plan.seconds, workload.rate)


class Trial:
    """The processes of one run, at work."""

    def __init__(self, publisher: Child, subscriber: Child, broker: int, quiet_s: float) -> None:
        self._publisher = publisher
        self._subscriber = subscriber
        self._quiet_s = quiet_s
        pids = {"publisher": publisher.pid, "broker": broker, "subscriber": subscriber.pid}
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}

    def part(self, first: int, seconds: float, rate: int) -> Run:
        """Publish for so long, wait for what arrives."""
        self._subscriber.ask("begin", PATIENCE_S, first=first)
        before = self._cpu_s()
        said = self._publisher.ask("publish", seconds + PATIENCE_S, first=first, seconds=seconds, rate=rate)
        published = said["published"]
        self._subscriber.ask("wait", PATIENCE_S, published=published, quiet_s=self._quiet_s)
        spent = {name: after - before[name] for name, after in self._cpu_s().items()}
        report = self._subscriber.ask("report", PATIENCE_S)
        return make_run(published, report, said["late_us_p99"], spent)

    def _cpu_s(self) -> dict[str, float]:
        """Processor time of every process so far, in seconds (the kernel counts in steps of 10 ms)."""
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: each.user + each.system for name, each in times.items()}


def _role(role: str, contender: Contender, address: str, place: Path) -> Child:
    command = ["-m", "tools.bench.roles", role, contender.name, address]
    return Child(f"the {role} of {contender.name}", command, place / f"{role}.log")
