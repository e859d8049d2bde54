"""Lines: the local sockets between one program and one start of its node, for as long as both stand.

    program ── frames, requests ──▶ node's inbox           its turn takes them
            ◀── `out`: what its prefixes let through ──    bounded: a program that stands still loses the rest
            ◀── replies, and whether the node is there

A line is what `mesh.link.Link` is to a real program, and offers as much of it as the library's rules use.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Protocol

from mesh.link import OnReply
from mesh.requests import DIRECTED, HEADS_TOPIC, Json, pack_request, session_topic, unpack_control

LOCAL_US = 200
OUT_MESSAGES = 500
"""What `out` and the program's socket hold together; real ones hold more, and this is to be reached now and then."""


class Desk(Protocol):
    """The node's side of every line: what has arrived at its sockets."""

    frames: list[bytes]
    subscriptions: list[bytes]
    requests: list[list[bytes]]

    def detach(self, line: Line) -> None:
        """A program has closed its sockets."""

    def wake_local(self) -> None:
        """Something has arrived."""


class Door(Protocol):
    """Where a program's sockets connect as soon as a node is there."""

    def enter(self, line: Line) -> None:
        """A program has made its sockets."""


class Reader(Protocol):
    """The program's side of a line."""

    name: str
    session: bytes

    def wake_soon(self) -> None:
        """Something has arrived."""


class Filter:
    """The prefixes a program has subscribed, as its SUB socket tells them to the node."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._counts: Counter[bytes] = Counter()
        self.prefixes: tuple[bytes, ...] = ()

    def subscribe(self, prefix: bytes) -> None:
        """Let through what begins like this."""
        self._counts[prefix] += 1
        self._changed(b"\x01" + prefix)

    def unsubscribe(self, prefix: bytes) -> None:
        """Once less."""
        self._counts[prefix] -= 1
        self._changed(b"\x00" + prefix)

    def _changed(self, message: bytes) -> None:
        self._counts = +self._counts
        self.prefixes = tuple(self._counts)
        self._line.tell(message)


class Line:
    """The three sockets of one attachment. `there`: None until the node answers, then True, then False for ever."""

    def __init__(self, door: Door, program: Reader, client: bytes) -> None:
        self.desk: Desk | None = None
        self.client = client
        self.program = program
        self.there: bool | None = None
        self.arrived: deque[list[bytes]] = deque()
        self.dropped = 0
        self.closed = False
        self.out = Filter(self)
        self._replies: deque[list[bytes]] = deque()
        self._awaited: dict[int, tuple[OnReply, float]] = {}
        self._last_id = 0
        self.out.subscribe(session_topic(program.session))
        self.out.subscribe(HEADS_TOPIC)
        door.enter(self)

    # ── the program's side ───────────────────────────────────────────────────────────────────────────────────────────

    def send_frame(self, data: bytes) -> bool:
        """Hand a frame to the node's `in` socket."""
        if self.desk is not None:
            self.desk.frames.append(data)
            self.desk.wake_local()
        return self.desk is not None

    def request(self, do: str, fields: Json, on_reply: OnReply, now: float) -> None:
        """Send a request of the program's session; `on_reply(reply, blobs, now)` follows."""
        self._last_id += 1
        self._awaited[self._last_id] = (on_reply, now)
        part = pack_request(self._last_id, do, {**fields, "session": self.program.session.hex()})
        if self.desk is not None:
            self.desk.requests.append([self.client, part])
            self.desk.wake_local()

    def waiting_since(self) -> float | None:
        """When the oldest request without an answer was made."""
        return min((since for _, since in self._awaited.values()), default=None)

    def replies(self, now: float) -> None:
        """Give every reply that has arrived to whoever asked."""
        while self._replies:
            parts = self._replies.popleft()
            reply = unpack_control(parts[0])
            on_reply, _ = self._awaited.pop(reply.get("id", 0), (None, 0.0))
            if on_reply is not None:
                on_reply(reply, parts[1:], now)

    def messages(self, count_max: int) -> list[list[bytes]]:
        """What has arrived on `out`, at most so many."""
        return [self.arrived.popleft() for _ in range(min(count_max, len(self.arrived)))]

    def close(self) -> None:
        """The program closes its sockets, or dies: the node sees it from its subscriptions."""
        self.closed = True
        if self.desk is not None:
            self.desk.detach(self)

    # ── the node's side ──────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, message: bytes) -> None:
        """A subscription message for the node."""
        if self.desk is not None:
            self.desk.subscriptions.append(message)
            self.desk.wake_local()

    def answer(self, there: bool) -> None:
        """The node is there, or gone, which it then stays for this line."""
        self.there = there and self.there is not False
        self.program.wake_soon()

    def publish(self, parts: list[bytes]) -> bool:
        """A message of the node's `out` socket, if the filter lets it through and there is room."""
        if not parts[0].startswith(self.out.prefixes):
            return False
        if len(self.arrived) >= OUT_MESSAGES:
            self.dropped += 1
        else:
            self.arrived.append(parts if parts[0][:1] == DIRECTED else parts[:1])
            self.program.wake_soon()
        return True

    def reply(self, parts: list[bytes]) -> None:
        """An answer of the node."""
        self._replies.append(parts)
        self.program.wake_soon()
