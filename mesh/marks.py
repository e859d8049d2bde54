"""Marks: what a process was handling when it died, written where it survives the process.

    DATA_DIR/running/SESSION        a small file, mapped into memory by the program, read by the node

    slot   ┌──────┬──────────────┬────────┐
           │ kind │ subscription │ value  │      16 slots; each event under way has one to itself
           │ u8   │ u32          │ u64    │
           └──────┴──────────────┴────────┘
            0 idle · 1 an event: value is its position in the node's log · 2 a redelivery: value is the letter's id

A handler that kills its process cannot be caught and cannot say which event it was given. Writing the mark is one store
into memory that belongs to a file (0.2 µs); when the process is gone, the kernel still has it, and the node looks. Only
durable consumers and redeliveries are marked: for others nobody waits. Where more than 16 are under way at once, the
rest is not marked.

    attached            detached                    attached again
    file ──removed──▶   slots in plain memory ──▶   a new file with what runs then

The file is there while a node is: a program that only loses its attachment has not died of anything, so it takes its
marks away before it closes its sockets.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Literal, NamedTuple

_log = logging.getLogger("mesh")

SLOTS = 16
_SLOT = Struct("!BIQ")
_SLOT_BYTES = 16
_FILE_BYTES = SLOTS * _SLOT_BYTES
_IDLE = bytes(_SLOT_BYTES)

EVENT: Literal[1] = 1
LETTER: Literal[2] = 2


class Mark(NamedTuple):
    """What one worker of subscription `sub` was at: kind EVENT and a position, or LETTER and a letter's id."""

    kind: int
    sub: int
    value: int


def marks_path(data_dir: Path, session: bytes) -> Path:
    """Where a session's marks are."""
    return data_dir / "running" / session.hex()


class Marks:
    """A program's side. The file is made when there is something to mark and a node to read it. For any thread.

    `path` is None where the program does not see the node's directory: then nothing survives it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._free = list(range(SLOTS))
        self._slots: bytearray | mmap.mmap = bytearray(_FILE_BYTES)
        self._wanted = False

    def begin(self, kind: int, sub: int, value: int) -> int | None:
        """Subscription `sub` begins with an event or a letter. Returns the slot for `end`, or None if all are taken."""
        with self._lock:
            if not self._free:
                return None
            if self._wanted:
                self._make()
            slot = self._free.pop()
            _SLOT.pack_into(self._slots, slot * _SLOT_BYTES, kind, sub, value)
            return slot

    def end(self, slot: int) -> None:
        """What was marked in a slot is over."""
        with self._lock:
            self._slots[slot * _SLOT_BYTES : (slot + 1) * _SLOT_BYTES] = _IDLE
            self._free.append(slot)

    def attached(self) -> None:
        """A node is there: what runs now is marked for it, and what begins later."""
        with self._lock:
            self._wanted = self._path is not None
            if self._wanted and len(self._free) < SLOTS:
                self._make()

    def detached(self) -> None:
        """The node is gone or will be left: it is not to take what runs for the cause of a death."""
        with self._lock:
            self._wanted = False
            if isinstance(self._slots, mmap.mmap):
                mapped, self._slots = self._slots, bytearray(self._slots)
                mapped.close()
                assert self._path is not None  # something was mapped
                with suppress(OSError):  # a disk that has become read-only keeps it
                    self._path.unlink(missing_ok=True)

    def forked(self) -> None:
        """This is a copy in a child process: the file is the parent's."""
        self._lock = threading.Lock()
        self._slots, self._wanted = bytearray(_FILE_BYTES), False

    def _make(self) -> None:
        """Map a new file, its bytes written before: a full disk is then an error here and no signal later."""
        assert self._path is not None  # else nothing is wanted
        self._wanted = False
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(fd, self._slots, 0)
                self._slots = mmap.mmap(fd, _FILE_BYTES)
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:  # ValueError: the file is shorter than what is to be mapped
            _log.warning("what runs cannot be marked for the node, should this process die of it: %s", error)


def take_marks(path: Path) -> list[Mark]:
    """The node's side: what the session was handling when it ended, and the file removed; empty when there is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    with suppress(OSError):  # a disk that has become read-only keeps it; no other session will have its name
        path.unlink(missing_ok=True)
    slots = (data[at : at + _SLOT.size] for at in range(0, len(data) - _SLOT.size + 1, _SLOT_BYTES))
    found = [Mark(*_SLOT.unpack(slot)) for slot in slots]
    return [mark for mark in found if mark.kind in (EVENT, LETTER)]
