"""Reading the replay log: small questions by position or sequence, each one statement with a name and a sentence.

    position  1 ─────────── 65 ──── 70 ──────────── 134 …       one row a batch, in the order this node took them in
    stream    A:1..64       B:1..5  A:65..128       …           an index by (stream, sequence) finds a batch in a stream

Positions, arrival times, and the sequences of each stream all ascend together: a moment or a sequence is found by
bisection, without an index of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from mesh.errors import MalformedFrame
from mesh.frame import Frame, decode
from mesh.limits import BATCH_EVENTS_MAX
from node.changes import LogRow
from node.store import Store

DAMAGED_MAX = 10_000
"""Damaged rows that are named; a disk with more of them needs no more lines in the log file."""

_log = logging.getLogger(__name__)


class EventAt(NamedTuple):
    """Which event stands somewhere in a stream: whose, its publisher's count of it, and where it is in the log."""

    publisher: str
    number: int
    position: int


def checked_frame(row: LogRow) -> Frame:
    """A row's frame. Raises `MalformedFrame` when it is not what was written, or not where it was written."""
    frame = decode(row.frame)
    if (frame.sequence, frame.count, frame.number) != (row.sequence, row.count, row.number):
        raise MalformedFrame("row", f"sequence {row.sequence}, the frame has {frame.sequence}")
    return frame


