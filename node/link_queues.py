"""Link queues: what waits for links whose sockets are full. Bounded in bytes per link, every drop counted. No I/O.

send ─▶ socket takes it? ──yes──▶ gone
            │ no
            ▼
        [ m ][ m ][ m ]  up to `bytes_max`  ──flush──▶ socket, in order
            │ full
            ▼
        dropped, counted for this link; no other link notices. Control messages have room of their own
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from node.turn import CONTROL, LinkKey

CONTROL_ROOM_BYTES = 8 << 20
"""Room beyond the bound for control messages: they are small, and not said again while a link stands."""

Try = Callable[[LinkKey, bytes], bool]
"""Hands a message to a link's socket; False when it is full."""


class _Queue:
    __slots__ = ("dropped", "size_bytes", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.size_bytes = 0
        self.dropped = 0


class LinkQueues:
    """The queues of all links. `attempt` hands one message to a socket."""

    def __init__(self, bytes_max: int, attempt: Try) -> None:
        self._bytes_max = bytes_max
        self._attempt = attempt
        self._queues: dict[LinkKey, _Queue] = {}

    @property
    def blocked(self) -> list[LinkKey]:
        """The links for which something waits."""
        return [link for link, queue in self._queues.items() if queue.waiting]

    def send(self, link: LinkKey, data: bytes) -> None:
        """Send now if nothing waits and the socket takes it; otherwise wait in line, or be dropped."""
        queue = self._queues.get(link)
        if (queue is None or not queue.waiting) and self._attempt(link, data):
            return
        if queue is None:
            queue = self._queues[link] = _Queue()
        room = self._bytes_max + (CONTROL_ROOM_BYTES if data[:1] == CONTROL else 0)
        if queue.size_bytes + len(data) > room:
            queue.dropped += 1
        else:
            queue.waiting.append(data)
            queue.size_bytes += len(data)

    def flush(self) -> None:
        """Give every socket what waits for it, as far as it takes it."""
        for link in self.blocked:
            queue = self._queues[link]
            while queue.waiting and self._attempt(link, queue.waiting[0]):
                if queue.waiting:  # the attempt may have found the link gone, and emptied its queue
                    queue.size_bytes -= len(queue.waiting.popleft())

    def forget(self, link: LinkKey) -> None:
        """The link is down: what waits for it is dropped, and counted."""
        queue = self._queues.get(link)
        if queue is not None:
            queue.dropped += len(queue.waiting)
            queue.waiting.clear()
            queue.size_bytes = 0

    def dropped(self) -> list[tuple[LinkKey, int]]:
        """What was dropped since this was last asked, per link; queues that are empty go."""
        found = [(link, queue.dropped) for link, queue in self._queues.items() if queue.dropped]
        for queue in self._queues.values():
            queue.dropped = 0
        self._queues = {link: queue for link, queue in self._queues.items() if queue.waiting}
        return found
