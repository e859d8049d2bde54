"""Reading the letters: the dead letter queue as the store has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mesh.errors import MalformedFrame
from mesh.frame import decode
from node.store import Store


class Letter(NamedTuple):
    """A letter as the store knows it. Times in microseconds since 1970."""

    id: int
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


def damage(letter: Letter) -> str:
    """What is wrong with a letter's frame, or "" when it is what was written."""
    try:
        frame = decode(letter.frame)
    except MalformedFrame as error:
        return str(error)
    same = (frame.origin, frame.topic, frame.sequence) == (letter.origin, letter.topic, letter.sequence)
    return "" if same else f"it holds {frame.origin}/{frame.topic}/{frame.sequence}"


class LetterFilter(NamedTuple):
    """Which letters: None means any. `topic` and `consumer` are exact names or GLOB patterns with `*`.

    `failed_before_us` takes in what failed first before that moment, in microseconds since 1970.
    """

    state: str | None = None
    topic: str | None = None
    consumer: str | None = None
    failed_before_us: int | None = None

    def where(self) -> tuple[str, list[str | int]]:
        """The SQL condition and its values."""
        parts, values = ["1"], list[str | int]()
        for column, value in (("state", self.state), ("topic", self.topic), ("consumer", self.consumer)):
            if value is not None:
                parts.append(f"{column} GLOB ?")
                values.append(value.replace("[", "[[]").replace("?", "[?]"))
        if self.failed_before_us is not None:
            parts.append("first_failed_us < ?")
            values.append(self.failed_before_us)
        return " AND ".join(parts), values


class LetterReader:
    """Questions to the letters of a store. Raises `StoreError` like the store."""

    def __init__(self, store: Store) -> None:
        self._rows = store.rows

    def one(self, id_: int) -> Letter | None:
        """One letter."""
        row = next(self._rows("SELECT * FROM letters WHERE id = ?", (id_,)), None)
        return Letter(*row) if row else None

    def some(self, chosen: LetterFilter, limit: int, after: int = 0) -> list[Letter]:
        """Letters in order of id, `limit` at most, beginning after the id `after`."""
        where, values = chosen.where()
        sql = f"SELECT * FROM letters WHERE {where} AND id > ? ORDER BY id LIMIT ?"
        return [Letter(*row) for row in self._rows(sql, (*values, after, limit))]

    def due(self, consumer: str, now_us: int, latest_us: int, limit: int) -> Iterator[Letter]:
        """A consumer's waiting letters whose next attempt is due, the most overdue first.

        Behind them those due later than `latest_us`, which can only have been written before the clock was set back.
        """
        waiting = "SELECT * FROM letters WHERE state = 'waiting' AND consumer = ? AND next_attempt_us"
        order = "ORDER BY next_attempt_us LIMIT ?"
        for condition, moment_us in (("<= ?", now_us), ("> ?", latest_us)):
            for row in self._rows(f"{waiting} {condition} {order}", (consumer, moment_us, limit)):
                yield Letter(*row)

    def next_due_us(self, consumer: str, after_us: int, latest_us: int) -> int | None:
        """When the consumer's next waiting letter falls due, later than `after_us` and not after `latest_us`."""
        sql = (
            "SELECT min(next_attempt_us) FROM letters "
            "WHERE state = 'waiting' AND consumer = ? AND next_attempt_us > ? AND next_attempt_us <= ?"
        )
        found: int | None = next(self._rows(sql, (consumer, after_us, latest_us)))[0]
        return found

    def counts(self) -> list[tuple[str, str, str, int, int]]:
        """consumer, topic, state, how many, moment of the oldest first failure."""
        sql = (
            "SELECT consumer, topic, state, count(*), min(first_failed_us) FROM letters GROUP BY consumer, topic, state"
        )
        return list(self._rows(sql))

    def error_groups(self) -> list[tuple[str, str, str, str, int, int, int]]:
        """error type, last line of the traceback's place, topic, consumer, how many, first and last failure."""
        sql = (
            "SELECT error_type, min(traceback), topic, consumer, count(*), min(first_failed_us), max(last_failed_us) "
            "FROM letters GROUP BY error_type, topic, consumer ORDER BY count(*) DESC"
        )
        return list(self._rows(sql))

    def losses(self) -> list[dict[str, Any]]:
        """Every recorded loss."""
        sql = "SELECT consumer, origin, topic, first, last, reason, at_us FROM losses ORDER BY id"
        names = ("consumer", "origin", "topic", "first", "last", "reason", "at_us")
        return [dict(zip(names, row, strict=True)) for row in self._rows(sql)]

    def over(self, before_us: int, limit: int, step: int) -> list[Letter]:
        """Dead letters that last failed before a moment, then those beyond the newest `limit` (0: any number)."""
        old = "SELECT * FROM letters WHERE state = 'dead' AND last_failed_us < ? LIMIT ?"
        found = [Letter(*row) for row in self._rows(old, (before_us, step))]
        if not found and limit:
            many = "SELECT * FROM letters WHERE state = 'dead' ORDER BY last_failed_us DESC LIMIT ? OFFSET ?"
            found = [Letter(*row) for row in self._rows(many, (step, limit))]
        return found
