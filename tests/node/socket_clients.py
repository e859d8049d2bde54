"""Real clients of a node's sockets: a publisher, a peer that stalls, and an ear for all that arrives."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from node.clock import Now
from node.inbox import Inbox
from node.sockets import Sockets
from node.turn import LinkKey, Turn
from tests.conditions import eventually

LOOPBACK = "tcp://127.0.0.1:0"
MIB = 1 << 20

Context = zmq.Context[zmq.Socket[bytes]]


def turn(**fields: object) -> Turn:
    return Turn(Now(0, 0), **fields)  # type: ignore[arg-type]


class Heard(Inbox):
    """Everything a node's sockets heard so far, without the marks that queues put among frames."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__()
        self.sockets = sockets

    def listen(self) -> None:
        """One wait; returns at once when something is there."""
        found = self.sockets.wait(10)
        for name in ("frames", "subscriptions", "requests", "links", "link_events"):
            getattr(self, name).extend(getattr(found, name))
        self.links = [(key, data) for key, data in self.links if not data.startswith(b'\x00{"t":"mark"')]

    def until(self, condition: Callable[[], object]) -> None:
        """Listen until the condition holds."""

        def look() -> object:
            self.listen()
            return condition()

        eventually(look)


def publisher(context: Context, sockets: Sockets) -> zmq.Socket[bytes]:
    """An XPUB as the library's, attached."""
    made = context.socket(zmq.XPUB)
    made.setsockopt(zmq.XPUB_NODROP, 1)
    made.setsockopt(zmq.IMMEDIATE, 1)
    made.connect(sockets.endpoints["in"])
    eventually(lambda: sockets.wait(10) and made.poll(0), what="the node's attachment")
    assert made.recv() == b"\x01"
    return made


def stalled(context: Context, sockets: Sockets) -> tuple[zmq.Socket[bytes], LinkKey]:
    """A peer that dialled, and reads only when the test does."""
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.RCVHWM, 1)
    peer.setsockopt(zmq.RCVBUF, 4096)
    peer.setsockopt(zmq.RCVTIMEO, 5000)
    peer.connect(sockets.listen)
    peer.send(b"hello")
    heard = Heard(sockets)
    heard.until(lambda: heard.links)
    return peer, heard.links[0][0]
