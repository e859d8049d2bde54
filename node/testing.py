"""Real nodes for tests: `LocalMesh` runs one or more in threads, linked with each other, and leaves nothing on disk.

with node.testing.LocalMesh(nodes=2) as m:
    bus = m.connect(name="test", node=0)
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import mesh
from mesh.client import NodeClient
from mesh.errors import MeshError
from node.embedded import EmbeddedNode

LINKED_S = 10.0


class LocalMesh:
    """`nodes` real nodes called n0, n1, … in a temporary directory, every one linked with every other.

    `settings` are keys of the configuration file for all of them.
    """

    def __init__(self, nodes: int = 1, **settings: Any) -> None:
        self._count = nodes
        self._settings = settings
        self._root: Path | None = None
        self.nodes: list[EmbeddedNode] = []
        self._buses: list[mesh.EventBus] = []

    def start(self) -> LocalMesh:
        """Start all nodes; returns when all are linked. Raises `MeshError` when they are not within 10 s."""
        self._root = Path(tempfile.mkdtemp(prefix="mesh-"))
        for number in range(self._count):
            peers = [each.listen for each in self.nodes]
            embedded = EmbeddedNode(self._root / f"n{number}", f"n{number}", peers=peers, **self._settings)
            self.nodes.append(embedded.start())
        self._wait_linked()
        return self

    def _wait_linked(self) -> None:
        deadline = time.monotonic() + LINKED_S
        for each in self.nodes:
            with NodeClient(each.data_dir) as client:
                while sum(row["link"] == "up" for row in client.request("peers")["rows"]) < self._count - 1:
                    if time.monotonic() > deadline:
                        raise MeshError(f"the nodes of the mesh in {self._root} are not linked after {LINKED_S:g} s")
                    time.sleep(0.01)

    def connect(self, *, node: int = 0, **options: Any) -> mesh.EventBus:
        """A bus attached to node number `node`; closed with the mesh. Options as for `mesh.connect`."""
        bus = self.nodes[node].connect(**options)
        self._buses.append(bus)
        return bus

    def stop(self) -> None:
        """Close the buses, stop the nodes, remove their directories."""
        for bus in self._buses:
            bus.close()
        for each in self.nodes:
            each.stop()
        self._buses, self.nodes = [], []
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> LocalMesh:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
