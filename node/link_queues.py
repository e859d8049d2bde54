"""Link queues: what was given to a link and not taken by its far end. Bounded in bytes, every drop counted. No I/O.

    send ─▶ [ m ][ m ] ─flush─▶ socket: its pipe, two kernels, the far end's pipe ─▶ taken by the peer
            waits here           cannot be looked into                              ──took 7340032──▶ what is held falls
            └──────────── held: at most `bytes_max`, then dropped and counted; no other link notices ─┘

A socket says only that it is full, at a thousand messages of whatever size: with events of a megabyte that is a
gigabyte. So every megabyte a mark goes out among the frames, with the count of bytes that were put in before it, and
the peer says it back when it has come to it. Between marks nothing is said. Order is kept on a connection, so what came
before a mark has been taken, or was lost with a connection; a mark that is lost is made good by the next one, and marks
go on while frames are dropped.

A peer that has said no mark back yet may be of a release that knows none: until then only what waits here is counted.
Control messages have room of their own: they are small, and not said again while a link stands.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import orjson

from node.turn import CONTROL, LinkKey

CONTROL_ROOM_BYTES = 8 << 20
"""Room beyond the bound for control messages."""
_MARK_BYTES_MAX = 1 << 20
_MARKS_HELD = 8
"""A mark comes at least so often within the bound."""
_QUEUES_MAX = 4096
"""Links that are remembered, more than there can be; of the oldest beyond, what it holds is counted anew."""

Try = Callable[[LinkKey, bytes], bool]
"""Hands a message to a link's socket; False when it is full."""


class _Queue:
    """`put_bytes` counts what was ever put in, `taken_bytes` how much of it the peer has taken, if it says so."""

    __slots__ = ("put_bytes", "size_bytes", "taken_bytes", "unmarked_bytes", "waiting")

    def __init__(self, unmarked_bytes: int) -> None:
        self.waiting: deque[bytes] = deque()
        self.size_bytes = 0
        self.put_bytes = 0
        self.taken_bytes: int | None = None
        self.unmarked_bytes = unmarked_bytes

    @property
    def held_bytes(self) -> int:
        return self.size_bytes if self.taken_bytes is None else self.put_bytes - self.taken_bytes


class LinkQueues:
    """The queues of all links. `attempt` hands one message to a socket."""

    def __init__(self, bytes_max: int, attempt: Try) -> None:
        self._bytes_max = bytes_max
        self._attempt = attempt
        self._mark_bytes = min(_MARK_BYTES_MAX, bytes_max // _MARKS_HELD)
        self._queues: dict[LinkKey, _Queue] = {}
        self._blocked: dict[LinkKey, None] = {}
        self._dropped: Counter[LinkKey] = Counter()

    @property
    def blocked(self) -> list[LinkKey]:
        """The links for which something waits."""
        return list(self._blocked)

    def send(self, link: LinkKey, data: bytes) -> None:
        """Send now if nothing waits and the socket takes it; otherwise wait in line, or be dropped."""
        queue = self._queues.get(link) or self._open(link)
        frame = data[:1] != CONTROL
        self._put(link, queue, data, self._bytes_max if frame else self._bytes_max + CONTROL_ROOM_BYTES)
        queue.unmarked_bytes += len(data)
        if frame and queue.unmarked_bytes >= self._mark_bytes:
            queue.unmarked_bytes = 0
            mark = CONTROL + orjson.dumps({"t": "mark", "put": queue.put_bytes})
            self._put(link, queue, mark, self._bytes_max + CONTROL_ROOM_BYTES)

    def _open(self, link: LinkKey) -> _Queue:
        if len(self._queues) >= _QUEUES_MAX:
            del self._queues[next(each for each in self._queues if each not in self._blocked)]
        queue = self._queues[link] = _Queue(self._mark_bytes)
        return queue

    def _put(self, link: LinkKey, queue: _Queue, data: bytes, room: int) -> None:
        held = queue.held_bytes
        if held and held + len(data) > room:  # one message alone may be larger than the bound
            self._dropped[link] += 1
            return
        queue.put_bytes += len(data)
        if queue.waiting or not self._attempt(link, data):
            queue.waiting.append(data)
            queue.size_bytes += len(data)
            self._blocked[link] = None

    def took(self, link: LinkKey, put_bytes: int) -> None:
        """The peer has come to the mark that was made when so much had been put in."""
        queue = self._queues.get(link)
        if queue is not None and (queue.taken_bytes or 0) <= put_bytes <= queue.put_bytes:
            queue.taken_bytes = put_bytes

    def begin(self, link: LinkKey) -> None:
        """A connection stands anew: whoever is there has yet to show that it knows marks."""
        queue = self._queues.get(link)
        if queue is not None:
            queue.taken_bytes, queue.unmarked_bytes = None, self._mark_bytes

    def flush(self) -> None:
        """Give every socket what waits for it, as far as it takes it."""
        for link in self.blocked:
            queue = self._queues[link]
            while queue.waiting and self._attempt(link, queue.waiting[0]):
                if queue.waiting:  # the attempt may have found the link gone, and emptied its queue
                    queue.size_bytes -= len(queue.waiting.popleft())
            if not queue.waiting:
                self._blocked.pop(link, None)

    def forget(self, link: LinkKey) -> None:
        """The link is down: what waits for it is dropped, and counted."""
        queue = self._queues.get(link)
        if queue is not None and queue.waiting:
            self._dropped[link] += len(queue.waiting)
            queue.waiting.clear()
            queue.put_bytes -= queue.size_bytes
            queue.size_bytes, queue.unmarked_bytes = 0, self._mark_bytes
            del self._blocked[link]

    def dropped(self) -> list[tuple[LinkKey, int]]:
        """What was dropped since this was last asked, per link."""
        found = list(self._dropped.items())
        self._dropped.clear()
        return found
