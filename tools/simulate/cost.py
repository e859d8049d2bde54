"""Cost: what a mesh sends, per event and per second in which nothing happens, by its size. Measured, not estimated.

    start, link ── settled ──▶ nothing for a while ──▶ events, one a second ──▶ many at once
                               per second              what is more than idle, per event

All nodes are peers that know one seed and send a heartbeat a second. An event has 100 bytes of payload and comes from
one program; it is wanted by a consumer at every other node, or at a few. Frames carry events; talk is everything else.

Four times an hour every member says that it is here, and all pass it on; in half a minute that happens or does not. So
what is said of members counts where nothing happens, and is no part of an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tools.simulate.actors import Consumer, Publisher
from tools.simulate.ledger import Ledger
from tools.simulate.machine import Machine, Spec
from tools.simulate.network import Network
from tools.simulate.scenario import KNOBS_S, Consuming, Publishing, plan
from tools.simulate.world import World

WANTING = 3
"""How many nodes want the events when not all do."""
_SETTLED_S, _IDLE_S, _TAIL_S = 30.0, 30.0, 30.0
"""Streams are compared every ten seconds, signs of life sent every one to three and measured at every fifth: all of it
comes as often in one half minute as in another."""
_EVENTS, _BURST = 30, 1000
_FILLING = 85
_TOPIC = "job.0"
_OF_MEMBERS = b'\x00{"t":"members"'


class Spent(NamedTuple):
    """Messages between nodes of both kinds, and the bytes of all."""

    frames: float
    talk: float
    size_bytes: float

    def times(self, factor: float) -> Spent:
        """So much as often."""
        return Spent(self.frames * factor, self.talk * factor, self.size_bytes * factor)

    def and_(self, other: Spent) -> Spent:
        """Both."""
        return Spent(*map(sum, zip(self, other, strict=True)))

    def beyond(self, other: Spent) -> Spent:
        """What is more than the other."""
        return Spent(self.frames - other.frames, self.talk - other.talk, self.size_bytes - other.size_bytes)


class Cost(NamedTuple):
    """One mesh: all of it per idle second, per event that comes alone, per event of many at once."""

    nodes: int
    wanting: int
    idle: Spent
    alone: Spent
    together: Spent


class _Mesh:
    def __init__(self, nodes: int, wanting: int) -> None:
        self.world = World(1)
        self._of_members = Spent(0, 0, 0)
        self.network, self.ledger = Network(self.world, (0.001, 0.01)), Ledger()
        self.network.taps.append(self._heed)
        names = [f"n{number:03}" for number in range(nodes)]
        seeds = (f"tcp://{names[0]}:7270",)
        specs = [Spec(name, plan(seeds if name != names[0] else (), False, KNOBS_S), False, 1000) for name in names]
        self.machines = [Machine(self.world, self.network, spec) for spec in specs]
        publishing = Publishing("publisher", names[0], (_TOPIC,), 1.0, 1)
        self.publisher = Publisher(publishing, self.machines[0], self.ledger)
        for machine in self.machines[1 : wanting + 1]:
            Consumer(Consuming(f"on-{machine.name}", machine.name, _TOPIC, False, 1000), machine, self.ledger)

    def begin(self) -> None:
        draw = self.world.draw("begin")
        for machine in self.machines:
            self.world.after(draw.random(), machine.start)
        self.wait(_SETTLED_S)

    def wait(self, seconds: float) -> None:
        self.world.run(self.world.now_us + int(seconds * 1e6))

    def publish(self, count: int, every_s: float) -> None:
        for number in range(count):
            self.world.after(number * every_s, lambda: self.publisher.publish_one(_TOPIC, _FILLING))
        self.wait(count * every_s + _TAIL_S)

    def _heed(self, _source: str, _target: str, data: bytes) -> None:
        if data.startswith(_OF_MEMBERS):
            self._of_members = self._of_members.and_(Spent(0, 1, len(data)))

    def spent(self, act: Callable[[], object]) -> tuple[Spent, Spent]:
        """What is sent meanwhile: about members, and everything else."""
        before, of_members = self._sent(), self._of_members
        act()
        of_members = self._of_members.beyond(of_members)
        return of_members, self._sent().beyond(before).beyond(of_members)

    def _sent(self) -> Spent:
        counts = self.network.counts
        return Spent(counts["frames"], counts["control"], counts["frames bytes"] + counts["control bytes"])


def measure(nodes: int, everybody: bool) -> Cost:
    """Run a mesh of so many nodes and count what it sends."""
    wanting = nodes - 1 if everybody else WANTING
    mesh = _Mesh(nodes, wanting)
    mesh.begin()
    of_members, idle = (each.times(1 / _IDLE_S) for each in mesh.spent(lambda: mesh.wait(_IDLE_S)))
    _, alone = mesh.spent(lambda: mesh.publish(_EVENTS, 1.0))
    _, together = mesh.spent(lambda: mesh.publish(_BURST, 0.0))
    alone, together = alone.beyond(idle.times(_EVENTS + _TAIL_S)), together.beyond(idle.times(_TAIL_S))
    return Cost(nodes, wanting, idle.and_(of_members), alone.times(1 / _EVENTS), together.times(1 / _BURST))


def print_costs(costs: Iterable[Cost]) -> None:
    """A table, a line as soon as it is known."""
    print(f"{'':15}{'idle, per node and second':>30}{'per event alone':>30}{f'per event of {_BURST} at once':>32}")
    print(f"{'nodes':>6}{'wanting':>9}{'messages':>15}{'bytes':>15}", end="")
    print(f"{'frames':>10}{'talk':>10}{'bytes':>10}{'frames':>12}{'talk':>10}{'bytes':>10}", flush=True)
    for nodes, wanting, idle, alone, together in costs:
        print(f"{nodes:6}{wanting:9}{(idle.frames + idle.talk) / nodes:15.1f}{idle.size_bytes / nodes:15.0f}", end="")
        print(f"{alone.frames:10.1f}{alone.talk:10.1f}{alone.size_bytes:10.0f}", end="")
        print(f"{together.frames:12.2f}{together.talk:10.2f}{together.size_bytes:10.0f}", flush=True)
