"""The store: the node's SQLite file. With `node.database`, which opens it, the only module that imports apsw.

    Changes ─▶ commit: BEGIN … every row of the turn … COMMIT (fsync) ─▶ returns: it is on disk
    questions ─▶ small reads by key or range, each one statement with a name and a sentence

With `durability = "os"` the WAL is not synced at every commit; after an unclean stop such a node takes a new
generation, so that a sequence it may have given out is never used twice. What that rests on, `meta`, is synced always,
and the sync takes everything before it along.

The log is folded into the file before it is 8 MB long: in idle moments, or from 4 MB on by a thread of its own with a
connection of its own (`fold_beside`, `node.folding`), or, where neither has come in time, by the commit that finds it
so long. Where a start fails it is not folded, so that the file stays as it was found.

Room for a commit is claimed from the file system before it is written (`node.room`), so that a full disk still takes
what frees some.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_int, c_int64
from errno import ENOSPC
from pathlib import Path
from typing import Any

import apsw

from mesh.errors import ConfigurationError, MeshError
from node.changes import Changes
from node.database import PAGE_BYTES, SYNCHRONOUS, Durability, configure, file_control, fill, look, use_wal
from node.folding import Folding
from node.room import CHUNK_BYTES, Room
from node.writes import ROWS, WRITE

_WAL_BYTES = 8 << 20
"""How long the write-ahead log may get. A commit that finds it so long folds it and takes 1-6 ms instead of 0.15."""
_FOLD_BESIDE = 0.5, 0.9
"""Parts of that length: from where on it is folded beside the turns, and from where on behind a turn at the latest."""
_FOLD_AGAIN = 0.2
"""How much it grows before that is tried again, when more was written meanwhile than was folded. At 10,000/s it is
so nearly always, and a third of this took a tenth of the median's time."""
_FOLD_COMMITS = 50
"""Commits after which an idle moment is used to fold the log."""
_ROW_BYTES = PAGE_BYTES // 2
"""What a row takes at most beside what is counted: index entries and the unused end of its last page."""
_NO_SQL_VALUE = (OverflowError, TypeError, ValueError)
"""What apsw raises for a value that the database cannot hold."""
_WRONG_ROWS = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.BindingsError)


class StoreError(MeshError):
    """The database refused. `code` is SQLite's name for it.

    `disk`: the disk or the file is the reason (full, read-only, locked, damaged), and not what was to be written.
    """

    def __init__(self, code: str, message: str, disk: bool = True) -> None:
        super().__init__(f"the database refused ({code}): {message}")
        self.code = code
        self.disk = disk


def grows(changes: Changes) -> int:
    """By how many bytes a commit may make the file longer that finds no free page in it."""
    log = sum(len(row.frame) + _ROW_BYTES for row in changes.log)
    return log + sum(
        len(row.frame) + len(row.payload) + len(row.error) + len(row.traceback) + _ROW_BYTES for row in changes.letters
    )


