"""Writes: what a turn's changes are as SQL. Statements, and how the rows of each are made of `Changes`; no I/O.

    Changes.heads {stream: head} ─▶ ROWS: "heads", dict.items ─▶ WRITE["heads"]: UPDATE streams …

The text of a statement is always the same object, so that SQLite's cache of prepared statements serves every commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

WRITE = {
    "streams": "INSERT INTO streams (id, origin, topic, base, head) VALUES (?, ?, ?, ?, ?)",
    "log": "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "heads": "UPDATE streams SET head = ?2 WHERE id = ?1",
    "bases": "UPDATE streams SET base = ?2 WHERE id = ?1",
    "reporters": "INSERT OR REPLACE INTO reporters VALUES (?, ?, ?)",
    "publishers": "INSERT OR REPLACE INTO publishers VALUES (?, ?, ?, ?)",
    "books": "INSERT OR REPLACE INTO consumers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "cursors": "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)",
    "crashes": "INSERT OR REPLACE INTO crashes VALUES (?, ?, ?, ?)",
    "crashes_passed": "DELETE FROM crashes WHERE consumer = ? AND stream = ? AND sequence <= ?",
    "losses": "INSERT INTO losses (consumer, origin, topic, first, last, reason, at_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
    "holes": "INSERT INTO holes (stream, first, last, at_us) VALUES (?, ?, ?, ?)",
    "holes_before": "DELETE FROM holes WHERE at_us < ?",
    "letters": "INSERT INTO letters (consumer, state, origin, topic, sequence, frame, payload, attempts, "
    "retries, kind, error_type, error, traceback, first_failed_us, last_failed_us, next_attempt_us) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "letters_again": "UPDATE letters SET state = ?1, attempts = ?2, kind = ?3, error_type = ?4, error = ?5, "
    "traceback = ?6, last_failed_us = ?7, next_attempt_us = ?8 WHERE id = ?9",
    "letters_retried": "UPDATE letters SET state = 'waiting', retries = retries + 1, next_attempt_us = ?1 "
    "WHERE id = ?2",
    "letters_ended": "DELETE FROM letters WHERE id = ?",
    "consumers_forgotten": "DELETE FROM consumers WHERE name = ?",
    "cursors_forgotten": "DELETE FROM cursors WHERE consumer = ?",
    "crashes_forgotten": "DELETE FROM crashes WHERE consumer = ?",
    "publishers_forgotten": "DELETE FROM publishers WHERE publisher = ?",
    "reporters_forgotten": "DELETE FROM reporters WHERE session = ?",
    "members": "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)",
    "members_forgotten": "DELETE FROM members WHERE origin = ?",
    "meta": "INSERT OR REPLACE INTO meta VALUES (?, ?)",
    "meta_forgotten": "DELETE FROM meta WHERE key = ?",
    "trim": "DELETE FROM log WHERE position < ?",
    "actions": "INSERT INTO actions (at_us, actor, action, letter, detail) VALUES (?, ?, ?, ?, ?)",
}


def _single(value: int) -> Iterable[tuple[int]]:
    return ((value,),)


def _under_a_key(table: dict[Any, tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
    return [(key, *values) for key, values in table.items()]


def _under_keys(table: dict[tuple[Any, ...], Any]) -> Iterable[tuple[Any, ...]]:
    return [(*keys, value) for keys, value in table.items()]


ROWS: tuple[tuple[str, str, Callable[[Any], Iterable[tuple[Any, ...]]]], ...] = (
    ("streams", "streams", iter),
    ("log", "log", iter),
    ("heads", "heads", dict.items),
    ("bases", "bases", dict.items),
    ("reporters", "reporters", _under_a_key),
    ("publishers", "publishers", _under_a_key),
    ("books", "books", dict.values),
    ("cursors", "cursors", _under_keys),
    ("crashes", "crashes", _under_keys),
    ("crashes_passed", "crashes_passed", iter),
    ("losses", "losses", iter),
    ("holes", "holes", iter),
    ("holes_before", "holes_before", _single),
    ("letters", "letters", iter),
    ("letters_again", "letters_again", iter),
    ("letters_retried", "letters_retried", iter),
    ("letters_ended", "letters_ended", iter),
    ("actions", "actions", iter),
    ("consumers_forgotten", "consumers_forgotten", iter),
    ("cursors_forgotten", "consumers_forgotten", iter),
    ("crashes_forgotten", "consumers_forgotten", iter),
    ("publishers_forgotten", "publishers_forgotten", iter),
    ("reporters_forgotten", "publishers_forgotten", iter),
    ("members", "members", iter),
    ("members_forgotten", "members_forgotten", iter),
    ("meta", "meta", dict.items),
    ("meta_forgotten", "meta_forgotten", iter),
)
"""What a commit writes after it has trimmed, in this order: the statement, the field of `Changes`, and how its rows are
made of that."""
