"""An inquiry: a node that is known by address is asked for its endpoints, before a program attaches to them.

    tcp://127.0.0.1:7272, the node's ctl ──where──▶ in, out, ctl       anew each time: a restart changes them

For programs that cannot see the node's data directory. It does not wait: whoever asked polls the socket.
"""

from __future__ import annotations

import zmq

from mesh.errors import MalformedFrame, NodeUnreachable
from mesh.link import make_socket
from mesh.location import Endpoints, endpoints_in
from mesh.requests import Json, pack_request, refusal, unpack_control

_BETWEEN_NODES = b"\x00"
"""How a message to a peer begins that is no frame."""


class Inquiry:
    """One question, put when this is made. Used by one thread."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.socket = make_socket(zmq.DEALER, address)
        self.socket.send(pack_request(1, "where", {}), zmq.NOBLOCK)

    def answer(self) -> Endpoints | None:
        """The endpoints, or None when the answer has not come yet. Raises `MeshError` for any other answer."""
        try:
            part = self.socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        reply = understood(part, self._address)
        if not reply.get("ok"):
            raise refusal(reply)
        return endpoints_in(reply)

    def close(self) -> None:
        """Ask no more."""
        self.socket.close(linger=0)


def understood(part: bytes, place: str) -> Json:
    """The answer of whoever is at `place`. Raises `NodeUnreachable` when that is no node's port for programs."""
    try:
        return unpack_control(part)
    except MalformedFrame:
        who = "the port for peers" if part.startswith(_BETWEEN_NODES) else "no port of a node"
        raise NodeUnreachable(
            f"{place} is {who}; programs and commands go to the node's data directory, or to its local_tcp"
        ) from None
