"""A machine: one node over all its starts. Its rules and its store are the real ones, its ports are simulated.

    ports ──inbox──▶ node.core.Node.turn ──Turn──▶ ports                          (what `node.agent` does)
    start ─▶ turns … ─▶ crash ─▶ start on what the store has committed, or on an empty one

A turn comes when something has arrived or the node's own `idle_ms` is over, and never before the last one's time is
used up. A crash throws the node away and keeps its disk. A node whose peers know more of it than its disk begins anew
under another generation (`on_renew`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from node.assembly import Surroundings, assemble, load_state
from node.clock import Now
from node.core import Node
from node.identity import begin_life, identify
from node.plan import Plan
from node.reentry import give_up
from node.turn import Turn
from tools.simulate.disk import Disk, Way
from tools.simulate.line import Line
from tools.simulate.network import Dialling, Network
from tools.simulate.ports import Ports
from tools.simulate.world import Sleeper, World

WALL_US = 1_800_000_000_000_000
ENDPOINTS = {"in": "in", "out": "out", "ctl": "ctl"}
_BLOCKED_US = 5000
_CLOCKS_APART_US = 2_000_000


class Spec(NamedTuple):
    """What one machine is. `hidden`: it cannot be dialled, as behind NAT; `turn_us`: what a turn takes."""

    name: str
    plan: Plan
    hidden: bool
    turn_us: int


def address_of(name: str) -> str:
    """Where a machine of that name can be dialled."""
    return f"tcp://{name}:7270"


class Machine:
    """`starts` counts the lives of its node; `alive` says that one runs, `dark` that the power is out.

    `node` and `ports` are those of the last start. `on_start` is told of every new node: tests break one there.
    `on_renew` is told before a node takes a new generation because its disk is an older copy.
    """

    node: Node
    ports: Ports

    def __init__(self, world: World, network: Network, spec: Spec) -> None:
        self.world = world
        self.network = network
        self.spec = spec
        self.name = spec.name
        self.hidden = spec.hidden
        self.address = address_of(spec.name)
        self.starts = 0
        self.alive = self.dark = False
        self.on_start: list[Callable[[Machine], object]] = []
        self.on_renew: list[Callable[[Machine], object]] = []
        self.disk = Disk()
        self._draw = world.draw("machine", spec.name)
        self._wall_us = WALL_US + self._draw.randrange(-_CLOCKS_APART_US, _CLOCKS_APART_US)
        self._mono_us = 0
        self._stalled_until_us = 0
        self._waiting: dict[Line, None] = {}
        self._diallings: dict[str, Dialling] = {}
        self._dialled = 0
        self._sleeper = Sleeper(world, self._turn)
        self._free_us = 0
        network.machines[self.address] = self

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """A process begins on what the disk holds."""
        self.starts += 1
        self.alive, self.dark, self._stalled_until_us, self._free_us = True, False, 0, 0
        self.ports = Ports(self.name, self.world, self._draw, self._wake)
        self._mono_us = self._draw.randrange(1 << 40)
        self.node = self._assembled()
        for each in self.on_start:
            each(self)
        self.world.note("start", self.name, self.node.state.origin)
        for address in self.spec.plan.peers:
            self._dial(address)
        waiting, self._waiting = self._waiting, {}
        for line in waiting:
            if not line.closed:
                self.enter(line)
        self._wake(self.world.now_us)

    def _assembled(self) -> Node:
        now, plan = self.now(), self.spec.plan
        disk, store = self.disk, self.disk.store
        me = identify(store, self.name, self.name, disk.noted, disk.original, self._new_generation)
        state = load_state(store, me, plan, self._draw.random, now)
        life, announcer = self._draw.randbytes(8).hex(), self._draw.randbytes(8)
        listen = "" if self.hidden else self.address
        disk.original = str(self.starts)
        incarnation = begin_life(store, me, "full", [disk.original])
        around = Surroundings("1.0", listen, ENDPOINTS, lambda session: [], announcer, incarnation, life)
        return assemble(state, plan, around, now)

    def _new_generation(self) -> str:
        return f"{self._draw.getrandbits(32):08x}"

    def crash(self, dark: bool = False) -> None:
        """The process is killed, or the power goes: then nobody far away is told."""
        self.alive, self.dark = False, dark
        self.world.note("crash", self.name, dark)
        self.network.silenced(self.ports, told=not dark)
        for address in list(self._diallings):
            self._diallings.pop(address).close()
        self.ports.close()

    def stall(self, seconds: float) -> None:
        """The process, if there is one, stands still; what is sent to it waits."""
        if not self.alive:
            return
        self._stalled_until_us = max(self._stalled_until_us, self.world.now_us + int(seconds * 1e6))
        self.world.at(self._stalled_until_us, self._resumed)

    def _resumed(self) -> None:
        for line in self.ports.local.lines:
            if line.there is None:
                self.ports.local.tell(line, True)

    def lose_disk(self) -> None:
        """Its database is gone; the next start begins with an empty one."""
        self.disk = self.disk.lost()

    def restore(self, copy: Disk, way: Way) -> None:
        """An older copy of its disk is put back."""
        self.disk = self.disk.replaced(copy, way)

    def jump(self, seconds: float) -> None:
        """Its wall clock is set to another time."""
        self._wall_us += int(seconds * 1e6)

    @property
    def stalled(self) -> bool:
        """Whether it stands still."""
        return self._stalled_until_us > self.world.now_us

    @property
    def busy(self) -> bool:
        """Whether it takes no part at this moment: dead or standing still."""
        return not self.alive or self.stalled

    def now(self) -> Now:
        """What its clocks say."""
        return Now(self._wall_us + self.world.now_us, self._mono_us + self.world.now_us)

    def enter(self, line: Line) -> None:
        """A program has made its sockets; they connect when there is a process."""
        if not self.alive:
            self._waiting[line] = None
            return
        self.ports.local.attach(line)
        if not self.stalled:
            self.ports.local.tell(line, True)

    # ── the turn ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _wake(self, at_us: int) -> None:
        if self.alive:
            self._sleeper.wake(max(at_us, self._free_us, self._stalled_until_us))

    def _turn(self) -> None:
        if not self.alive or self.stalled:
            self._wake(self._stalled_until_us)
            return
        inbox = self.ports.drain()
        self.world.note("turn", self.name, len(inbox.links), len(inbox.frames), len(inbox.requests))
        turn = self.node.turn(inbox, self.now())
        self.disk.note(self.node)
        self._carry_out(turn)
        if self.node.membership.divergence.outdated:
            self._renew()
            return
        self._free_us = self.world.now_us + self.spec.turn_us
        self._wake(self.world.now_us + self._idle_us())

    def _carry_out(self, turn: Turn) -> None:
        self.ports.send(turn)
        for address in turn.undials:
            self._undial(address)
        for address in turn.dials:
            self._dial(address)
        for link in self.ports.blocked:
            if link not in self.node.links.up():
                self.ports.forget(link)

    def _renew(self) -> None:
        """What `node.agent` does when the disk is a copy of the past, but for its goodbye, which may be lost."""
        for each in self.on_renew:
            each(self)
        give_up(self.node.state, self.node.membership.divergence.since)
        self.crash()
        self.start()

    def _dial(self, address: str) -> None:
        self._undial(address)
        self._dialled += 1
        self.ports.dialled.add(address)
        self._diallings[address] = Dialling(self.network, self, address, self._dialled)

    def _undial(self, address: str) -> None:
        dialling = self._diallings.pop(address, None)
        if dialling is not None:
            dialling.close()
            self.ports.undial(address)

    def _idle_us(self) -> int:
        if self.ports.more:
            return 0
        idle_us = 1000 * self.node.idle_ms(self.now())
        return min(idle_us, _BLOCKED_US) if self.ports.blocked else idle_us
