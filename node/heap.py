"""The heap: what the C library keeps of the memory that turns have used, and when that is given back.

    frames ─▶ turn: some seven copies of each ─▶ freed ─▶ kept for the next turn ─ 128 MB later, or when quiet ─▶ back

glibc asks the system for every block from 128 KB on and gives it back as soon as it is free. A frame has up to 256 KB,
and every one of its copies then cost a mapping and 64 page faults: of the 54 µs of processor time that a document of
8 KB took here, 20 were these, and of the 2.6 of an event in a burst 0.3. So blocks of that size are kept in the heap.

But what is free there between small blocks is never given back by itself, and with large frames that is tens of
megabytes. So it is asked to now and then, which takes 2 to 4 ms.

This concerns a whole process: `mesh-node` does it, a node inside a program does not. Other C libraries than glibc have
neither knob, and do as they do.
"""

from __future__ import annotations

import ctypes

from node.clock import Now

_TRIM_THRESHOLD, _TRIM_BYTES = -1, 4 << 20
_MMAP_THRESHOLD, _MMAP_BYTES = -3, 2 << 20
"""Numbers and values of glibc's `mallopt`."""

GIVE_BACK_BYTES = 128 << 20
"""Frames taken in between two times: a second of documents, two of bursts."""
WORTHWHILE_BYTES = 1 << 20
QUIET_S = 0.5


def keep_blocks() -> None:
    """Have the C library keep blocks of a frame's size for the next that needs one, but no more than 4 MB at its end.

    Left alone, it raises both bounds with every large block that is freed, and keeps up to 64 MB at its end.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)


def give_back() -> None:
    """Have the C library give back to the system what is free."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Leftovers:
    """Says when `give_back` is worth its time. What the start has left counts from the beginning."""

    def __init__(self, now: Now) -> None:
        self._taken_bytes = WORTHWHILE_BYTES
        self._quiet_us = now.later(QUIET_S)

    def due(self, taken_bytes: int, now: Now) -> bool:
        """Note what a turn took in; whether it is time now."""
        if taken_bytes:
            self._taken_bytes += taken_bytes
            self._quiet_us = now.later(QUIET_S)
        quiet = now.mono_us >= self._quiet_us
        if self._taken_bytes < (WORTHWHILE_BYTES if quiet else GIVE_BACK_BYTES):
            return False
        self._taken_bytes = 0
        return True
