"""The HTTP page's thread: one socket, one loop, one server. It shares nothing with the turn but the last snapshot.

    Agent ──bind──▶ HttpServer ──start──▶ thread: asyncio, uvicorn, `node.pages`
          ──pages.snapshot = …──▶ (once a second)                └──▶ curl, probes, Prometheus
          ──stop──▶ connections end, at most 1 s for answers under way

The port is taken when the node opens, so that one which is taken already is found out before anything else happens.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable

import uvicorn

from mesh.errors import ConfigurationError
from node.clock import Now
from node.pace import PacedSelector
from node.pages import Pages
from node.snapshot import Snapshot

BACKLOG = 2048
"""Connections that may wait to be accepted."""
ACCEPTED_MAX = 8
"""Connections accepted in one step of the loop."""
STARTING_S = 0.01
CONNECTIONS_MAX = 2000
"""Requests at once; one more is answered 503 at once."""
FINISH_S = 1
"""What is being answered when the node stops may take so long."""
STOP_S = 3.0


class HttpServer:
    """The page of one node at `HOST:PORT` (port 0: any free one). Raises `ConfigurationError` when it cannot listen."""

    def __init__(self, address: str) -> None:
        self._socket = _listen(address)
        host, port = self._socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._pages: Pages | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, snapshot: Snapshot, clock: Callable[[], Now]) -> None:
        """Begin to answer."""
        self._pages = Pages(snapshot, clock)
        config = uvicorn.Config(
            self._pages.app(),
            loop="asyncio",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=ACCEPTED_MAX,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=FINISH_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(self._server,), name="meshbus-http", daemon=True)
        self._thread.start()

    def _run(self, server: uvicorn.Server) -> None:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(PacedSelector())) as runner:
            runner.run(self._serve(server))

    async def _serve(self, server: uvicorn.Server) -> None:
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        while not server.started and not serving.done():
            await asyncio.sleep(STARTING_S)
        if not serving.done():
            self._socket.listen(BACKLOG)  # the server takes its `backlog` for the length of the queue as well
        await serving

    def show(self, snapshot: Snapshot) -> None:
        """From now on the pages say this."""
        if self._pages is not None:
            self._pages.snapshot = snapshot

    def stop(self) -> None:
        """End every connection and the thread. Safe before `start`."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_S)
        self._socket.close()


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigurationError(
            f"cannot listen at {address} for HTTP: {reason}; choose another address or port, or --http '' for none"
        ) from None
