"""A machine: one node over all its starts. Its rules and its store are the real ones, its sockets are simulated.

    pipes, lines ──▶ inbox ──turn──▶ node.core.Node ──▶ Turn ──▶ pipes, lines        (what `node.agent` does)

A turn comes when something has arrived or the node's own `idle_ms` is over, and never before the last one's time is
used up. A crash throws the node away and keeps what its store has committed; so does a disk that is lost, but for that.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from node.assembly import Plan, Surroundings, assemble, load_state
from node.clock import Now
from node.core import Inbox, Node
from node.identity import identify
from node.link_queues import LinkQueues
from node.neighbours import LinkEvent
from node.store import Store
from node.turn import LinkKey, Turn
from tools.simulate.connection import Connection, Pipe
from tools.simulate.line import LOCAL_US, Line
from tools.simulate.network import Dialling, Network
from tools.simulate.world import Sleeper, World

WALL_US = 1_800_000_000_000_000
ENDPOINTS = {"in": "in", "out": "out", "ctl": "ctl"}
_DRAIN = 512
_BLOCKED_US = 5000
_LINK_QUEUE_BYTES = 1 << 20


class Spec(NamedTuple):
    """What one machine is. `hidden`: it cannot be dialled, as behind NAT; `turn_us`: what a turn takes."""

    name: str
    plan: Plan
    hidden: bool
    turn_us: int


class Machine:
    """`starts` counts the lives of its node; `alive` says that one runs, `dark` that the power is out."""

    def __init__(self, world: World, network: Network, spec: Spec) -> None:
        self.world = world
        self.network = network
        self.spec = spec
        self.name = spec.name
        self.address = f"tcp://{spec.name}:7270"
        self.draw = world.draw("machine", spec.name)
        self.starts = self.accepted = self.disks_lost = 0
        self.alive = self.dark = False
        self.stalled_until_us = 0
        self.wall_us = WALL_US + self.draw.randrange(-2_000_000, 2_000_000)
        self.lines: dict[Line, None] = {}
        self.counts: Counter[str] = Counter()
        self.store = Store(":memory:")
        self.on_turn: Callable[[Machine, Turn], object] | None = None
        network.machines[self.address] = self
        self._sleeper = Sleeper(world, self._turn)
        self._begin()

    def _begin(self) -> None:
        """Everything that a process has and its end takes away."""
        self.frames: list[bytes] = []
        self.subscriptions: list[bytes] = []
        self.requests: list[list[bytes]] = []
        self._links: deque[tuple[Pipe, bytes]] = deque()
        self._events: list[LinkEvent] = []
        self._pipes: dict[LinkKey, Pipe] = {}
        self._diallings: list[Dialling] = []
        self._queues = LinkQueues(_LINK_QUEUE_BYTES, self._try)
        self._free_us = 0

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """A process begins on what the disk holds."""
        self.starts += 1
        self.alive, self.dark, self.stalled_until_us = True, False, 0
        self._begin()
        self._mono_us = self.draw.randrange(1 << 40)
        now, plan = self.now(), self.spec.plan
        me = identify(self.store, self.name, self.name, "full", lambda: f"{self.draw.getrandbits(32):08x}")
        listen = "" if self.spec.hidden else self.address
        around = Surroundings("1.0", listen, ENDPOINTS, lambda session: [], self.draw.randbytes(8))
        self.node: Node = assemble(load_state(self.store, me, plan, self.draw.random, now), plan, around, now)
        self.world.note("start", self.name, me.origin)
        self._diallings = [Dialling(self.network, self, address) for address in plan.peers]
        for line in self.lines:
            self.subscriptions += [b"\x01" + prefix for prefix in line.out.prefixes]
            self._tell(line, True)
        self._sleeper.wake(self.world.now_us)

    def crash(self, dark: bool = False) -> None:
        """The process is killed, or the power goes: then nobody far away is told."""
        self.alive, self.dark = False, dark
        self.world.note("crash", self.name, dark)
        for dialling in self._diallings:
            dialling.closed = True
        for connection in list(self.network.connections):
            if self in (connection.dialler, connection.acceptor):
                connection.fall(not dark, (11.0, 11.0) if dark else None)
        for line in list(self.lines):
            del self.lines[line]
            self._tell(line, False)

    def stall(self, seconds: float) -> None:
        """The process stands still; what is sent to it waits."""
        self.stalled_until_us = max(self.stalled_until_us, self.world.now_us + int(seconds * 1e6))
        self.world.at(self.stalled_until_us, self._resumed)

    def _resumed(self) -> None:
        for line in list(self.lines):
            if line.there is None:
                line.answer(True)

    def attach(self, line: Line) -> None:
        """A program has made its sockets; they connect when there is a process that answers."""
        self.lines[line] = None
        if not self.busy:
            self._tell(line, True)

    def detach(self, line: Line) -> bool:
        """A program has closed its sockets; False when this process never had them, or is gone."""
        there = line in self.lines
        self.lines.pop(line, None)
        return there

    def _tell(self, line: Line, there: bool) -> None:
        self.world.at(self.world.now_us + LOCAL_US, lambda: line.answer(there))

    def lose_disk(self) -> None:
        """Its database is gone; the next start begins with an empty one."""
        self.store.close()
        self.store = Store(":memory:")
        self.disks_lost += 1

    @property
    def stalled(self) -> bool:
        """Whether it stands still."""
        return self.stalled_until_us > self.world.now_us

    @property
    def busy(self) -> bool:
        """Whether it takes no part at this moment: dead or standing still."""
        return not self.alive or self.stalled

    def now(self) -> Now:
        """What its clocks say."""
        return Now(self.wall_us + self.world.now_us, self._mono_us + self.world.now_us)

    # ── the network's side ───────────────────────────────────────────────────────────────────────────────────────────

    def reachable_from(self, other: str) -> bool:
        """Whether another machine may dial this one."""
        return not self.spec.hidden

    def routing_id(self) -> bytes:
        """A name for a connection that is accepted."""
        self.accepted += 1
        return b"\x00" + self.draw.randbytes(4)

    def accept(self, key: bytes, pipe: Pipe) -> None:
        """Somebody has connected."""
        self._pipes[key] = pipe

    def connected(self, address: str, connection: Connection) -> None:
        """What this machine dialled stands."""
        self._pipes[address] = connection.out
        self._happened((address, "connected", ""))

    def disconnected(self, address: str) -> None:
        """What this machine dialled has fallen."""
        self._pipes.pop(address, None)
        self._queues.forget(address)
        self._happened((address, "disconnected", "the connection was closed"))

    def forget_route(self, key: bytes) -> None:
        """A connection it accepted has fallen: the next message to it finds nobody."""
        self._pipes.pop(key, None)

    def arrived(self, pipe: Pipe, data: bytes) -> None:
        """A message over a link."""
        self._links.append((pipe, data))
        self._wake(self.world.now_us)

    def wake_local(self) -> None:
        """A program has sent something."""
        self._wake(self.world.now_us + LOCAL_US)

    def _happened(self, event: LinkEvent) -> None:
        self._events.append(event)
        self._wake(self.world.now_us)

    def _wake(self, at_us: int) -> None:
        if self.alive:
            self._sleeper.wake(max(at_us, self._free_us, self.stalled_until_us))

    # ── the turn ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> None:
        if not self.alive:
            return
        if self.stalled:
            self._wake(self.stalled_until_us)
            return
        inbox, now = self._drain(), self.now()
        self.counts["turns"] += 1
        turn = self.node.turn(inbox, now)
        self._send(turn)
        for link in self._queues.blocked:
            if link not in self.node.links.up():
                self._queues.forget(link)
        if self.on_turn is not None:
            self.on_turn(self, turn)
        self._rest()

    def _rest(self) -> None:
        now_us = self.world.now_us
        self._free_us = now_us + self.spec.turn_us
        more = bool(self._links or self.frames or self.requests or self.subscriptions)
        idle_us = 0 if more else 1000 * self.node.idle_ms(self.now())
        if self._queues.blocked:
            idle_us = min(idle_us, _BLOCKED_US)
        self._wake(now_us + idle_us)

    def _drain(self) -> Inbox:
        links: list[tuple[LinkKey, bytes]] = []
        while self._links and len(links) < _DRAIN:
            pipe, data = self._links.popleft()
            pipe.untaken -= 1
            links.append((pipe.key, data))
        self._queues.flush()
        events = self._events + [(link, "dropped", str(count)) for link, count in self._queues.dropped()]
        inbox = Inbox(self.frames[:_DRAIN], self.subscriptions, self.requests, links, events)
        self.frames, self.subscriptions, self.requests, self._events = self.frames[_DRAIN:], [], [], []
        self.world.note("turn", self.name, len(links), len(inbox.frames), len(inbox.requests), len(events))
        return inbox

    def _send(self, turn: Turn) -> None:
        for parts in (*turn.passing_out, *turn.out):
            for line in self.lines:
                line.publish(parts)
        for link, data in in_order((*turn.passing_links, *turn.links)):
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
            return False
        self._queues.forget(link)
        self._events.append((link, "disconnected", "the connection was closed"))
        return True


def in_order(messages: tuple[tuple[LinkKey, bytes], ...]) -> list[tuple[LinkKey, bytes]]:
    """The same, link by link: the order among links follows from hashes, which differ from process to process."""
    by_link: dict[LinkKey, list[bytes]] = {}
    for link, data in messages:
        by_link.setdefault(link, []).append(data)
    keys = sorted(by_link, key=lambda key: (isinstance(key, bytes), str(key)))
    return [(key, data) for key in keys for data in by_link[key]]