class Store:
    """The open database. Raises `StoreError` from every call when the disk or the file refuses.

    `vfs` names a layer between SQLite and the disk that was registered before; tests cut the power there.
    """

    def __init__(self, path: str | Path, durability: Durability = "full", vfs: str | None = None) -> None:
        self.path = str(path)
        self._synchronous = SYNCHRONOUS[durability]
        self._vfs = vfs
        self._begun = False
        self._room = Room(self.path)
        self._unfolded = 0
        self._logged = self._asked = self._full = 0
        self._folding: Folding | None = None
        self._folds = threading.Lock()
        self._shortened = False
        try:
            look(self.path, vfs)
            self._db = apsw.Connection(self.path, vfs=vfs)
            try:
                self._prepare()
            except BaseException:
                self.close(fold=False)
                raise
        except apsw.NotADBError:
            raise ConfigurationError(
                f"{self.path} is not a database; move it away or choose another --data-dir"
            ) from None
        except apsw.Error as error:
            raise _store_error(error) from error

    def _prepare(self) -> None:
        empty = configure(self._db, self.path, self._synchronous)
        self._full = _WAL_BYTES // self._number("page_size")
        self._db.set_wal_hook(self._grown)
        if empty:
            self._create()

    def _begin(self) -> None:
        """Before the first transaction: what changes the file, and is not done to one that cannot be read."""
        use_wal(self._db, self.path)
        self._use_chunks()
        self._begun = True

    def _use_chunks(self) -> None:
        file_control(self._db, apsw.SQLITE_FCNTL_CHUNK_SIZE, c_int(CHUNK_BYTES))
        if self._vfs is None:
            self._room.open()
        with suppress(apsw.FullError):  # nothing can be claimed: the next commit says so
            self._grow(self.size_bytes())

    def _create(self) -> None:
        self._begun = True
        use_wal(self._db, self.path)
        with self._transaction():
            fill(self._db)
        self._use_chunks()

    def size_bytes(self) -> int:
        """Size of the database file, free pages included."""
        return self._number("page_count") * self._number("page_size")

    def free_pages(self) -> int:
        """Pages of the file that hold nothing."""
        return self._number("freelist_count")

    def used_bytes(self) -> int:
        """Size of the database file without its free pages."""
        return (self._number("page_count") - self.free_pages()) * self._number("page_size")

    def _number(self, pragma: str) -> int:
        return int(next(self.rows(f"PRAGMA {pragma}"), (0,))[0])

    def fold(self) -> None:
        """Fold the write-ahead log into the file, so that the next writes reuse its room; waits for no reader.

        Like every fold, it leaves the file as long as it needs to be: what was claimed on top is given back.
        """
        self._unfolded = self._logged = 0
        with self._folds:
            self._number("wal_checkpoint(PASSIVE)")
            self._shortened = True

    def rest(self) -> None:
        """There is time: fold the log if it is worth it. A failure is passed over: the next commit will say so."""
        if self._unfolded < _FOLD_COMMITS:
            return
        if self._folding is not None:
            self._unfolded = 0
            self._folding.ask()
        else:
            with suppress(StoreError):
                self.fold()

    def fold_beside(self) -> None:
        """From now on a thread folds the log while turns go on; `tidy` is to be called behind each of them."""
        beside = apsw.Connection(self.path, vfs=self._vfs)
        beside.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        beside.pragma("synchronous", SYNCHRONOUS["full"])
        list(beside.execute("SELECT count(*) FROM sqlite_schema"))  # what was never read is never folded
        file_control(beside, apsw.SQLITE_FCNTL_CHUNK_SIZE, c_int(CHUNK_BYTES))
        self._beside = beside
        self._folding = Folding(self._fold_beside)

    def tidy(self) -> None:
        """What a commit left to be done is out: have the log folded if it has become long."""
        begin, late = (part * self._full for part in _FOLD_BESIDE)
        if self._logged < begin or self._folding is None:
            self._asked = 0
        elif self._logged >= late:
            with suppress(StoreError):
                self.fold()
        elif not self._asked or self._logged - self._asked >= _FOLD_AGAIN * self._full:
            self._asked = self._logged
            self._folding.ask()

    def _fold_beside(self) -> None:
        """In the thread. What a pass did not come to the end of is synced all the same: less is left to the last."""
        with self._folds, suppress(apsw.Error, OSError):
            logged, folded = self._beside.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._shortened = True
            if folded < logged:
                self._room.sync()

    def _grown(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        """SQLite has put a transaction into the log, which has so many pages now."""
        self._logged = pages
        return apsw.SQLITE_OK

    def _claim(self, changes: Changes) -> None:
        """Make sure of the room in the file that a commit may need."""
        more = grows(changes)
        if self._shortened:  # a fold leaves the file as long as it needs to be
            self._shortened = False
            self._room.forget()
        if not self._room.take(more):
            needed = self.used_bytes() + more
            self._room.granted(self._grow(needed) - needed)
            self._room.claim_log()

    def _grow(self, end: int) -> int:
        """Make the file at least so long; returns how long it is. Raises `FullError` when the disk has no room.

        SQLite writes a byte into every page for that, unless the pages are there: asking the file system for them
        first takes 7 µs of processor time a megabyte instead of 800.
        """
        end = self._room.claim(end)
        try:
            file_control(self._db, apsw.SQLITE_FCNTL_SIZE_HINT, c_int64(end))
        except apsw.IOError as error:
            reason = c_int()
            file_control(self._db, apsw.SQLITE_FCNTL_LAST_ERRNO, reason)
            if reason.value != ENOSPC:
                raise
            raise apsw.FullError("database or disk is full") from error
        return end

    def close(self, fold: bool = True) -> None:
        """Close the file and fold the WAL into it; without `fold` the file stays byte for byte what it was."""
        if self._folding is not None:
            self._folding.end()
            self._folding = None
            self._beside.close()
        with suppress(apsw.ConnectionClosedError):
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not fold))
            self._db.close()
            self._room.close()

    def commit(self, changes: Changes) -> None:
        """Write one turn's changes in one transaction. When this returns they are on disk; when it raises, none is."""
        self._unfolded += 1
        with self._transaction():
            if changes.trim_before:  # first: what is written takes the room
                self._db.execute(WRITE["trim"], (changes.trim_before,))
            self._claim(changes)
            for statement, field, shaped in ROWS:
                found = getattr(changes, field)
                if found:
                    self._db.executemany(WRITE[statement], shaped(found))
            if changes.vacuum_pages:
                self._db.pragma("incremental_vacuum", changes.vacuum_pages)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """What is written inside is committed together at the end. Raises `StoreError`; then nothing of it is."""
        try:
            if not self._begun:
                self._begin()
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except (apsw.Error, *_NO_SQL_VALUE) as error:
            self._roll_back()
            raise _store_error(error) from error
        if self._logged >= self._full:
            with suppress(StoreError):
                self.fold()

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except apsw.Error:
                pass  # SQLite has rolled back by itself on such errors

    def rows(self, sql: str, values: Iterable[Any] = ()) -> Iterator[Any]:
        """Read. For those who ask of one part each, such as `node.log_reader` and `node.letter_reader`."""
        try:
            yield from self._db.execute(sql, tuple(values))
        except (apsw.Error, *_NO_SQL_VALUE) as error:
            raise _store_error(error) from error

    # ── what the node knows about itself ─────────────────────────────────────────────────────────────────────────────

    def read_meta(self) -> dict[str, str]:
        """All of `meta`."""
        return dict(self.rows("SELECT key, value FROM meta"))

    def write_meta(self, values: dict[str, str]) -> None:
        """Set keys of `meta`. They and everything committed before are synced when this returns, however durable."""
        self._number(f"synchronous = {SYNCHRONOUS['full']}")
        try:
            with self._transaction():
                self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
        finally:
            self._number(f"synchronous = {self._synchronous}")


def _store_error(error: Exception) -> StoreError:
    disk = not isinstance(error, (*_NO_SQL_VALUE, *_WRONG_ROWS))
    return StoreError(type(error).__name__.removesuffix("Error"), str(error), disk)
