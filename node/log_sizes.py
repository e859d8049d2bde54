"""The log's sizes: how much of it there is, in all and per stream, and what its oldest part takes.

    position  1 ─────────── 65 ──── 70 ──────────── 134 …       both ends say how much: events are counted by positions,
              oldest                                 last        and deleted from the front

For what is shown to people, for the books, and for retention. Nothing here reads a frame.
"""

from __future__ import annotations

from collections.abc import Iterator

from node.log_reader import LogReader
from node.store import Store


class LogSizes:
    """Questions to the log of a store, which `log` reads. Raises `StoreError` like the store."""

    def __init__(self, store: Store, log: LogReader) -> None:
        self._store = store
        self._log = log
        self._rows = store.rows

    def size(self) -> dict[str, int]:
        """Batches, events, bytes of the database file, first and last position. Reads an index, not the frames."""
        row = next(self._rows("SELECT count(*), coalesce(sum(count), 0) FROM log INDEXED BY log_by_stream"))
        return {**self.extent(), "batches": row[0], "events": row[1]}

    def extent(self) -> dict[str, int]:
        """Events, bytes of the database file, first and last position, from both ends of the log alone.

        Positions count events, and what is deleted is deleted from the front.
        """
        last = self._log.next_position() - 1
        first = next(self._rows("SELECT position FROM log ORDER BY position LIMIT 1"), (0,))[0]
        events = last - first + 1 if first else 0
        return {"events": events, "bytes": self._store.size_bytes(), "first_position": first, "last_position": last}

    def streams(self) -> dict[int, tuple[int, int, int]]:
        """Per stream, beyond its base: lowest sequence in the log, highest, events in between. Reads an index."""
        sql = (
            "SELECT stream, min(sequence), max(sequence + count - 1), sum(count) FROM streams CROSS JOIN log "
            "INDEXED BY log_by_stream ON log.stream = streams.id AND log.sequence > streams.base GROUP BY stream"
        )
        return {row[0]: (row[1], row[2], row[3]) for row in self._rows(sql)}

    def oldest(self, limit: int) -> Iterator[tuple[int, int, int, int]]:
        """position, count, appended_us and bytes of the frame of the oldest batches, oldest first."""
        return self._rows(
            "SELECT position, count, appended_us, length(frame) FROM log ORDER BY position LIMIT ?", (limit,)
        )
