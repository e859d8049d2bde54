"""A disk with a volatile cache, as an APSW VFS, and the moment its power goes.

    SQLite ──write──▶ cache (real files in a directory: what the operating system shows) ──sync──▶ durable
                        │
                    power cut ──▶ of what was not synced, every 512-byte sector is kept or lost by itself

Writes in any order are covered by losing any of them: a disk that wrote the second of two sectors first and then
stopped has lost the first. New and deleted names of a directory are kept or lost in their order, until somebody syncs
the directory, which SQLite's own VFS does with the first sync of a journal it has made.

`moment` is called before everything that changes the disk. It takes an image (`cut`), and the run goes on; a test for
which that was the end lets nothing out of the node from then on. `broken` makes every write fail with an error of the
test's choice until it is taken away, and `unreadable` every read. `longest` is the length beyond which the database
file gets no room: the disk is full.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from ctypes import c_int64
from functools import partial
from itertools import pairwise
from pathlib import Path

import apsw

SECTOR_BYTES = 512
KEPT = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Share of the unsynced sectors that survive a cut; each cut draws one of these."""
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class _Inode:
    """A file's content. `pending`: (offset, bytes) written, or (size, None) truncated, since the last sync."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, bytes | None]] = []

    def synced(self) -> None:
        """Everything written so far is durable."""
        for at, data in self.pending:
            _put(self.durable, at, data)
        self.pending.clear()

    def surviving(self, survives: Callable[[], bool]) -> bytearray:
        """What is left when each pending sector survives or not."""
        content = bytearray(self.durable)
        for at, data in self.pending:
            for first, last in _sectors(at, at + len(data)) if data is not None else [(at, at)]:
                if survives():
                    _put(content, first, None if data is None else data[first - at : last - at])
        return content


def _put(content: bytearray, at: int, data: bytes | None) -> None:
    """Write at an offset, or truncate there."""
    if data is None:
        del content[at:]
        return
    content.extend(bytes(max(0, at + len(data) - len(content))))
    content[at : at + len(data)] = data


def _sectors(first: int, end: int) -> list[tuple[int, int]]:
    """The range cut at sector boundaries."""
    edges = [first, *range((first // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    return list(pairwise(edges))


class Disk(apsw.VFS):
    """A VFS to open a `Store` with: `Store(path, vfs=disk.name)`. Draws from its own seed."""

    def __init__(self, name: str, seed: object) -> None:
        super().__init__(name, "")
        self.name = name
        self.draw = random.Random(str(seed))
        self.moments = 0
        self.moment: Callable[[], None] = lambda: None
        self.broken: Callable[[], Exception] | None = None
        self.unreadable: Callable[[], Exception] | None = None
        self.longest: int | None = None
        self._now: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._renamed: list[tuple[str, _Inode | None]] = []

    # ── the power ────────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self, into: Path) -> None:
        """Write what would be found after a power cut at this moment into a directory."""
        into.mkdir()
        entries = dict(self._durable)
        for path, inode in self._renamed[: self.draw.randint(0, len(self._renamed))]:
            _rename(entries, path, inode)
        for path, inode in entries.items():
            (into / Path(path).name).write_bytes(inode.surviving(partial(self._survives, self.draw.choice(KEPT))))

    def _survives(self, kept: float) -> bool:
        return self.draw.random() < kept

    def changes(self) -> None:
        """Something is about to change on the disk."""
        self.moments += 1
        self.moment()
        if self.broken is not None:
            raise self.broken()

    # ── what SQLite calls ────────────────────────────────────────────────────────────────────────────────────────────

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("", name, flags)  # a temporary file: nobody looks for it after a cut
        path = name if isinstance(name, str) else name.filename()
        there = self._now.get(path) or self._found(path)
        file = _File(self, there, name, flags)
        if path not in self._now:
            self._now[path] = there
            self._renamed.append((path, there))
        return file

    def _found(self, path: str) -> _Inode:
        """A file that was there before this disk was watched is durable, one that is not is new."""
        if not Path(path).exists():
            return _Inode()
        inode = self._now[path] = self._durable[path] = _Inode(Path(path).read_bytes())
        return inode

    def xDelete(self, path: str, sync: bool) -> None:
        self.changes()
        super().xDelete(path, sync)
        self._now.pop(path, None)
        self._renamed.append((path, None))
        if sync:
            self.sync_directory()

    def sync_directory(self) -> None:
        """New and deleted names are durable."""
        for path, inode in self._renamed:
            _rename(self._durable, path, inode)
        self._renamed.clear()


class _File(apsw.VFSFile):
    """An open file: everything goes to the real one, and into the inode's account of what is durable."""

    def __init__(self, disk: Disk, inode: _Inode, name: str | apsw.URIFilename, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._inode = inode
        self._journal = self._names_to_sync = bool(flags[0] & _JOURNALS)

    def _reaches(self, end: int) -> None:
        longest = self._disk.longest
        if longest is not None and end > longest and not self._journal:
            raise apsw.FullError("the file can get no longer")

    def xFileControl(self, operation: int, pointer: int) -> bool:
        if operation == apsw.SQLITE_FCNTL_SIZE_HINT:
            self._reaches(c_int64.from_address(pointer).value)
        return super().xFileControl(operation, pointer)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.changes()
        self._reaches(offset + len(data))
        super().xWrite(data, offset)
        self._inode.pending.append((offset, bytes(data)))

    def xRead(self, amount: int, offset: int) -> bytes:
        if self._disk.unreadable is not None:
            raise self._disk.unreadable()
        return super().xRead(amount, offset)

    def xTruncate(self, size: int) -> None:
        self._disk.changes()
        super().xTruncate(size)
        self._inode.pending.append((size, None))

    def xSync(self, flags: int) -> None:
        self._disk.changes()
        self._inode.synced()
        if self._names_to_sync:
            self._names_to_sync = False
            self._disk.sync_directory()


def _rename(entries: dict[str, _Inode], path: str, inode: _Inode | None) -> None:
    if inode is None:
        entries.pop(path, None)
    else:
        entries[path] = inode
