"""What one turn wants written: rows for the store, gathered by the rules and carried out in one transaction.

    rules ──▶ Changes ──▶ Store.commit ──▶ disk ──▶ only then: receipts, frames, replies leave the node

Every field holds tuples in the column order of the statement of the same name in `node.store`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import NamedTuple


class LogRow(NamedTuple):
    """One batch for the log, in the column order of the table."""

    position: int
    stream: int
    sequence: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of a row
    appended_us: int
    publisher: bytes
    number: int
    frame: bytes


class LetterRow(NamedTuple):
    """One letter, in the column order of the table (without its id)."""

    consumer: str
    state: str
    origin: str
    topic: str
    sequence: int
    frame: bytes
    payload: str
    attempts: int
    retries: int
    kind: str
    error_type: str
    error: str
    traceback: str
    first_failed_us: int
    last_failed_us: int
    next_attempt_us: int | None


class Books(NamedTuple):
    """A consumer's row: who it is and what became of the events its cursors passed."""

    name: str
    pattern: str
    durable: bool
    policy: str
    passed: int
    handled: int
    failed: int
    lost: int
    resolved: int
    expired: int
    seen_us: int


class MemberRow(NamedTuple):
    """A member and where it may be dialled (JSON), in the column order of the table."""

    origin: str
    name: str
    incarnation: int
    sequence: int
    addresses: str


@dataclass(slots=True)
class Changes:
    """Everything one transaction writes. Empty means that there is nothing to commit.

    `trim_before` deletes the log before a position, `holes_before` the holes recorded before a moment, `vacuum_pages`
    gives free pages back to the file system.
    """

    streams: list[tuple[int, str, str, int, int]] = field(default_factory=list)
    log: list[LogRow] = field(default_factory=list)
    heads: dict[int, int] = field(default_factory=dict)
    bases: dict[int, int] = field(default_factory=dict)
    publishers: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    reporters: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    books: dict[str, Books] = field(default_factory=dict)
    cursors: dict[tuple[str, int], int] = field(default_factory=dict)
    crashes: dict[tuple[str, int, int], int] = field(default_factory=dict)
    crashes_passed: list[tuple[str, int, int]] = field(default_factory=list)
    losses: list[tuple[str, str, str, int, int, str, int]] = field(default_factory=list)
    holes: list[tuple[int, int, int, int]] = field(default_factory=list)
    letters: list[LetterRow] = field(default_factory=list)
    letters_again: list[tuple[str, int, str, str, str, str, int, int | None, int]] = field(default_factory=list)
    letters_retried: list[tuple[int, int]] = field(default_factory=list)
    letters_ended: list[tuple[int]] = field(default_factory=list)
    actions: list[tuple[int, str, str, int, str]] = field(default_factory=list)
    consumers_forgotten: list[tuple[str]] = field(default_factory=list)
    publishers_forgotten: list[tuple[bytes]] = field(default_factory=list)
    members: list[MemberRow] = field(default_factory=list)
    members_forgotten: list[tuple[str]] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    meta_forgotten: list[tuple[str]] = field(default_factory=list)
    trim_before: int = 0
    holes_before: int = 0
    vacuum_pages: int = 0

    def letters_decided(self) -> set[int]:
        """The letters of which the disk says something else than it will."""
        again, retried = {row[-1] for row in self.letters_again}, {row[-1] for row in self.letters_retried}
        return again.union(retried, (id_ for (id_,) in self.letters_ended))

    def __bool__(self) -> bool:
        return bool(self.log) or any(_everything(self))


_everything = attrgetter(*(each.name for each in fields(Changes)))
"""All fields at once: the question comes with every turn, and most turns have nothing to write."""
