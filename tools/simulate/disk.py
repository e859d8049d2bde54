"""The disk of a machine: a node's database, in memory, and the note beside it that says how far it has come.

    disk ── copy ──▶ backup ── the disk is replaced by it: with the note ("whole"), or the database alone
         └─ lost ──▶ an empty one

What is committed is there after a crash, and so is the note.
"""

from __future__ import annotations

from node.core import Node
from node.identity import Progress
from node.store import Store


class Disk:
    """One machine's disk. `noted` is what `node.identity.DataDirectory.noted` says."""

    def __init__(self) -> None:
        self.store = Store(":memory:")
        self.noted: Progress | None = None

    def note(self, node: Node) -> None:
        """Note how far the database has come."""
        self.noted = Progress(node.state.generation, node.links.me.incarnation, node.state.relay.entered)

    def copy(self) -> Disk:
        """A backup of it all, as it is now."""
        copy = Disk()
        # A node copies no database; whoever does, copies the file with SQLite's own means.
        with copy.store._db.backup("main", self.store._db, "main") as backup:
            backup.step()
        copy.noted = self.noted
        return copy

    def lost(self) -> Disk:
        """The empty disk that takes its place."""
        self.store.close()
        return Disk()

    def replaced(self, by: Disk, whole: bool) -> Disk:
        """The disk that was copied before takes its place; unless `whole`, the note stays."""
        self.store.close()
        by.noted = by.noted if whole else self.noted
        return by
