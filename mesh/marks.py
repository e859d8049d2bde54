"""Marks: what a process was handling when it died, written where it survives the process.

    DATA_DIR/running/SESSION        a small file, mapped into memory by the program, read by the node

    slot   ┌──────┬──────────────┬────────┐
           │ kind │ subscription │ value  │      16 slots, one per worker; a worker writes its own and no other
           │ u8   │ u32          │ u64    │
           └──────┴──────────────┴────────┘
            0 idle · 1 an event: value is its position in the node's log · 2 a redelivery: value is the letter's id

A handler that kills its process cannot be caught and cannot say which event it was given. Writing the mark is one store
into memory that belongs to a file (0.2 µs); when the process is gone, the kernel still has it, and the node looks. Only
durable consumers and redeliveries are marked: for others nobody waits.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from struct import Struct
from typing import Literal, NamedTuple

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
    """A program's side: set and clear the slots of its workers. Created on first use, removed by `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, _FILE_BYTES)
            self._map = mmap.mmap(fd, _FILE_BYTES)
        finally:
            os.close(fd)

    def begin(self, slot: int, kind: int, sub: int, value: int) -> None:
        """Worker `slot` begins with an event or a letter. Slots beyond the last share none: they are not marked."""
        if slot < SLOTS:
            _SLOT.pack_into(self._map, slot * _SLOT_BYTES, kind, sub, value)

    def end(self, slot: int) -> None:
        """Worker `slot` is idle."""
        if slot < SLOTS:
            self._map[slot * _SLOT_BYTES : (slot + 1) * _SLOT_BYTES] = _IDLE

    def close(self) -> None:
        """Nothing runs any more: remove the file."""
        self._map.close()
        self._path.unlink(missing_ok=True)


def take_marks(path: Path) -> list[Mark]:
    """The node's side: what the session was handling when it ended, and the file removed; empty when there is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    path.unlink(missing_ok=True)
    slots = (data[at : at + _SLOT.size] for at in range(0, len(data) - _SLOT.size + 1, _SLOT_BYTES))
    found = [Mark(*_SLOT.unpack(slot)) for slot in slots]
    return [mark for mark in found if mark.kind in (EVENT, LETTER)]
