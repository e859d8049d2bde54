"""The targets as a table, and as JSON.

JSON: {"plan": {…}, "targets": [{about, against, bound, limit, unit, met: true | false | null, lost,
       measured, ours, theirs: {median, least, greatest} | null}]}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tools.bench.figures import Spread
from tools.bench.report import format_spread
from tools.bench.runner import Plan
from tools.bench.targets import Verdict

_WORDS = {True: "yes", False: "NO", None: "not measured"}


def targets_json(verdicts: Sequence[Verdict], plan: Plan) -> dict[str, Any]:
    """Everything, in the shape the module describes."""
    return {"plan": asdict(plan), "targets": [{**asdict(each), "met": each.met} for each in verdicts]}


def make_targets_table(verdicts: Sequence[Verdict]) -> Table:
    """A row for each target."""
    table = Table(title="What meshbus promises about its speed", title_justify="left")
    for name in ("measured", "against"):
        table.add_column(name)
    for name in ("target", "found", "met", "meshbus", "the other", "lost\nours / theirs"):
        table.add_column(name, justify="right")
    for each in verdicts:
        sign = "≥" if each.bound == "at least" else "≤"
        unit = f" {each.unit}" if each.unit else " times"
        table.add_row(
            each.about,
            each.against,
            f"{sign} {each.limit:g}{unit}",
            _found(each.measured),
            _WORDS[each.met],
            _figure(each.ours),
            _figure(each.theirs),
            each.lost,
        )
    return table


def _found(spread: Spread | None) -> str:
    return "" if spread is None else format_spread(spread, 1, ".2f")


def _figure(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{spread.median:,.0f}" if spread.median >= 1000 else f"{spread.median:.3g}"
