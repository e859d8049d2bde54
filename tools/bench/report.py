"""What is printed: one table a workload, what stands behind the figures, or everything as JSON.

JSON: {"machine": {cpus, python, platform, load_1m}, "plan": {rounds, seconds, warmup_s, quiet_s},
       "contenders": {name: {synced, drops, verifies}}, "missing": {name: why},
       "results": [{contender, workload, expected, lost, repeated, ratio: {median, least, greatest},
       events_per_s: the same three, latency_us: {p50, p99, p99_9, max: the same three},
       cpu_us: {publisher, broker, subscriber: the same three}, runs: [see `figures.Run`]}]}

`ratio` is the first contender's events/s (meshbus, unless others were chosen) divided by this one's.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tools.bench.contender import Contender
from tools.bench.figures import Spread, Summary
from tools.bench.runner import Plan
from tools.bench.workloads import Workload, body_bytes

_MS = 1e-3


def as_json(
    contenders: Sequence[Contender], missing: Mapping[str, str], plan: Plan, summaries: Sequence[Summary]
) -> dict[str, Any]:
    """Everything, in the shape the module describes."""
    return {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "load_1m": os.getloadavg()[0],
        },
        "plan": asdict(plan),
        "contenders": {contender.name: contender.terms._asdict() for contender in contenders},
        "missing": dict(missing),
        "results": [asdict(summary) for summary in summaries],
    }


def make_table(workload: Workload, contenders: Sequence[Contender], summaries: Sequence[Summary]) -> Table:
    """One workload's table: a row for each contender, with what it syncs beside its figures."""
    table = Table(title=f"{workload.name}: {workload.about}", title_justify="left")
    table.add_column("contender", no_wrap=True)
    for column in (*_figure_columns(workload), "lost", "CPU µs/event\npub+broker+sub"):
        table.add_column(column, justify="right")
    table.add_column("synced to disk")
    synced = {contender.name: contender.terms.synced for contender in contenders}
    for each in summaries:
        if each.workload == workload.name:
            table.add_row(each.contender, *_figures(workload, each), _lost(each), _cpu(each), synced[each.contender])
    return table


def make_terms_table(contenders: Sequence[Contender]) -> Table:
    """What stands behind the figures of each contender."""
    table = Table("contender", "synced to disk", "drops", "verifies", title="What stands behind the figures")
    table.title_justify = "left"
    for contender in contenders:
        table.add_row(contender.name, *contender.terms)
    return table


def _figure_columns(workload: Workload) -> tuple[str, ...]:
    if workload.rate:
        return ("ms p50", "p99", "p99.9")
    return ("events/s" if workload.kind == "event" else "MB/s", "meshbus is\ntimes as fast")


def _figures(workload: Workload, summary: Summary) -> list[str]:
    if workload.rate:
        return [format_spread(summary.latency_us[key], _MS, ".2f") for key in ("p50", "p99", "p99_9")]
    if workload.kind == "event":
        throughput = format_spread(summary.events_per_s, 1, ",.0f")
    else:
        throughput = format_spread(summary.events_per_s, body_bytes(workload.kind) / 1e6, ",.0f")
    return [throughput, format_spread(summary.ratio, 1, ".2f")]


def format_spread(spread: Spread, unit: float, form: str) -> str:
    """The median, and below it the range it was found in."""
    least, greatest = format(spread.least * unit, form), format(spread.greatest * unit, form)
    return f"{format(spread.median * unit, form)}\n{least}-{greatest}"


def _lost(summary: Summary) -> str:
    again = f"\n{summary.repeated:,} twice" if summary.repeated else ""
    return f"{100 * summary.lost / max(1, summary.expected):.1f} %{again}" if summary.lost else f"0{again}"


def _cpu(summary: Summary) -> str:
    return "+".join(f"{summary.cpu_us[process].median:.1f}" for process in ("publisher", "broker", "subscriber"))
