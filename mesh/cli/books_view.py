"""How consumers and the balance look."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli.screen import count, one_line, stacked, state, table, titled
from mesh.cli.times import age

Row = dict[str, Any]


def consumers(rows: list[Row]) -> RenderableType:
    """A table of consumers."""
    if not rows:
        return Text("no consumers: nobody has subscribed at this node")
    made = table("consumer, pattern", "state", "lag>", "behind>", "settled>", "failed>", "lost>", "seen>")
    for row in rows:
        made.add_row(
            stacked(one_line(row["consumer"]), one_line(row["pattern"])),
            state(row["state"], "durable" if row["durable"] else ""),
            str(row["lag"]),
            age(row["lag_s"]) if row["lag"] else "-",
            str(row["settled"]),
            count(row["failed"]),
            count(row["lost"]),
            age(row["last_report_s"]),
        )
    return made


def audit(answer: Row) -> RenderableType:
    """The verdict, then the balance of every consumer and stream, then what was lost."""
    parts: list[RenderableType] = [_verdict(answer)]
    if answer["consumers"]:
        parts.append(titled("consumers", _consumer_balances(answer["consumers"])))
    if answer["streams"]:
        parts.append(titled("streams", _stream_balances(answer["streams"])))
    if answer["lost_ranges"]:
        parts.append(titled("lost", _losses(answer["lost_ranges"])))
    return Group(*parts)


def _verdict(answer: Row) -> Text:
    wrong = [row for row in (*answer["consumers"], *answer["streams"]) if not row["balanced"]]
    if answer["balanced"]:
        return Text("the books balance", "green")
    return Text(f"the books do not balance: {len(wrong)} rows marked ✗ do not add up", "bold red")


def _consumer_balances(rows: list[Row]) -> RenderableType:
    made = table("", "consumer", "published>", "settled>", "waiting>", "dead>", "expired>", "lost>", "in flight>")
    for row in rows:
        made.add_row(
            _mark(row),
            one_line(row["consumer"]),
            str(row["published"]),
            str(row["settled"]),
            str(row["waiting"]),
            count(row["dead"]),
            str(row["expired"]),
            count(row["lost"]),
            str(row["in_flight"]),
        )
    return made


def _stream_balances(rows: list[Row]) -> RenderableType:
    made = table("", "origin", "topic", "published>", "in log>", "deleted>", "missing>")
    for row in rows:
        made.add_row(
            _mark(row),
            one_line(row["origin"]),
            one_line(row["topic"]),
            str(row["published"]),
            str(row["in_log"]),
            str(row["deleted"]),
            count(row["missing"]),
        )
    return made


def _mark(row: Row) -> Text:
    return Text("✓", "green") if row["balanced"] else Text("✗", "bold red")


def _losses(rows: list[Row]) -> RenderableType:
    made = table("consumer", "stream", "first>", "last>", "reason")
    for row in rows:
        stream = f"{one_line(row['origin'])}/{one_line(row['topic'])}"
        whose = one_line(row["consumer"] or "(this node)")
        made.add_row(whose, stream, str(row["first"]), str(row["last"]), one_line(row["reason"]))
    return made
