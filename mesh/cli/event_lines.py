"""An event on one line: as JSON for programs, as text for people. The same for live events and for those of the log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from mesh.event import Event

Row = dict[str, Any]


def event_row(event: Event) -> Row:
    """What `mesh sub --json` prints of an event; `id`, `time` and the like as in the rows of `mesh log`."""
    return {
        "id": event.id,
        "topic": event.topic,
        "origin": event.origin,
        "sequence": event.sequence,
        "position": event.position,
        "time": event.time_us / 1e6,
        "hash": event.hash,
        "attempt": event.attempt,
        "replayed": event.replayed,
        "source": event.source,
        "trace": event.trace,
        "payload": event.payload,
    }


def event_json(row: Row) -> str:
    """The row as one line of JSON."""
    return orjson.dumps(row).decode()


def event_text(row: Row) -> str:
    """Local time, id and payload; control characters made visible, because strangers wrote them."""
    from mesh.cli.screen import plain

    then = datetime.fromtimestamp(row["time"]).isoformat(" ", "milliseconds")
    return f"{then}  {plain(row['id'])}  {plain(orjson.dumps(row['payload']).decode())}"
