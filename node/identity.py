"""Who a node is: a name chosen once, and a generation that is random and made with the database.

A node that lost its disk comes back with a new generation, so its new events are never mistaken for its former ones:
sequence 1 of `gpu-17.9f3a61c2` and sequence 1 of `gpu-17.04be77d0` are different events. With `durability = "os"` an
unclean stop may have lost the end of the log; such a start takes a new generation too.

So does a database that was restored from a backup: it would give out sequences a second time. A note beside it says how
far it had come, and is written with every commit, before anybody hears of what is in it. After a power cut the note may
be older than the database, as far as to name one of its former generations; those are kept in the database. Where the
whole directory was put back, the note included, it is a copy, and known as one before anything is given out
(`node.originals`). Where a volume was set back, its peers say so when they are linked (`node.membership`).

A directory that was moved to another disk is a copy as well: that costs a generation, and nothing else. The events of
the former one are in the log as before, and whoever lacks them gets them from there.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mesh.errors import ConfigurationError, DataDirectoryInUse
from node.database import Durability
from node.originals import Original
from node.store import Store
from node.table_reader import TableReader

_FORMER_MAX = 16
"""Generations of a database that are remembered; a note is never older than the last few."""


class Identity(NamedTuple):
    """The node's name and the generation of its database. `renewed`: why the generation is another than before."""

    name: str
    generation: str
    renewed: str = ""

    @property
    def origin(self) -> str:
        """`name.generation`, the first part of every event id that entered here."""
        return f"{self.name}.{self.generation}"


class Progress(NamedTuple):
    """How far a database has come: its generation, its last incarnation, how many events have entered."""

    generation: str
    incarnation: int
    entered: int


class DataDirectory:
    """A data directory held by this process until `release`. Raises `DataDirectoryInUse` or `ConfigurationError`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.original = Original(self.path)
        self._progress: int | None = None
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"data directory {self.path}: {error.strerror}; choose another --data-dir"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise DataDirectoryInUse(
                f"another node runs on {self.path}; stop it, or choose another --data-dir"
            ) from None

    @property
    def database(self) -> Path:
        """Where the database stands."""
        return self.path / "mesh.db"

    def noted(self) -> Progress | None:
        """How far the database had come when `note` was last called; None when that is not known."""
        try:
            generation, incarnation, count = (self.path / "progress").read_text().split()
            return Progress(generation, int(incarnation), int(count))
        except (OSError, ValueError):
            return None

    def note(self, progress: Progress) -> None:
        """Note beside the database how far it has come, so that an older copy of it is recognised.

        Not synced, so it costs 2 µs: after a power cut the note is behind the database, and never ahead
        of it. One text is as long as the next, so that one write replaces it.
        """
        with suppress(OSError):  # a disk that takes nothing keeps the older note, or none
            if self._progress is None:
                self._progress = os.open(self.path / "progress", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._progress, b"%b %10d %20d\n" % (progress[0].encode(), *progress[1:]), 0)

    def release(self) -> None:
        """Let the next node have it."""
        if self._progress is not None:
            os.close(self._progress)
        os.close(self._lock)


def new_generation() -> str:
    """A generation nobody has."""
    return secrets.token_hex(4)


def identify(
    store: Store,
    wanted: str,
    fallback: str,
    noted: Progress | None = None,
    original: str = "",
    generate: Callable[[], str] = new_generation,
) -> Identity:
    """Read who this node is, or decide it now; `begin_life` writes it down, once everything else could be read.

    `wanted` is the configured name ("" when none is), `noted` what `DataDirectory.noted` says, `original` the mark of
    the file that stands beside the database.
    """
    meta = store.read_meta()
    name = meta.get("name") or wanted or fallback
    if wanted and wanted != name:
        raise ConfigurationError(
            f"this data directory belongs to node {name!r}, not {wanted!r}; use its name or another --data-dir"
        )
    generation = meta.get("generation", "")
    if not generation:
        return Identity(name, generate())
    doubt = _doubt(store, meta, noted, original)
    return Identity(name, generate() if doubt else generation, doubt)


def _doubt(store: Store, meta: dict[str, str], noted: Progress | None, original: str) -> str:
    """Why the database may not be the latest state of its generation, or ""."""
    if meta.get("durability") == "os" and meta.get("stopped") == "no":
        return "an unclean stop may have lost the end of the log"
    if noted and _is_older(store, meta, noted):
        return "the database is older than the note beside it: it was restored"
    if original not in meta.get("originals", "").split(" "):
        return "the data directory is not the one that its database was written in: it was restored, copied or moved"
    return ""


def _is_older(store: Store, meta: dict[str, str], noted: Progress) -> bool:
    """Whether the database is a copy of what stood here before."""
    origin = f"{meta['name']}.{meta['generation']}"
    entered = sum(row.head for row in TableReader(store).streams() if row.origin == origin)
    come = Progress(meta["generation"], int(meta.get("incarnation", 0)), entered)
    if noted.generation != come.generation:
        return noted.generation not in _former(meta)
    return noted.incarnation > come.incarnation or noted.entered > come.entered


def _former(meta: dict[str, str]) -> list[str]:
    """The generations that a database has had, the newest last."""
    return meta.get("generations", "").split()


def begin_life(store: Store, me: Identity, durability: Durability, originals: Iterable[str] = ()) -> int:
    """Write down who starts here, and raise its incarnation by one; returns that (see `node.members`).

    On disk before anybody hears of it, and the first thing that a start changes. `originals` are the marks of which one
    must be beside the database at its next start.
    """
    meta = store.read_meta()
    incarnation = int(meta.get("incarnation", 0)) + 1
    former = " ".join(dict.fromkeys([*_former(meta), me.generation][-_FORMER_MAX:]))
    found = {"name": me.name, "generation": me.generation, "durability": durability, "stopped": "no"}
    marks = " ".join(filter(None, originals))
    store.write_meta({**found, "generations": former, "incarnation": str(incarnation), "originals": marks})
    return incarnation


def sign_off(store: Store) -> None:
    """Note that the node stopped in good order."""
    store.write_meta({"stopped": "yes"})
