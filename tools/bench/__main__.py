"""`python -m tools.bench`: measure the contenders and print a table for each workload.

    python -m tools.bench                                     everything, five rounds: about an hour
    python -m tools.bench --quick                             one short round of everything: some minutes
    python -m tools.bench --only meshbus --only zmq-proxy -w burst
    python -m tools.bench --targets                           what meshbus promises about its speed: 12 minutes
    python -m tools.bench --json-file bench.json --plot bench.svg

Tables and JSON go to standard output, the course of things to standard error. A system that is not installed is named
and left out. Ctrl-C and SIGTERM end every process that was started and remove every file.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from mesh.errors import MeshError
from tools.bench.contender import Contender
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import Run
from tools.bench.report import as_json, make_table, make_terms_table
from tools.bench.runner import Cell, Plan, check_installed, measure_all
from tools.bench.targets import measure_targets
from tools.bench.targets_report import make_targets_table, targets_json
from tools.bench.workloads import WORKLOADS, Workload

Named = TypeVar("Named", Contender, Workload)

QUICK = Plan(rounds=1, seconds=0.5, warmup_s=0.2)

WIDTH = 130
"""Columns of the tables where the output is no terminal."""

_course = Console(stderr=True)
_paper = Console(width=None if Console().is_terminal else WIDTH)


def bench(
    *,
    only: Annotated[
        list[str] | None, typer.Option("--only", "-c", help="A contender; repeatable; default: all.")
    ] = None,
    workload: Annotated[list[str] | None, typer.Option("--workload", "-w", help="Repeatable; default: all.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Runs of each contender (5).")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.05, help="How long a run publishes (2).")] = None,
    warmup: Annotated[float | None, typer.Option(min=0.05, help="How long it publishes before that (0.5).")] = None,
    quiet: Annotated[float | None, typer.Option(help="Seconds without a delivery until the rest is lost (3).")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One short round: figures to look at, not to quote.")] = False,
    targets: Annotated[
        bool, typer.Option("--targets", help="Measure what meshbus promises, and say what holds.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the figures into this SVG file (needs the extra `plot`).")
    ] = None,
    json_file: Annotated[Path | None, typer.Option(help="Write everything as JSON into this file.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure meshbus beside other systems: publisher, broker and subscriber are a process each."""
    signal.signal(signal.SIGTERM, _interrupt)
    chosen, workloads = _chosen(CONTENDERS, only), _chosen(WORKLOADS, workload)
    likely = QUICK if quick else Plan()
    plan = Plan(rounds or likely.rounds, seconds or likely.seconds, warmup or likely.warmup_s, quiet or likely.quiet_s)
    missing = {each.name: why for each in chosen if (why := each.missing())}
    for name, why in missing.items():
        _course.print(f"{name} is left out: {why}", highlight=False)
    contenders = [each for each in chosen if each.name not in missing]
    try:
        check_installed()
        if targets:
            found = _targets(contenders, plan, quick, json_)
        else:
            found = _everything(contenders, missing, workloads, plan, json_)
    except MeshError as error:
        _course.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    if json_:
        print(json.dumps(found))
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1))
    if plot is not None:
        from tools.bench.plot import draw

        draw(found, plot)


def _everything(
    contenders: list[Contender], missing: dict[str, str], workloads: list[Workload], plan: Plan, silent: bool
) -> dict[str, Any]:
    summaries = measure_all(contenders, workloads, plan, _tell(plan))
    if not silent:
        for each in workloads:
            _paper.print(make_table(each, contenders, summaries))
        _paper.print(make_terms_table(contenders))
    return as_json(contenders, missing, plan, summaries)


def _targets(contenders: list[Contender], plan: Plan, quick: bool, silent: bool) -> dict[str, Any]:
    verdicts = measure_targets([each.name for each in contenders], plan, quick, _tell(plan), _course.print)
    if not silent:
        _paper.print(make_targets_table(verdicts))
        _paper.print(make_terms_table(contenders))
    return targets_json(verdicts, plan)


def _tell(plan: Plan) -> Any:
    def tell(round_: int, cell: Cell, run: Run) -> None:
        contender, workload = cell
        figure = f"p99 {run.latency_us['p99'] / 1e3:.2f} ms" if workload.rate else f"{run.events_per_s:,.0f} events/s"
        done = f"{workload.name} {round_ + 1}/{plan.rounds} {contender.name}: {figure}, {run.lost:,} lost"
        _course.print(done, highlight=False)

    return tell


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
