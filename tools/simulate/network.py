"""The network: who can reach whom, and the dialling of connections. It imitates what libzmq does above TCP.

    dial ─▶ try ──stands──▶ `connected` at the dialler, a fresh routing id at the acceptor ──falls──▶ try again …
             ├─ refused: nothing runs there, or it is not to be dialled         after 0.1 s, 0.2 s … 5 s
             ├─ no answer: cut off in either direction, walled, or without power    after 2 s more
             └─ no greeting: its process stands still                           after 5 s more

A cut takes one direction between two machines. TCP needs both, so nothing new is connected over it; what stands goes on
in the other direction until the side that waits for an acknowledgement gives up, which is after `UNANSWERED_S`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from tools.simulate.connection import Connection
from tools.simulate.ports import Ports
from tools.simulate.world import World

UNANSWERED_S = 10.0
_SILENT_S = 2.0
_HANDSHAKE_S = 5.0
_BACKOFF_S = (0.1, 5.0)

Tap = Callable[[str, str, bytes], object]
"""Is told of every message that a socket takes, or that comes out at the far end: from, to, data."""


class Machine(Protocol):
    """A machine, as whoever dials sees it."""

    name: str
    hidden: bool
    ports: Ports
    alive: bool
    dark: bool

    @property
    def stalled(self) -> bool:
        """Whether its process stands still."""


class Network:
    """All machines and what stands between them. `latency_s`: a range from which each pair's one-way delay is drawn.

    `walls`: who can never dial whom.
    """

    def __init__(self, world: World, latency_s: tuple[float, float]) -> None:
        self.world = world
        self.machines: dict[str, Machine] = {}
        self.taps: list[Tap] = []
        self.arrivals: list[Tap] = []
        self.counts: Counter[str] = Counter()
        self.connections: dict[Connection, None] = {}
        self.diallings: dict[Dialling, None] = {}
        self._latency_s = latency_s
        self._latencies: dict[tuple[str, str], int] = {}
        self._cuts: Counter[tuple[str, str]] = Counter()
        self.walls: set[tuple[str, str]] = set()

    def latency_us(self, a: str, b: str) -> int:
        """How long a message is under way from one machine to another at least."""
        known = self._latencies.get((a, b))
        if known is None:
            draw, (low, high) = self.world.draw("latency", min(a, b), max(a, b)), self._latency_s
            known = self._latencies[a, b] = int(low * (high / low) ** draw.random() * 1e6)
        return known

    def is_cut(self, a: str, b: str) -> bool:
        """Whether nothing passes from one machine to another at this moment."""
        return self._cuts[a, b] > 0

    def apart(self, a: str, b: str) -> bool:
        """Whether no connection between two machines can be made, because one direction at least is cut."""
        return self.is_cut(a, b) or self.is_cut(b, a)

    def cut(self, directions: Iterable[tuple[str, str]]) -> None:
        """Let nothing pass in these directions."""
        ways = list(directions)
        self._cuts.update(ways)
        for connection in self._across(ways):
            self.world.after(UNANSWERED_S + connection.draw.random(), connection.unanswered)

    def heal(self, directions: Iterable[tuple[str, str]]) -> None:
        """Take such a cut back."""
        ways = list(directions)
        self._cuts.subtract(ways)
        for connection in self._across(ways):
            connection.healed()

    def _across(self, ways: list[tuple[str, str]]) -> list[Connection]:
        """The connections that need one of these directions."""
        needed = set(ways)
        return [each for each in self.connections if not needed.isdisjoint(each.ways)]

    def walled(self, a: str, b: str) -> bool:
        """Whether two machines can never have a connection."""
        return (a, b) in self.walls and (b, a) in self.walls

    def connect(self, dialling: Dialling, dialler: Ports, acceptor: Ports) -> Connection:
        """A connection stands."""
        self.counts["connections"] += 1
        connection = Connection(self, dialling, dialler, acceptor, self.counts["connections"])
        self.connections[connection] = None
        return connection

    def silenced(self, ports: Ports, told: bool) -> None:
        """A process has ended: its connections fall, and the far ends are told by its kernel or find out."""
        for connection in list(self.connections):
            if ports in (connection.dialler, connection.acceptor):
                connection.fall(told, None if told else (UNANSWERED_S, UNANSWERED_S))

    def took(self, source: str, target: str, data: bytes) -> None:
        """A socket took a message."""
        kind, size = ("control", "control bytes") if data[:1] == b"\x00" else ("frames", "frames bytes")
        self.counts[kind] += 1
        self.counts[size] += len(data)
        for tap in self.taps:
            tap(source, target, data)

    def brought(self, source: str, target: str, data: bytes) -> None:
        """A message has come out at the far end."""
        for tap in self.arrivals:
            tap(source, target, data)


class Dialling:
    """One address that one start of a machine dials: tried until it stands, and again when it has fallen."""

    def __init__(self, network: Network, machine: Machine, address: str, number: int) -> None:
        self.machine = machine
        self.address = address
        self.closed = False
        self._network = network
        self._world = network.world
        self._draw = network.world.draw("dial", machine.name, address, number)
        self._backoff_s = _BACKOFF_S[0]
        self._connection: Connection | None = None
        network.diallings[self] = None
        self.again()

    @property
    def at_rest(self) -> bool:
        """Whether it has its connection, or can never have one because of a wall."""
        stands = self._connection is not None and not self._connection.fallen
        return stands or self._walled(self._network.machines.get(self.address))

    def _walled(self, target: Machine | None) -> bool:
        return target is not None and (self.machine.name, target.name) in self._network.walls

    def close(self) -> None:
        """Let go of the address: whoever dials has ended, or wants it no more."""
        self.closed = True
        if self._connection is not None:
            self._connection.fall()
        self._network.diallings.pop(self, None)

    def again(self) -> None:
        """Try, after a pause that grows."""
        self._world.after(self._backoff_s * (0.5 + self._draw.random()), self._try)
        self._backoff_s = min(2 * self._backoff_s, _BACKOFF_S[1])

    def _try(self) -> None:
        if self.closed:
            return
        target = self._network.machines.get(self.address)
        if target is None or self.machine.stalled:
            self.again()
            return
        round_trip_us = 2 * self._network.latency_us(self.machine.name, target.name)
        self._world.at(self._world.now_us + round_trip_us, lambda: self._arrived(target))

    def _arrived(self, target: Machine) -> None:
        if self.closed:
            return
        if self._walled(target) or self._network.apart(self.machine.name, target.name) or target.dark:
            self._world.after(_SILENT_S, self.again)
        elif not target.alive or target.hidden:
            self.again()
        elif target.stalled:
            self._world.after(_HANDSHAKE_S, self.again)
        else:
            self._backoff_s = _BACKOFF_S[0]
            self._connection = self._network.connect(self, self.machine.ports, target.ports)
            self.machine.ports.connected(self.address, self._connection.out)
