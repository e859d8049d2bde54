"""What is printed: one table a workload, or everything as JSON.

JSON: {"machine": {cpus, python, platform, load_1m}, "plan": {rounds, seconds, warmup_s, quiet_s},
       "contenders": {name: about}, "results": [{contender, workload, ratio, published, lost, repeated,
       events_per_s: {median, least, greatest}, latency_us: {p50, p99, p99_9, max: the same three},
       cpu_us: {publisher, broker, subscriber: the same three}, runs: [see `figures.Run`]}]}
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tools.bench.contender import Contender
from tools.bench.figures import Spread, Summary
from tools.bench.runner import Plan
from tools.bench.workloads import Workload

_MS = 1e-3


def as_json(contenders: Sequence[Contender], plan: Plan, summaries: Sequence[Summary]) -> dict[str, Any]:
    """Everything, in the shape the module describes."""
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "load_1m": os.getloadavg()[0],
        },
        "plan": asdict(plan),
        "contenders": {contender.name: contender.about for contender in contenders},
        "results": [asdict(summary) for summary in summaries],
    }


def make_table(workload: Workload, contenders: Sequence[Contender], summaries: Sequence[Summary]) -> Table:
    """One workload's table: a row for each contender, and what each promises below."""
    promises = "\n".join(f"{contender.name}: {contender.about}" for contender in contenders)
    table = Table(title=f"{workload.name}: {workload.about}", caption=promises)
    table.title_justify = table.caption_justify = "left"
    table.add_column("contender", no_wrap=True)
    for column in (*_figure_columns(workload), "lost", "CPU µs/event\npub+broker+sub"):
        table.add_column(column, justify="right")
    for each in summaries:
        if each.workload == workload.name:
            table.add_row(each.contender, *_figures(workload, each), _lost(each), _cpu(each))
    return table


def _figure_columns(workload: Workload) -> tuple[str, ...]:
    return ("ms p50", "p99", "p99.9") if workload.rate else ("events/s", "ratio")


def _figures(workload: Workload, summary: Summary) -> list[str]:
    if workload.rate:
        return [_spread(summary.latency_us[key], _MS, ".2f") for key in ("p50", "p99", "p99_9")]
    return [_spread(summary.events_per_s, 1, ",.0f"), f"{summary.ratio:.2f}"]


def _spread(spread: Spread, unit: float, form: str) -> str:
    """The median, and below it the range it was found in."""
    least, greatest = format(spread.least * unit, form), format(spread.greatest * unit, form)
    return f"{format(spread.median * unit, form)}\n{least}-{greatest}"


def _lost(summary: Summary) -> str:
    again = f"\n{summary.repeated:,} twice" if summary.repeated else ""
    return f"{100 * summary.lost / max(1, summary.published):.1f} %{again}" if summary.lost else f"0{again}"


def _cpu(summary: Summary) -> str:
    return "+".join(f"{summary.cpu_us[process].median:.0f}" for process in ("publisher", "broker", "subscriber"))
