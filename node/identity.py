"""Who a node is: a name chosen once, and a generation that is random and made with the database.

A node that lost its disk comes back with a new generation, so its new events are never mistaken for its former ones:
sequence 1 of `gpu-17.9f3a61c2` and sequence 1 of `gpu-17.04be77d0` are different events. With `durability = "os"` an
unclean stop may have lost the end of the log; such a start takes a new generation too.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from mesh.errors import ConfigurationError, DataDirectoryInUse
from node.store import Durability, Store


class Identity(NamedTuple):
    """The node's name and the generation of its database."""

    name: str
    generation: str

    @property
    def origin(self) -> str:
        """`name.generation`, the first part of every event id that entered here."""
        return f"{self.name}.{self.generation}"


class DataDirectory:
    """A data directory held by this process until `release`. Raises `DataDirectoryInUse` or `ConfigurationError`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
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

    def release(self) -> None:
        """Let the next node have it."""
        os.close(self._lock)


def identify(store: Store, wanted: str, fallback: str, durability: Durability) -> Identity:
    """Read who this node is, or decide it now. `wanted` is the configured name ("" when none is)."""
    meta = store.read_meta()
    name = meta.get("name") or wanted or fallback
    if wanted and wanted != name:
        raise ConfigurationError(
            f"this data directory belongs to node {name!r}, not {wanted!r}; use its name or another --data-dir"
        )
    unclean = meta.get("durability") == "os" and meta.get("stopped") == "no"
    generation = meta.get("generation", "")
    if not generation or unclean:
        generation = secrets.token_hex(4)
    store.write_meta({"name": name, "generation": generation, "durability": durability, "stopped": "no"})
    return Identity(name, generation)


def begin_life(store: Store) -> int:
    """Raise the node's incarnation by one for this start, on disk before anybody hears of it; see `node.members`."""
    incarnation = int(store.read_meta().get("incarnation", 0)) + 1
    store.write_meta({"incarnation": str(incarnation)})
    return incarnation


def sign_off(store: Store) -> None:
    """Note that the node stopped in good order."""
    store.write_meta({"stopped": "yes"})