class LogReader:
    """Questions to the log of a store. Raises `StoreError` like the store.

    `damaged`: positions of rows that were found to be no longer what was written, since the start.
    """

    def __init__(self, store: Store) -> None:
        self._rows = store.rows
        self.damaged: set[int] = set()

    def frame(self, row: LogRow) -> Frame | None:
        """A row's frame, or None when it is not what was written: named in the log file once, never to be delivered."""
        try:
            return checked_frame(row)
        except MalformedFrame as error:
            if row.position not in self.damaged and len(self.damaged) < DAMAGED_MAX:
                self.damaged.add(row.position)
                _log.error("log row at position %d is damaged and will not be delivered: %s", row.position, error)
            return None

    def next_position(self) -> int:
        """The position the next event gets; positions start at 1."""
        row = next(self._rows("SELECT position + count FROM log ORDER BY position DESC LIMIT 1"), None)
        return int(row[0]) if row else 1

    def rows_since(self, appended_us: int) -> Iterator[LogRow]:
        """Batches taken in since a moment, oldest first."""
        first = self.position_at(appended_us)
        for row in self._rows("SELECT * FROM log WHERE position >= ? ORDER BY position", (first,)):
            yield LogRow(*row)

    def position_at(self, appended_us: int) -> int:
        """The first position taken in at or after a moment (bisection: positions and arrival times ascend together)."""
        low, high = 1, self.next_position()
        while low < high:
            middle = (low + high) // 2
            row = next(self._rows("SELECT position, appended_us FROM log WHERE position >= ? LIMIT 1", (middle,)), None)
            if row is None or row[0] >= high or row[1] >= appended_us:
                high = middle
            else:
                low = row[0] + 1
        return low

    def batches(self, stream: int, first: int, last: int) -> Iterator[LogRow]:
        """The batches of a stream that hold any of the sequences `first`..`last`, in order."""
        start = next(
            self._rows("SELECT max(sequence) FROM log WHERE stream = ? AND sequence <= ?", (stream, first)), (None,)
        )[0]
        sql = (
            "SELECT * FROM log WHERE stream = ? AND sequence >= ? AND sequence <= ? AND sequence + count > ? "
            "ORDER BY sequence"
        )
        for row in self._rows(sql, (stream, first if start is None else start, last, first)):
            yield LogRow(*row)

    def first_sequence(self, stream: int, position: int) -> int | None:
        """The lowest sequence of a stream in a batch at or after a position, or None (bisection again)."""
        sql = "SELECT sequence, count, position FROM log WHERE stream = ? AND sequence >= ? ORDER BY sequence LIMIT 1"
        low, high = next(
            self._rows("SELECT min(sequence), max(sequence) + 1 FROM log WHERE stream = ?", (stream,)), (None, None)
        )
        if low is None:
            return None
        found = None
        while low < high:
            middle = (low + high) // 2
            row = next(self._rows(sql, (stream, middle)), None)
            if row is None or row[2] >= position:
                high, found = middle, row[0] if row else found
            else:
                low = row[0] + row[1]
        return found

    def receipts(self, publisher: bytes, position: int, number: int) -> Iterator[LogRow]:
        """A publisher's batches from its last one (at `position`) back to the one that holds `number`."""
        sql = "SELECT * FROM log WHERE position <= ? AND publisher = ? ORDER BY position DESC"
        for row in self._rows(sql, (position, publisher)):
            yield LogRow(*row)
            if row[6] <= number:
                return

    def tail(self, before: int, limit: int) -> Iterator[LogRow]:
        """The last `limit` batches before a position, newest first."""
        sql = "SELECT * FROM log WHERE position < ? ORDER BY position DESC LIMIT ?"
        return (LogRow(*row) for row in self._rows(sql, (before, limit)))

    def after(self, position: int, limit: int) -> Iterator[LogRow]:
        """The first `limit` batches that end after a position, oldest first."""
        sql = (
            "SELECT * FROM log WHERE position >= coalesce((SELECT max(position) FROM log WHERE position <= ?1), ?1) "
            "AND position + count > ?1 ORDER BY position LIMIT ?2"
        )
        return (LogRow(*row) for row in self._rows(sql, (position, limit)))

    def end_behind(self, stream: int, sequence: int) -> tuple[int, int]:
        """What the log has of a stream behind a sequence, as a base and a head with nothing missing in between.

        Both are the sequence where it has nothing behind it; both are the end of what it has where that has a hole.
        """
        last = next(self._rows("SELECT max(sequence + count - 1) FROM log WHERE stream = ?", (stream,)), (None,))[0]
        if last is None or last <= sequence:
            return sequence, sequence
        base, wanted = None, sequence + 1
        for row in self.batches(stream, sequence + 1, last):
            if row.sequence > wanted:
                return last, last
            base = row.sequence - 1 if base is None else base
            wanted = row.sequence + row.count
        return (base, last) if base is not None and wanted > last else (last, last)

    def events_at(self, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], EventAt]:
        """(stream, sequence) → which event stands there, of those that the log has. The publisher is in hex."""
        sql = (
            "WITH places AS (SELECT value ->> 0 AS stream, value ->> 1 AS sequence FROM json_each(?)) "
            "SELECT p.stream, p.sequence, lower(hex(publisher)), number + p.sequence - log.sequence, "
            "position + p.sequence - log.sequence FROM places p CROSS JOIN log ON log.stream = p.stream AND "
            "log.sequence = (SELECT max(sequence) FROM log WHERE stream = p.stream AND sequence <= p.sequence) "
            "WHERE p.sequence < log.sequence + count"
        )
        rows = self._rows(sql, (orjson.dumps(list(places)).decode(),))
        return {(row[0], row[1]): EventAt(row[2], row[3], row[4]) for row in rows}

    def holes(self) -> list[tuple[int, int, int, int]]:
        """stream, first, last, when: every range of a stream that was found to be lost between nodes."""
        return list(self._rows("SELECT stream, first, last, at_us FROM holes ORDER BY id"))

    def appended_us(self, stream: int, sequence: int) -> int | None:
        """When this node took in the batch that holds a sequence, or the next one after it."""
        sql = (
            "SELECT appended_us FROM log WHERE stream = ? AND sequence > ? AND sequence + count > ? "
            "ORDER BY sequence LIMIT 1"
        )
        row = next(self._rows(sql, (stream, sequence - BATCH_EVENTS_MAX, sequence)), None)
        return int(row[0]) if row else None
