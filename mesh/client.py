"""A client for single requests: ask a node something over its `ctl` socket and wait for the answer.

What the `mesh` commands use. It has no session: it publishes nothing, subscribes nothing, and a node that does not
answer within the timeout is `NodeUnreachable`.
"""

from __future__ import annotations

import math
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import zmq

from mesh.errors import NodeUnreachable
from mesh.inquiry import understood
from mesh.link import make_socket
from mesh.location import NODE_FILE, find_place, is_address, read_endpoints
from mesh.requests import Json, pack_request, refusal

REQUEST_S = 5.0
"""Default time a node may take to answer."""


class NodeClient:
    """Requests to one node. `place`: its data directory, or `tcp://HOST:PORT` of its `ctl`. A context manager."""

    def __init__(self, place: str | Path | None = None, timeout: float = REQUEST_S) -> None:
        self.place = find_place(place)
        self.timeout = timeout
        self._last_id = 0
        self._socket = make_socket(zmq.DEALER, _ctl_of(self.place), immediate=1)

    def request(self, do: str, *, timeout: float | None = None, **fields: Any) -> Json:
        """The node's answer. Raises `NodeUnreachable`, or `RequestRefused` with the node's word and sentence."""
        return self.exchange(do, timeout=timeout, **fields)[0]

    def exchange(self, do: str, *, timeout: float | None = None, **fields: Any) -> tuple[Json, list[bytes]]:
        """The node's answer and the blobs that came with it; errors as for `request`."""
        limit_s = self.timeout if timeout is None else timeout
        deadline = monotonic() + limit_s
        self._last_id += 1
        self._wait(zmq.POLLOUT, deadline, limit_s)
        self._socket.send(pack_request(self._last_id, do, fields), zmq.NOBLOCK)
        while True:
            self._wait(zmq.POLLIN, deadline, limit_s)
            first, *blobs = self._socket.recv_multipart(zmq.NOBLOCK)
            reply = understood(first, self.place)
            if reply.get("id") != self._last_id:
                continue  # the answer to a request that was given up
            if not reply.get("ok"):
                raise refusal(reply)
            return reply, blobs

    def _wait(self, event: int, deadline: float, limit_s: float) -> None:
        if not self._socket.poll(math.ceil(max(0.0, deadline - monotonic()) * 1000), event):
            raise NodeUnreachable(f"no node answers at {self.place} within {limit_s:g} s; is mesh-node running there?")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(linger=0)

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ctl_of(place: str) -> str:
    if is_address(place):
        return place
    endpoints, file = read_endpoints(Path(place)), Path(place) / NODE_FILE
    if endpoints is None and file.exists():
        raise NodeUnreachable(f"{file} is there and names no node; restart the node of that directory, which writes it")
    if endpoints is None:
        raise NodeUnreachable(f"no node has written {file}; start one with mesh-node --data-dir {place}")
    return endpoints.ctl
