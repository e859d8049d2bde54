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

    starts: int
    frames: list[bytes]
    subscriptions: list[bytes]
    requests: list[list[bytes]]

    def attach(self, line: Line) -> None:
        """A program has made its sockets."""

    def detach(self, line: Line) -> bool:
        """A program has closed them; says whether they were still connected."""

    def wake_local(self) -> None:
        """Something has arrived."""


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

    def drop(self) -> list[bytes]:
        """The socket is gone: what the node is told of it."""
        gone = [b"\x00" + prefix for prefix in self.prefixes]
        self._counts.clear()
        self.prefixes = ()
        return gone

    def _changed(self, message: bytes) -> None:
        self._counts = +self._counts
        self.prefixes = tuple(self._counts)
        self._line.tell(message)


class Line:
    """The three sockets of one attachment. `there`: None until the node answers, then True, then False for ever."""

    def __init__(self, desk: Desk, program: Reader) -> None:
        self.desk = desk
        self.client = b"%s.%d" % (program.name.encode(), desk.starts)
        self.program = program
        self.there: bool | None = None
        self.arrived: deque[list[bytes]] = deque()
        self.dropped = 0
        self.out = Filter(self)
        self._replies: deque[list[bytes]] = deque()
        self._awaited: dict[int, tuple[OnReply, float]] = {}
        self._last_id = 0
        self.out.subscribe(session_topic(program.session))
        self.out.subscribe(HEADS_TOPIC)
        desk.attach(self)

    # ── the program's side ───────────────────────────────────────────────────────────────────────────────────────────

    def send_frame(self, data: bytes) -> bool:
        """Hand a frame to the node's `in` socket."""
        self.desk.frames.append(data)
        self.desk.wake_local()
        return True

    def request(self, do: str, fields: Json, on_reply: OnReply, now: float) -> None:
        """Send a request of the program's session; `on_reply(reply, blobs, now)` follows."""
        self._last_id += 1
        self._awaited[self._last_id] = (on_reply, now)
        part = pack_request(self._last_id, do, {**fields, "session": self.program.session.hex()})
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
        if self.desk.detach(self):
            self.desk.subscriptions += self.out.drop()
            self.desk.wake_local()

    # ── the node's side ──────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, message: bytes) -> None:
        """A subscription message for the node."""
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
