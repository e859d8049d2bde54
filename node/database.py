"""The database file: whose it is, what it is set to, and how a new one is filled.

    look ─▶ connect ─▶ configure ─▶ empty: use_wal, fill
                                └─▶ ours:  use_wal, before the first transaction

The store (`node.store`) does this when it is opened, and what comes after. These two are the only modules of the node
that import apsw.

WAL with `synchronous=FULL`: in simulated power cuts NORMAL lost up to 791 acknowledged rows, FULL none. Both pragmas
are set and read back, because builds of SQLite differ in their defaults.

A database that is not ours (`application_id`) or newer than this code (`user_version`) is refused untouched: it is
looked at through a connection that writes nothing. One that is damaged is left as it is too: opening writes nothing,
not even to claim room, before the first transaction.
"""

from __future__ import annotations

from ctypes import addressof, c_int, c_int64
from importlib.resources import files
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import apsw

from mesh.errors import ConfigurationError

APPLICATION_ID = 0x4D455348  # "MESH"
SCHEMA_VERSION = 1
PAGE_BYTES = 8 << 10
"""Of a new file; one that is there keeps its pages, 4 KB before this was set, and everything works with either.

Every page is written twice and checksummed, with a handful of system calls. Measured as processor time of a node, with
pages of 4, 8 and 16 KB: 39, 34 and 31 µs for a document of 8 KB, 2.54, 2.43 and 2.41 for an event in a burst, 21, 17
and 19 for one that is a row of its own. A commit of one small event writes five pages, whatever they hold: 0.12, 0.13
and 0.15 ms.
"""
BUSY_MS = 250
"""A foreign lock (somebody's sqlite3 shell) stops the turn for this long; after that it counts as trouble."""
_WAL_BYTES_KEPT = 64 << 20

Durability = Literal["full", "os"]
SYNCHRONOUS: dict[Durability, int] = {"full": 2, "os": 1}


def look(path: str, vfs: str | None) -> None:
    """Check whose database it is, writing nothing and leaving nothing beside it. Raises `ConfigurationError`.

    After a crash the file alone says nothing: only with its journal, which any opening plays back, is it whole.
    """
    if any(Path(path + journal).exists() for journal in ("-journal", "-wal")):
        return
    name = f"file:{quote(path)}?immutable=1"
    try:
        db = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI, vfs=vfs)
    except apsw.CantOpenError:
        return  # there is none yet
    try:
        _is_empty(db, path)
    finally:
        db.close()


def configure(db: apsw.Connection, path: str, synchronous: int) -> bool:
    """Set what this connection goes by; whether the database is still empty. Raises `ConfigurationError`."""
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.set_busy_timeout(BUSY_MS)
    empty = _is_empty(db, path)
    if empty:
        db.pragma("page_size", PAGE_BYTES)
        db.pragma("auto_vacuum", 2)
    db.pragma("synchronous", synchronous)
    db.pragma("journal_size_limit", _WAL_BYTES_KEPT)
    if db.pragma("synchronous") != synchronous:
        raise ConfigurationError(f"{path}: this SQLite does not take synchronous={synchronous}")
    return empty


def _is_empty(db: apsw.Connection, path: str) -> bool:
    """Whether the database is still empty; raises `ConfigurationError` when it is somebody else's, or too new."""
    application, version = db.pragma("application_id"), db.pragma("user_version")
    empty = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]  # type: ignore[index]
    if not empty and application != APPLICATION_ID:
        raise ConfigurationError(f"{path} belongs to another program; choose another --data-dir")
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer meshbus (schema {version}, this one knows {SCHEMA_VERSION}); upgrade"
        )
    return empty


def use_wal(db: apsw.Connection, path: str) -> None:
    """Write to a log ahead of the file. Changes the file."""
    if db.pragma("journal_mode", "wal") not in ("wal", "memory"):
        raise ConfigurationError(f"{path}: this SQLite does not take journal_mode=wal")


def fill(db: apsw.Connection) -> None:
    """Make an empty database ours. Within a transaction."""
    for _ in db.execute(files("node").joinpath("schema.sql").read_text()):
        pass
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", SCHEMA_VERSION)


def file_control(db: apsw.Connection, operation: int, value: c_int | c_int64) -> None:
    """Tell SQLite's file layer something about the file, or have it say something into `value`."""
    db.file_control("main", operation, addressof(value))
