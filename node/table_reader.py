"""Reading the tables that the rules are rebuilt from at a start, and a few questions about sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from node.changes import Books, MemberRow
from node.store import Store


class StreamRow(NamedTuple):
    """A stream as the store knows it."""

    id: int
    origin: str
    topic: str
    base: int
    head: int


class TableReader:
    """What is remembered of streams, publishers, consumers and members. Raises `StoreError` as the store does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def streams(self) -> list[StreamRow]:
        """Every stream."""
        return [StreamRow(*row) for row in self._store.rows("SELECT id, origin, topic, base, head FROM streams")]

    def publishers(self) -> list[tuple[bytes, int, int]]:
        """publisher, last number admitted, position of its last batch."""
        return list(self._store.rows("SELECT publisher, number, position FROM publishers"))

    def publishers_before(self, seen_us: int, limit: int) -> list[bytes]:
        """Sessions that last published or reported before a moment."""
        sql = (
            "SELECT publisher FROM publishers WHERE seen_us < ?1 "
            "UNION SELECT session FROM reporters WHERE seen_us < ?1 LIMIT ?2"
        )
        return [row[0] for row in self._store.rows(sql, (seen_us, limit))]

    def last_report(self, session: bytes) -> int:
        """The serial of the last report taken in from a session, 0 for none."""
        row = next(self._store.rows("SELECT serial FROM reporters WHERE session = ?", (session,)), (0,))
        return int(row[0])

    def consumers(self) -> list[Books]:
        """Every consumer's books."""
        return [Books(row[0], row[1], bool(row[2]), *row[3:]) for row in self._store.rows("SELECT * FROM consumers")]

    def members(self) -> list[MemberRow]:
        """The peers that were known when this was last written."""
        return [MemberRow(*row) for row in self._store.rows("SELECT * FROM members")]

    def crashes(self) -> Iterator[tuple[str, int, int, int]]:
        """consumer, stream, sequence, deaths in a row."""
        return self._store.rows("SELECT consumer, stream, sequence, count FROM crashes")

    def cursors(self) -> Iterator[tuple[str, int, int]]:
        """consumer, stream, settled sequence, for every durable consumer."""
        return self._store.rows("SELECT consumer, stream, sequence FROM cursors")
