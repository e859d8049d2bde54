"""Ports: the simulated sockets of one start of a node, with the queues and events of `node.sockets`.

    pipes ── messages, connected, fallen ─▶ ┌ Ports ┐ ── drain ─▶ Inbox      the node's turn
    programs (`tools.simulate.local_ports`) └───────┘ ◀─ send ── Turn

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
from tools.simulate.local_ports import DRAIN, LocalPorts
from tools.simulate.world import World

LINK_QUEUE_BYTES = 1 << 20
_CLOSED = "the connection was closed"


class Ports:
    """Everything that has arrived at one process, and its ways out. `wake(moment)` has the node take a turn."""

    def __init__(self, name: str, world: World, draw: Random, wake: Callable[[int], object]) -> None:
        self.name = name
        self.open = True
        self.local = LocalPorts(world, wake)
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
        self.local.close()

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

    # ── a turn ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def more(self) -> bool:
        """Whether something waits for the next turn already."""
        return bool(self._links) or self.local.more

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
        self._events = []
        return Inbox(*self.local.drain(), links, events)

    def send(self, turn: Turn) -> None:
        """Carry out a committed turn."""
        self.local.send(turn)
        for link, put_bytes in turn.took:
            self._queues.took(link, put_bytes)
        for link, data in in_order((*turn.passing_links, *turn.links, *turn.closing_links)):
            self._queues.send(link, data)
        self.local.reply(turn)

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
