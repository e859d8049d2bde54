"""`python -m tools.profile`: where the time of an event goes.

run 1   as it is          events/s, processor time per event and memory over time of each process
run 2   under a profiler  the shares of every stage and function ──▶ microseconds per event of run 1

python -m tools.profile                      bursts
python -m tools.profile -w singles --functions 30 --seconds 10
python -m tools.profile --json > profile.json
python -m tools.profile --latency            instead: where an event waits between publish() and its handler
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tools.bench.contender import BenchFailed
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import Run
from tools.bench.runner import Cell, Plan, Trial, check_installed, running
from tools.bench.workloads import WORKLOADS
from tools.profile.latency import Latency, latency
from tools.profile.stages import Cost, functions, read, stages
from tools.profile.under import PROCESSES, run_under

SAMPLE_S = 0.25
Memory = list[tuple[float, float]]
"""seconds since the start, resident megabytes"""


def profile(
    workload: Annotated[str, typer.Option("--workload", "-w", help=f"One of {', '.join(WORKLOADS)}.")] = "burst",
    contender: Annotated[str, typer.Option("--contender", "-c", help="A way of using meshbus.")] = "meshbus",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each run publishes.")] = 3.0,
    most: Annotated[int, typer.Option("--functions", help="Functions of each process.")] = 12,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    waiting: Annotated[bool, typer.Option("--latency", help="Where an event waits, at 1,000/s; no other run.")] = False,
) -> None:
    """Say where the time of an event goes: publisher, node and subscriber."""
    workload = "latency" if waiting and workload == "burst" else workload
    if workload not in WORKLOADS or not contender.startswith("meshbus") or contender not in CONTENDERS:
        raise typer.BadParameter(f"{contender!r} and {workload!r} are no contender of meshbus and a workload")
    if WORKLOADS[workload].hops > 1 or WORKLOADS[workload].subscribers > 1:
        raise typer.BadParameter(f"{workload!r} has several processes of a kind; choose one with one node")
    cell = Cell(CONTENDERS[contender], WORKLOADS[workload])
    try:
        check_installed()
    except BenchFailed as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    if waiting:
        _show_latency(_latency(cell, seconds), json_)
        return
    plain, memory = _plain(cell, seconds)
    found = {"events_per_s": plain.events_per_s, "cpu_us": dict(plain.cpu_us), "memory": memory}
    with tempfile.TemporaryDirectory(prefix="meshbus-profile-") as directory:
        events = run_under("tools.profile.profiled", cell, seconds, Path(directory)).delivered
        costs = {
            process: _costs(Path(directory) / process, plain.cpu_us[process], events, most) for process in PROCESSES
        }
    if json_:
        print(json.dumps({**found, "processes": costs}))
        return
    console = Console(width=None if Console().is_terminal else 110)
    console.print(f"{workload}: {plain.events_per_s:,.0f} events/s, {plain.lost:,} lost")
    for process, (by_stage, by_function) in costs.items():
        console.print(_table(f"{process}: {plain.cpu_us[process]:.2f} µs of processor time per event", by_stage))
        console.print(_table("the dearest functions", by_function))
        console.print(f"memory, MB at s: {_line(memory[process])}\n", highlight=False)


def _latency(cell: Cell, seconds: float) -> Latency:
    """A run that notes when each event passed each stage."""
    with tempfile.TemporaryDirectory(prefix="meshbus-profile-") as directory:
        run_under("tools.profile.stamped", cell, seconds, Path(directory))
        return latency(Path(directory))


def _show_latency(found: Latency, json_: bool) -> None:
    if json_:
        print(json.dumps({**found._asdict(), "steps": [step._asdict() for step in found.steps]}))
        return
    table = Table("until", title=f"{found.events:,} events, µs", title_justify="left")
    for name in ("median", "p90", "p99"):
        table.add_column(name, justify="right")
    for step in found.steps:
        table.add_row(step.name, *(f"{us:.0f}" for us in step[1:]))
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    console.print(f"later than 1 ms: {sum(found.late.values()):,}")
    for cause, count in found.late.items():
        console.print(f"  {count:6,}  {cause}", highlight=False)


def _plain(cell: Cell, seconds: float) -> tuple[Run, dict[str, Memory]]:
    """A run as it is."""
    plan = Plan()
    with running(cell, plan.quiet_s) as trial:
        warmed_up = trial.part(0, plan.warmup_s)
        with _sampled(trial) as memory:
            run = trial.part(warmed_up.published, seconds)
    return run, memory


@contextmanager
def _sampled(trial: Trial) -> Iterator[dict[str, Memory]]:
    """Look at the memory of every process until the context ends."""
    memory: dict[str, Memory] = {name: [] for name in PROCESSES}
    over, begin = threading.Event(), monotonic()

    def sample() -> None:
        while True:
            for name, processes in trial.processes.items():
                memory[name].append((monotonic() - begin, processes[0].memory_info().rss / 1e6))
            if over.wait(SAMPLE_S):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


def _costs(place: Path, cpu_us: float, events: int, most: int) -> tuple[list[Cost], list[Cost]]:
    found = read(place)
    return stages(found, cpu_us, events), functions(found, cpu_us, events, most)


def _table(title: str, costs: Sequence[Cost]) -> Table:
    table = Table("where", title=title, title_justify="left")
    for name in ("µs/event", "share", "calls/event"):
        table.add_column(name, justify="right")
    total = sum(cost.us for cost in costs) or 1.0
    for cost in costs:
        if cost.us >= 0.01:
            table.add_row(cost.name, f"{cost.us:.2f}", f"{100 * cost.us / total:.0f} %", f"{cost.calls:.3f}")
    return table


def _line(memory: Memory) -> str:
    every: Any = max(1, len(memory) // 10)
    return " · ".join(f"{megabytes:.0f} at {at:.1f}" for at, megabytes in memory[::every])


if __name__ == "__main__":
    typer.run(profile)
