"""A node in a thread of this process: the same agent, sockets and database as `mesh-node`, without the process.

    with node.EmbeddedNode(data_dir=…, name="worker-3") as n:
        bus = n.connect(name="trainer")

For programs that want no second process on their machine, and for tests. Other programs on the machine attach to it
as to any node: by its data directory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import mesh
from mesh.errors import MeshError
from node.agent import Agent
from node.config import load_settings

STOP_S = 5.0
"""A node stops well within this; see `mesh-node`."""


class EmbeddedNode:
    """A real node in a thread. Starts when entered (or by `start`), stops when left (or by `stop`).

    data_dir   as `mesh-node --data-dir`; default: the default data directory
    name       as `--name`
    listen     as `--listen`; default: a free port on loopback, for a leaf nowhere
    peers      as `--peer`; default: none
    http       as `--http`; default: no pages
    settings   any other key of the configuration file
    """

    def __init__(
        self,
        data_dir: str | Path | None = None,
        name: str | None = None,
        listen: str | None = None,
        peers: Sequence[str] = (),
        http: str = "",
        **settings: Any,
    ) -> None:
        if listen is None:
            listen = "" if settings.get("leaf") else "tcp://127.0.0.1:0"
        flags = {"data_dir": data_dir, "name": name, "listen": listen, "peers": tuple(peers), "http": http, **settings}
        self._settings = load_settings(None, {key: value for key, value in flags.items() if value is not None})
        self._agent: Agent | None = None
        self._thread: threading.Thread | None = None
        self._ended: BaseException | None = None
        self.description: dict[str, Any] = {}

    def start(self) -> EmbeddedNode:
        """Open everything and begin to turn; raises what `mesh-node` would print. Ready when this returns."""
        self._agent = Agent(self._settings)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="meshbus-node", daemon=True)
        self._thread.start()
        ready.wait()
        if self._ended is not None:
            raise MeshError(f"the node could not start: {self._ended}") from self._ended
        return self

    def _run(self, ready: threading.Event) -> None:
        assert self._agent is not None  # `start` made it

        def announce(description: dict[str, Any]) -> None:
            self.description = description
            ready.set()

        try:
            self._agent.run(announce)
        except BaseException as error:  # handed to whoever waits for the thread
            self._ended = error
            raise
        finally:
            ready.set()

    @property
    def data_dir(self) -> Path:
        """Where programs find this node."""
        return Path(self.description["data_dir"])

    @property
    def listen(self) -> str:
        """Where peers may dial it."""
        return str(self.description["listen"])

    def connect(self, **options: Any) -> mesh.EventBus:
        """A bus attached to this node; options as for `mesh.connect`."""
        return mesh.connect(node=self.data_dir, **options)

    def stop(self) -> None:
        """Stop in good order, as on SIGTERM. Safe to call twice."""
        if self._agent is None or self._thread is None:
            return
        self._agent.stop()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise MeshError(f"the node in {self.data_dir} did not stop within {STOP_S:g} s")
        self._agent = self._thread = None

    def __enter__(self) -> EmbeddedNode:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
