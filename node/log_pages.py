"""Pages of the log for people: the events of a pattern, forwards from a moment or backwards from the end.

    positions   1 ────────────── 400 ═══════════ 512 ────────────── 900
                                  └── one page ──┘
                     before=513 ◀──              ──▶ after=399, or since=a time

A page is a bounded piece of the log, not a number of matches: a pattern that hardly ever matches must not make one
answer read the whole log, because the node's one thread reads it. Whoever wants more asks on from where a page ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from mesh.errors import MalformedFrame
from mesh.event import EventId
from mesh.limits import REPLAY_BYTES_MAX
from mesh.records import records
from mesh.requests import can_be_nested
from mesh.topic import Pattern
from node.changes import LogRow
from node.delivery import check_since
from node.log_reader import LogReader, checked_frame

Row = dict[str, Any]

PAGE_BATCHES_MAX = 256
ROW_BYTES = 400
"""What a row weighs in the answer beside its payload: identity, times, hash, and their names."""


ANSWER_NESTS = 3
"""How deep an answer nests a payload itself: a row, of the rows, of the answer."""


class Page(NamedTuple):
    """Matching events, oldest first. The page looked through the positions `first`..`last`; `more` lies beyond it."""

    rows: list[Row]
    first: int
    last: int
    more: bool


def page_before(log: LogReader, pattern: Pattern, before: int, limit: int) -> Page:
    """The page that ends before a position, with its last `limit` matches."""
    batches = _bounded(log.tail(before, PAGE_BATCHES_MAX))[::-1]
    if not batches:
        return Page([], before, before - 1, False)
    found = [row for row in _matches(batches, pattern) if row["position"] < before]
    first = found[-limit]["position"] if len(found) > limit else batches[0].position
    return Page(found[-limit:], first, before - 1, any(log.tail(first, 1)))


def page_after(log: LogReader, pattern: Pattern, after: int, limit: int) -> Page:
    """The page that begins after a position, with its first `limit` matches."""
    batches = _bounded(log.after(after + 1, PAGE_BATCHES_MAX))
    if not batches:
        return Page([], after + 1, after, False)
    found = [row for row in _matches(batches, pattern) if row["position"] > after]
    last = found[limit - 1]["position"] if len(found) > limit else batches[-1].position + batches[-1].count - 1
    return Page(found[:limit], after + 1, last, any(log.after(last + 1, 1)))


def position_before(log: LogReader, since: object, now_us: int) -> int:
    """The position before the first batch taken in since a moment, for `page_after`. `since` as in `subscribe`."""
    kind, value = check_since(since)
    if kind == "earliest":
        return 0
    if kind == "now":
        return log.next_position() - 1
    return log.position_at(value if kind == "time_us" else now_us - value) - 1


def _matches(batches: Iterable[LogRow], pattern: Pattern) -> list[Row]:
    return [row for batch in batches for row in event_rows(batch) if pattern.matches(row["topic"])]


def _bounded(batches: Iterable[LogRow]) -> list[LogRow]:
    """The first of the batches that fit one answer; at least one, if there is any."""
    taken, room = list[LogRow](), REPLAY_BYTES_MAX
    for batch in batches:
        room -= len(batch.frame) + ROW_BYTES * batch.count
        if taken and room < 0:
            break
        taken.append(batch)
    return taken


def event_rows(batch: LogRow) -> list[Row]:
    """The events of a batch, as the CLI shows them; none when the row is damaged."""
    try:
        frame = checked_frame(batch)
    except MalformedFrame:
        return []
    return [
        {
            "id": str(EventId(frame.origin, frame.topic, frame.sequence + index)),
            "topic": frame.topic,
            "origin": frame.origin,
            "sequence": frame.sequence + index,
            "position": batch.position + index,
            "time": record.time_us / 1e6,
            "appended_at": batch.appended_us / 1e6,
            "publisher": frame.publisher.hex(),
            "number": frame.number + index,
            "hash": record.hash.hex(),
            "meta": readable(record.meta) if record.meta else {},
            "payload": readable(record.body),
        }
        for index, record in enumerate(records(frame))
    ]


def readable(data: bytes | str) -> Any:
    """A payload as people are shown it: its JSON, or the text.

    That is where a foreign publisher sent something else, and where it is nested so deep that no answer could say it.
    """
    text = data if isinstance(data, str) else data.decode(errors="replace")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return text
    return found if can_be_nested(found, text.count("[") + text.count("{"), ANSWER_NESTS) else text


def start_of(log: LogReader, fields: Mapping[str, Any], now_us: int) -> int | None:
    """The position a request wants to read on after (`after` or `since`), or None when it reads backwards."""
    if fields.get("since") is not None:
        return position_before(log, fields["since"], now_us)
    return None if fields.get("after") is None else int(fields["after"])
