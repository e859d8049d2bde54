"""Originals: a file told from its copy, by what no copy can take along.

    start ─▶ a new file `original` beside the database ─▶ its mark is written into the database
    next start: is the file that stands there the one that the database names?

        it is                          the directory goes on where it stopped
        it is another, or is missing   this is a copy of a directory, wherever and whenever it was made
        the database names none        an older release wrote it; or it is from before the file that stands there

A file's mark is the moment at which the file system made it. Nobody can set that, every way to copy makes another file,
and a file that is moved or renamed keeps it. An inode number alone would not do: ext4 gives it out again at once. Where
a file system keeps no such moment (some that come over a network) the inode number has to do.

The file is made anew at every start, so that a backup written into the files that are there, which keep their marks, is
known as well. It is empty, and nobody writes to it.

What is not seen is a whole volume that was set back: that brings the file system's own memory along. Nor a backup that
was taken since the last start and was written into the files that are there. Peers see both (`node.membership`).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_NAME = "original"
_AT_FDCWD = -100
_STATX_BTIME = 0x800
_BTIME_OFFSET = 80
_STATX_BYTES = 256
"""`struct statx` of Linux's uapi: which fields are filled in comes first, 32 bits."""


def mark_of(path: Path) -> str:
    """What tells a file from its copies. Raises `OSError` where there is no file.

    Linux takes the moment from a clock that ticks every few milliseconds: only a copy from the same tick looks alike.
    """
    found = os.stat(path)
    born_ns = getattr(found, "st_birthtime_ns", None) or _birth_ns(path)
    if born_ns:
        return f"born-{born_ns}"
    return f"inode-{found.st_ino}"


def _birth_ns(path: Path) -> int:
    """When the file system made a file, in nanoseconds since 1970; 0 where it does not say."""
    statx: Callable[..., int] | None = getattr(ctypes.CDLL(None), "statx", None)
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if statx is None or statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, found) != 0:
        return 0
    if not ctypes.c_uint32.from_buffer(found).value & _STATX_BTIME:
        return 0
    seconds = ctypes.c_int64.from_buffer(found, _BTIME_OFFSET).value
    return seconds * 10**9 + ctypes.c_uint32.from_buffer(found, _BTIME_OFFSET + 8).value


class Original:
    """The file beside a database that its copies do not have."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME
        self._draft = directory / f"{_NAME}.new"

    @property
    def mark(self) -> str:
        """The mark of the file that stands there, or "" for none."""
        with suppress(OSError):
            return mark_of(self._path)
        return ""

    def prepare(self) -> str:
        """Make the file that `replace` puts in place; returns its mark, or "" where the disk takes none."""
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)
            os.close(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return mark_of(self._draft)
        return ""

    def replace(self) -> None:
        """Put the file in place that was prepared; the database names it, and the one before it."""
        with suppress(OSError):  # the one that stands there is good for another start
            self._draft.replace(self._path)
