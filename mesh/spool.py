"""The spool: a file that keeps what a program has published and the node has not receipted, for its next start.

    publish ──▶ event ─┐                                              receipts ──▶ first = …   all? emptied
    I/O thread ▶ frame ┴▶ │ header │ dead │ dead │ event │ frame │ event │ ◀── end           dead ≥ rest? copied

An event's record is written before `publish` returns, into the kernel's memory and no further: what was published
survives the death of its process, kill -9 included, and not a power cut. To survive that it takes an fsync, which
costs milliseconds; even one for each turn of the I/O thread would hold every publisher up for as long.

The next start takes over the publisher's id and its numbers, so the node tells what it has already from what it has
not. For that a frame must be sent again exactly as it was: where it begins and ends is written before it is sent. A
node remembers a publisher that is away for a week; what was under way at the crash may arrive twice after that.

The file is locked (flock) as long as its bus is open, so no two processes can speak with one publisher's voice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
from collections import deque
from pathlib import Path

from mesh.errors import SpoolError
from mesh.frame import PUBLISHER_BYTES
from mesh.spool_records import (
    FIRST_AT,
    HEADER_BYTES,
    Content,
    Header,
    Kept,
    left_over,
    pack_event,
    pack_first,
    pack_frame,
    pack_header,
    read_records,
    unpack_header,
)

_log = logging.getLogger("mesh")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

EMPTY_FROM_BYTES = 64 << 10
"""A file with nothing left to send is emptied from this size on, and whenever it is closed."""

COMPACT_FROM_BYTES = 16 << 20
"""What is receipted may take up so much before the rest is copied into a new file, and at least as much as the rest."""

CHECKPOINT_EVENTS = 256
"""Of every so many events it is remembered where one begins: a copy takes along fewer than that many too many."""


class Spool:
    """One program's spool, held by it alone. The owner holds one lock around every call. Raises `SpoolError`.

    Making it opens, locks, reads and mends the file; `kept` is what earlier starts have left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._boot = bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
            self._fd = _open_alone(path)
        except OSError as error:
            raise SpoolError(f"spool {path} cannot be opened: {error.strerror}; name a file you may write") from error
        self._checkpoints: deque[tuple[int, int]] = deque()
        self._one, self._stuck = 0, False
        try:
            self.kept = self._take_over()
        except OSError as error:
            os.close(self._fd)
            raise SpoolError(f"spool {path} cannot be read or mended: {error.strerror}") from error
        except SpoolError:
            os.close(self._fd)
            raise

    def keep(self, number: int, topic: str, event: bytes) -> None:
        """Write one event down."""
        at = self._append(pack_event(number, topic, event))
        if not self._checkpoints or number % CHECKPOINT_EVENTS == 0:
            self._checkpoints.append((number, at))
        self._last = number

    def frame(self, number: int, count: int) -> None:
        """Write down that the events from `number` on are one frame. It may be sent now and not before.

        A file that cannot grow takes one frame at a time, the next to be receipted. So what fills the disk gets away.
        """
        try:
            self._append(pack_frame(number, count))
            self._stuck = False
        except SpoolError as error:
            if not self._stuck:
                _log.warning("%s; until then what it holds is sent a frame at a time", error)
            self._stuck = True
            if number != self._first:
                raise
            try:
                self._begin_at(number, count)
            except OSError:
                raise error from None

    def receipted(self, last: int) -> None:
        """Events up to number `last` need not be kept."""
        try:
            self._begin_at(last + 1)
            if last == self._last:
                self._empty(EMPTY_FROM_BYTES)
            elif self._wasteful():
                self._compact()
        except OSError as error:  # it only grows, and what is sent once more is receipted once more
            _log.warning("spool %s cannot be tidied: %s", self.path, error)

    def close(self) -> None:
        """Let go of the file; another process may take it over."""
        if self._first > self._last:
            with contextlib.suppress(OSError):
                self._empty(0)
        os.close(self._fd)

    def forked(self) -> None:
        """This is a copy in a child process, which must not keep the lock when the parent is gone."""
        os.close(self._fd)

    # ---- taking over what is there

    def _take_over(self) -> Kept:
        data = _read_all(self._fd)
        header = unpack_header(data) if data else self._header(secrets.token_bytes(PUBLISHER_BYTES), 1)
        if header is None:
            raise SpoolError(f"{self.path} is no spool; name another file")
        content = read_records(data)
        if not content.sound:
            _log.error("spool %s is damaged at byte %d of %d; what precedes is sent", self.path, content.end, len(data))
        kept = left_over(header, content, self._boot, secrets.token_bytes(PUBLISHER_BYTES))
        self._publisher, self._first, self._last = kept.publisher, kept.first, kept.first + len(kept.events) - 1
        if kept.publisher == header.publisher:
            self._continue(content, header.one)
        else:
            self._begin_anew(kept)
        return kept

    def _begin_anew(self, kept: Kept) -> None:
        self._replace(b"".join(pack_event(number, *event) for number, event in enumerate(kept.events, kept.first)))
        if kept.events:
            self._checkpoints.append((kept.first, HEADER_BYTES))

    def _continue(self, content: Content, one: int) -> None:
        self._one = one
        os.pwrite(self._fd, pack_header(self._header(self._publisher, self._first)), 0)
        os.ftruncate(self._fd, content.end)
        self._end = content.end
        if self._first in content.events:
            self._checkpoints.append((self._first, content.events[self._first][2]))

    def _header(self, publisher: bytes, first: int) -> Header:
        return Header(self._boot, publisher, os.getpid(), first, self._one)

    # ---- writing

    def _append(self, record: bytes) -> int:
        """Write at the end; returns where. Of a write that fails nothing stays."""
        at = self._end
        try:
            _write(self._fd, record, at)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, at)
            raise SpoolError(f"spool {self.path} cannot be written: {error.strerror}; make room, or drop it") from error
        self._end = at + len(record)
        return at

    def _begin_at(self, first: int, one: int = 0) -> None:
        """Nothing before number `first` need be kept. Written in place, it needs no room."""
        _write(self._fd, pack_first(first, one), FIRST_AT)
        self._first, self._one = first, one

    def _empty(self, from_bytes: int) -> None:
        if self._end > max(HEADER_BYTES, from_bytes):
            os.ftruncate(self._fd, HEADER_BYTES)
            self._end = HEADER_BYTES
            self._checkpoints.clear()

    def _wasteful(self) -> bool:
        points = self._checkpoints
        while len(points) > 1 and points[1][0] <= self._first:
            points.popleft()
        dead = points[0][1] - HEADER_BYTES
        return dead > COMPACT_FROM_BYTES and 2 * dead > self._end

    def _compact(self) -> None:
        _, start = self._checkpoints[0]
        shift = start - HEADER_BYTES
        self._replace(os.pread(self._fd, self._end - start, start))
        self._checkpoints = deque((number, at - shift) for number, at in self._checkpoints)

    def _replace(self, records: bytes) -> None:
        """Put a new file with these records into the place of the old one, locked before anybody can open it."""
        draft = self.path.with_name(f"{self.path.name}.new")
        fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(fd, pack_header(self._header(self._publisher, self._first)) + records, 0)
            draft.replace(self.path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._end = fd, HEADER_BYTES + len(records)


def _open_alone(path: Path) -> int:
    """Open and lock; again when the file was replaced between the two. Raises `SpoolError` naming who holds it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            header = unpack_header(os.pread(fd, HEADER_BYTES, 0))
            who = f"process {header.pid}" if header else "another process"
            os.close(fd)
            raise SpoolError(f"spool {path} is held by {who}; give every bus a spool of its own") from None
        except OSError:
            os.close(fd)
            raise
        os.close(fd)


def _read_all(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _write(fd: int, data: bytes, at: int) -> None:
    if os.pwrite(fd, data, at) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
