"""`python -m tools.bench`: measure the contenders and print a table for each workload, or JSON.

    python -m tools.bench                                     everything, five rounds: some minutes
    python -m tools.bench -c meshbus -c zmq-proxy -w burst    two contenders, one workload
    python -m tools.bench --json --rounds 1 --seconds 1

Tables and JSON go to standard output, the course of things to standard error. Ctrl-C and SIGTERM end every process that
was started and remove every file.
"""

from __future__ import annotations

import json
import signal
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console

from mesh.errors import MeshError
from tools.bench.contender import Contender
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import Run
from tools.bench.report import as_json, make_table
from tools.bench.runner import Plan, measure_all
from tools.bench.workloads import WORKLOADS, Workload

Named = TypeVar("Named", Contender, Workload)


def bench(
    contender: Annotated[list[str] | None, typer.Option("--contender", "-c", help="Repeatable; default: all.")] = None,
    workload: Annotated[list[str] | None, typer.Option("--workload", "-w", help="Repeatable; default: all.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each contender.")] = Plan.rounds,
    seconds: Annotated[float, typer.Option(min=0.05, help="How long a run publishes.")] = Plan.seconds,
    warmup: Annotated[float, typer.Option(min=0.05, help="How long it publishes before that.")] = Plan.warmup_s,
    quiet: Annotated[float, typer.Option(help="Seconds without a delivery until the rest is lost.")] = Plan.quiet_s,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure meshbus beside other systems: publisher, broker and subscriber are a process each."""
    signal.signal(signal.SIGTERM, _interrupt)
    contenders, workloads = _chosen(CONTENDERS, contender), _chosen(WORKLOADS, workload)
    plan, course = Plan(rounds, seconds, warmup, quiet), Console(stderr=True)

    def tell(round_: int, which: Contender, what: Workload, run: Run) -> None:
        figure = f"p99 {run.latency_us['p99'] / 1e3:.2f} ms" if what.rate else f"{run.events_per_s:,.0f} events/s"
        course.print(f"{what.name} {round_ + 1}/{rounds} {which.name}: {figure}, {run.lost:,} lost", highlight=False)

    try:
        summaries = measure_all(contenders, workloads, plan, tell)
    except MeshError as error:
        course.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    if json_:
        print(json.dumps(as_json(contenders, plan, summaries)))
    else:
        for each in workloads:
            Console().print(make_table(each, contenders, summaries))


def _chosen(known: dict[str, Named], names: list[str] | None) -> list[Named]:
    """What was asked for by name, each once; everything when nothing was."""
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not known; known are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names or known)]


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(bench)
