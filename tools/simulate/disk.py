"""The disk of a machine: a node's database, in memory, and what stands beside it.

    disk ── copy ──▶ backup ── the disk is replaced by it:  "database"  the database alone
         │                                                  "whole"     all files, which are others then
         │                                                  "volume"    all files, as they were: nothing shows it
         └─ lost ──▶ an empty one

What is committed is there after a crash, and so is the note of how far it has come.
"""

from __future__ import annotations

from typing import Literal

from node.core import Node
from node.identity import Progress
from node.store import Store

Way = Literal["database", "whole", "volume"]
WAYS: tuple[Way, ...] = ("database", "whole", "volume")


class Disk:
    """One machine's disk. `noted` is what `node.identity.DataDirectory.noted` says, `original` as in `begin_life`."""

    def __init__(self) -> None:
        self.store = Store(":memory:")
        self.noted: Progress | None = None
        self.original = ""

    def note(self, node: Node) -> None:
        """Note how far the database has come."""
        self.noted = Progress(node.state.generation, node.links.me.incarnation, node.state.relay.entered)

    def copy(self) -> Disk:
        """A backup of it all, as it is now."""
        copy = Disk()
        # A node copies no database; whoever does, copies the file with SQLite's own means.
        with copy.store._db.backup("main", self.store._db, "main") as backup:
            backup.step()
        copy.noted, copy.original = self.noted, self.original
        return copy

    def lost(self) -> Disk:
        """The empty disk that takes its place."""
        self.store.close()
        return Disk()

    def replaced(self, by: Disk, way: Way) -> Disk:
        """The disk that was copied before takes its place."""
        self.store.close()
        if way == "database":
            by.noted, by.original = self.noted, self.original
        elif way == "whole":
            by.original = "a copy"
        return by
