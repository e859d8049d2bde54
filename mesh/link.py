"""The three sockets of one attachment. Made for it, closed with it, used by the I/O thread only.

    frames  XPUB   ──▶ in     0x01 when the node attaches, 0x00 when it goes; a full pipe is an error, not a drop
    out     SUB    ◀── out    frames, directed messages, beacons
    ctl     DEALER ◀─▶ ctl    requests, matched to their replies by id

libzmq reports an XPUB as always writable, also when its pipe is full: a frame that was not taken is tried again after a
moment (`RETRY_S`) and not when the poller says so.

A process has one context, made after the last fork: nothing of a parent's context may be used in a child.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator

import zmq

from mesh.location import Endpoints
from mesh.requests import DIRECTED, HEADS_TOPIC, Json, pack_request, session_topic, unpack_control

RETRY_S = 0.002
"""When a full pipe is tried again."""

FRAMES_QUEUED_MAX = 1000
"""Frames in the pipe to the node; what waits longer waits in the outbox."""

RECEIVE_QUEUED_MAX = 20_000
"""Messages that may wait for this program's I/O thread; beyond that the node drops, and gaps are repaired."""

SOCKETS_MAX = 16_384

OnReply = Callable[[Json, list[bytes], float], object]
"""reply, blobs, now (monotonic seconds)"""

_contexts: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """This process's context."""
    found = _contexts.get(os.getpid())
    if found is None:
        found = _contexts[os.getpid()] = zmq.Context()
        found.set(zmq.MAX_SOCKETS, SOCKETS_MAX)
    return found


def make_socket(kind: int, address: str, **options: int) -> zmq.Socket[bytes]:
    """A connected socket that never lingers. Options by their libzmq names, in lower case."""
    socket = context().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IPV6, "[" in address)
    for name, value in options.items():
        socket.setsockopt(getattr(zmq, name.upper()), value)
    socket.connect(address)
    return socket


class Link:
    """The sockets towards one node, and the requests that await an answer."""

    def __init__(self, endpoints: Endpoints, session: bytes) -> None:
        self.frames = make_socket(zmq.XPUB, endpoints.in_, immediate=1, xpub_nodrop=1, sndhwm=FRAMES_QUEUED_MAX)
        self.out = make_socket(zmq.SUB, endpoints.out, rcvhwm=RECEIVE_QUEUED_MAX)
        self.ctl = make_socket(zmq.DEALER, endpoints.ctl, immediate=1)
        self.out.subscribe(session_topic(session))
        self.out.subscribe(HEADS_TOPIC)
        self._session = session.hex()
        self._unsent: deque[bytes] = deque()
        self._awaited: dict[int, tuple[OnReply, float]] = {}
        self._last_id = 0

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], ...]:
        """What to poll for input."""
        return self.frames, self.out, self.ctl

    @property
    def blocked(self) -> bool:
        """Whether a request could not be handed to its socket yet."""
        return bool(self._unsent)

    def presence(self) -> bool | None:
        """The last word of the node's `in` socket: True it attached, False it went away, None nothing new."""
        there = None
        while (message := _receive(self.frames)) is not None:
            there = message[:1] == b"\x01"
        return there

    def send_frame(self, data: bytes) -> bool:
        """Hand a frame to the socket; False when its pipe is full."""
        try:
            self.frames.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def request(self, do: str, fields: Json, on_reply: OnReply, now: float) -> None:
        """Send a request of this session; `on_reply(reply, blobs, now)` is called from `replies`."""
        self._last_id += 1
        self._awaited[self._last_id] = (on_reply, now)
        self._unsent.append(pack_request(self._last_id, do, {**fields, "session": self._session}))
        self.push()

    def push(self) -> None:
        """Hand waiting requests to the socket, as far as it takes them."""
        while self._unsent:
            try:
                self.ctl.send(self._unsent[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            self._unsent.popleft()

    def waiting_since(self) -> float | None:
        """When the oldest request without an answer was made."""
        return min((since for _, since in self._awaited.values()), default=None)

    def replies(self, now: float) -> None:
        """Give every reply that has arrived to whoever asked."""
        while (part := _receive(self.ctl)) is not None:
            blobs = _rest(self.ctl)
            reply = unpack_control(part)
            on_reply, _ = self._awaited.pop(reply.get("id", 0), (None, 0.0))
            if on_reply is not None:
                on_reply(reply, blobs, now)

    def messages(self, count_max: int) -> Iterator[tuple[bytes, list[bytes]]]:
        """What has arrived on `out`, at most `count_max`: first part, further parts (directed messages only)."""
        for at in range(count_max):
            if at == 1 and not int(self.out.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return  # a message is often alone: looking for another takes a third of asking for it in vain
            part = _receive(self.out)
            if part is None:
                return
            yield part, _rest(self.out) if part[:1] == DIRECTED else []

    def close(self) -> None:
        """Close the sockets at once; what they held is dropped."""
        for socket in self.sockets:
            socket.close(linger=0)


def _receive(socket: zmq.Socket[bytes]) -> bytes | None:
    try:
        return socket.recv(zmq.NOBLOCK)
    except zmq.Again:
        return None


def _rest(socket: zmq.Socket[bytes]) -> list[bytes]:
    parts: list[bytes] = []
    while socket.getsockopt(zmq.RCVMORE):
        parts.append(socket.recv(zmq.NOBLOCK))
    return parts
