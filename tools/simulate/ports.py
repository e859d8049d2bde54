"""Ports: the simulated sockets of one start of a node, with the queues and events of `node.sockets`.

    pipes ── messages, connected, fallen ─▶ ┌ Ports ┐ ── drain ─▶ Inbox      the node's turn
    lines ── frames, requests, filters ───▶ └───────┘ ◀─ send ── Turn

They end with their process: what is still under way to them arrives nowhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from node.inbox import Inbox, LinkEvent
from node.link_queues import LinkQueues
from node.turn import LinkKey, Turn
from tools.simulate.connection import Pipe
from tools.simulate.line import LOCAL_US, Line
from tools.simulate.world import World

DRAIN = 512
"""Messages taken from one kind of socket in one turn."""
LINK_QUEUE_BYTES = 1 << 20
_CLOSED = "the connection was closed"


class Ports:
    """Everything that has arrived at one process, and its ways out. `wake(moment)` has the node take a turn."""

    def __init__(self, name: str, world: World, draw: Random, wake: Callable[[int], object]) -> None:
        self.name = name
        self.open = True
        self.frames: list[bytes] = []
        self.subscriptions: list[bytes] = []
        self.requests: list[list[bytes]] = []
        self.lines: dict[Line, None] = {}
        self.dialled: set[str] = set()
        self._world = world
        self._draw = draw
        self._wake = wake
        self._links: deque[tuple[Pipe, bytes]] = deque()
        self._events: list[LinkEvent] = []
        self._pipes: dict[LinkKey, Pipe] = {}
        self._queues = LinkQueues(LINK_QUEUE_BYTES, self._try)

    def close(self) -> None:
        """The process has ended."""
        self.open = False
        for line in list(self.lines):
            self.tell(line, False)

    # ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, pipe: Pipe) -> bytes:
        """Somebody has connected; returns the routing id, which is random."""
        key = b"\x00" + self._draw.randbytes(4)
        self._pipes[key] = pipe
        return key

    def connected(self, address: str, pipe: Pipe) -> None:
        """What this node dialled stands."""
        self._pipes[address] = pipe
        self._queues.begin(address)
        self._happened((address, "connected", ""))

    def disconnected(self, address: str) -> None:
        """What this node dialled has fallen."""
        self._pipes.pop(address, None)
        self._queues.forget(address)
        self._happened((address, "disconnected", _CLOSED))

    def undial(self, address: str) -> None:
        """What this node dialled is let go of; nothing more is reported of it."""
        self.dialled.discard(address)
        self._pipes.pop(address, None)
        self._queues.forget(address)

    def forget_route(self, key: LinkKey) -> None:
        """A connection it accepted has fallen: the next message to it finds nobody."""
        self._pipes.pop(key, None)

    def arrived(self, pipe: Pipe, data: bytes) -> None:
        """A message over a link."""
        self._links.append((pipe, data))
        self._wake(self._world.now_us)

    def _happened(self, event: LinkEvent) -> None:
        self._events.append(event)
        self._wake(self._world.now_us)

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def attach(self, line: Line) -> None:
        """A program's sockets have connected: their filters come first."""
        self.lines[line] = None
        line.desk = self
        self.subscriptions += [b"\x01" + prefix for prefix in line.out.prefixes]
        self.wake_local()

    def detach(self, line: Line) -> None:
        """A program has closed its sockets, or died."""
        self.lines.pop(line, None)
        self.subscriptions += [b"\x00" + prefix for prefix in line.out.prefixes]
        self.wake_local()

    def tell(self, line: Line, there: bool) -> None:
        """Let a program know that the node is there, or gone."""
        self._world.at(self._world.now_us + LOCAL_US, lambda: line.answer(there))

    def wake_local(self) -> None:
        """A program has sent something."""
        self._wake(self._world.now_us + LOCAL_US)

    # ── a turn ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def more(self) -> bool:
        """Whether something waits for the next turn already."""
        return bool(self._links or self.frames or self.requests or self.subscriptions)

    @property
    def blocked(self) -> list[LinkKey]:
        """The links for which something waits."""
        return self._queues.blocked

    def forget(self, link: LinkKey) -> None:
        """The link is down: what waits for it is dropped."""
        self._queues.forget(link)

    def drain(self) -> Inbox:
        """What the next turn is about."""
        links: list[tuple[LinkKey, bytes]] = []
        while self._links and len(links) < DRAIN:
            pipe, data = self._links.popleft()
            pipe.untaken -= 1
            links.append((pipe.key, data))
        self._queues.flush()
        events = self._events + [(link, "dropped", str(count)) for link, count in self._queues.dropped()]
        inbox = Inbox(self.frames[:DRAIN], self.subscriptions, self.requests, links, events)
        self.frames, self.subscriptions, self.requests, self._events = self.frames[DRAIN:], [], [], []
        return inbox

    def send(self, turn: Turn) -> None:
        """Carry out a committed turn."""
        for parts in (*turn.passing_out, *turn.out):
            for line in self.lines:
                line.publish(parts)
        for link, put_bytes in turn.took:
            self._queues.took(link, put_bytes)
        for link, data in in_order((*turn.passing_links, *turn.links, *turn.closing_links)):
            self._queues.send(link, data)
        for request, parts in turn.replies:
            for line in self.lines:
                if line.client == request.client:
                    line.reply(parts)

    def _try(self, link: LinkKey, data: bytes) -> bool:
        """Hand a message to the link's socket; False when it is full, or a dialled one has no connection."""
        pipe = self._pipes.get(link)
        if pipe is not None:
            return pipe.send(data)
        if isinstance(link, str):
            return link not in self.dialled  # else it was let go of meanwhile
        self._queues.forget(link)
        self._events.append((link, "disconnected", _CLOSED))
        return True


def in_order(messages: tuple[tuple[LinkKey, bytes], ...]) -> list[tuple[LinkKey, bytes]]:
    """The same, link by link: the order among links follows from hashes, which differ from process to process."""
    by_link: dict[LinkKey, list[bytes]] = {}
    for link, data in messages:
        by_link.setdefault(link, []).append(data)
    keys = sorted(by_link, key=lambda key: (isinstance(key, bytes), str(key)))
    return [(key, data) for key in keys for data in by_link[key]]
