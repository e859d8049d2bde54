"""How the log and one event of it look."""

from __future__ import annotations

import time
from typing import Any

import orjson
from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli.screen import facts, one_line, plain, table, titled
from mesh.cli.times import moment, size

Row = dict[str, Any]


def stats(answer: Row) -> RenderableType:
    """The size of the log, then its streams."""
    parts: list[RenderableType] = [
        facts(
            [
                ("events", str(answer["events"])),
                ("batches", str(answer["batches"])),
                ("on disk", size(answer["bytes"])),
                ("positions", f"{answer['first_position']} to {answer['last_position']}" if answer["events"] else "-"),
            ]
        )
    ]
    if answer["streams"]:
        made = table("origin", "topic", "head>", "in log>")
        for row in answer["streams"]:
            made.add_row(one_line(row["origin"]), one_line(row["topic"]), str(row["head"]), str(row["in_log"]))
        parts.append(titled("streams", made))
    return Group(*parts)


def event(row: Row) -> RenderableType:
    """One event in full."""
    now = time.time()
    rows: list[tuple[str, str | Text]] = [
        ("event", plain(row["id"])),
        ("published", moment(row["time"], now)),
        ("taken in", f"{moment(row['appended_at'], now)} at position {row['position']}"),
        ("publisher", f"{row['publisher']}, its number {row['number']}"),
        ("hash", row["hash"]),
    ]
    rows += [(plain(name), plain(value)) for name, value in row["meta"].items()]
    payload = orjson.dumps(row["payload"], option=orjson.OPT_INDENT_2).decode()
    return Group(facts(rows), titled("payload", Text(plain(payload))))
