"""Connections: two pipes, one each way, with delay, bounds, and what becomes of both ends when it falls.

    dialler ══ out ═▶ [m][m][m] ═▶ acceptor, under a routing id that is new with every connection
            ◀═ back ══ [m][m] ══

A pipe holds what is under way and what its receiver has not taken: a receiver that stands still fills it, and then the
sender's socket takes nothing more. Order is kept inside a pipe and nowhere else.

When a connection falls, the end of what was under way is lost and the rest may come late, so that a newer connection
overtakes it; some frames of it come twice. The two ends notice at different moments; what is sent between is lost too.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from node.turn import LinkKey
from tools.simulate.world import World

PIPE_MESSAGES = 2000
"""What the buffers of both ends and of the kernels between hold."""
_BYTES_PER_US = 12.5
"""A hundred megabits a second."""
_NOTICED_S = 0.3
_LATE_S = 1.0
_RETRANSMIT_S = 1.0
_TWICE = 0.3


class End(Protocol):
    """The ports of one process, as its connections see them."""

    name: str
    open: bool

    def accept(self, pipe: Pipe) -> bytes:
        """Somebody has connected; returns the routing id."""

    def arrived(self, pipe: Pipe, data: bytes) -> None:
        """A message has come out of a pipe."""

    def disconnected(self, address: str) -> None:
        """What it dialled has fallen."""

    def forget_route(self, key: LinkKey) -> None:
        """What it accepted has fallen."""


class Dialler(Protocol):
    """Who tries again when a connection has fallen."""

    address: str
    closed: bool

    def again(self) -> None:
        """Try, after a pause."""


class Medium(Protocol):
    """What lies between machines."""

    world: World
    connections: dict[Connection, None]

    def latency_us(self, a: str, b: str) -> int:
        """How long a message is under way at least."""

    def is_cut(self, a: str, b: str) -> bool:
        """Whether nothing passes from one to the other."""

    def apart(self, a: str, b: str) -> bool:
        """Whether something is cut between them."""

    def took(self, source: str, target: str, data: bytes) -> None:
        """A socket took a message."""

    def brought(self, source: str, target: str, data: bytes) -> None:
        """A message has come out at the far end."""


class Pipe:
    """One direction. `key` is its link's at the far end; `lost` says that what is put in comes out nowhere."""

    def __init__(self, connection: Connection, source: End, target: End) -> None:
        self.key: LinkKey = b""
        self.source = source
        self.target = target
        self.untaken = 0
        self.lost = False
        self._connection = connection
        self._network = connection.network
        self._world = connection.network.world
        self._latency_us = connection.network.latency_us(source.name, target.name)
        self._under_way: deque[tuple[int, bytes]] = deque()
        self._free_us = self._due_us = 0
        self._scheduled = False

    def send(self, data: bytes) -> bool:
        """Take a message, or be full."""
        if len(self._under_way) + self.untaken >= PIPE_MESSAGES:
            return False
        self._network.took(self.source.name, self.target.name, data)
        if self.lost:
            return True
        now_us = self._world.now_us
        self._free_us = max(self._free_us, now_us) + int(len(data) / _BYTES_PER_US)
        delay_us = self._latency_us + int(self._connection.draw.random() * self._latency_us * 0.2)
        self._due_us = max(self._due_us, self._free_us + delay_us)
        self._under_way.append((self._due_us, data))
        self._schedule()
        return True

    def _schedule(self) -> None:
        if not self._scheduled and self._under_way:
            self._scheduled = True
            self._world.at(self._under_way[0][0], self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if not self.lost and self._network.is_cut(self.source.name, self.target.name):
            return
        while self._under_way and self._under_way[0][0] <= self._world.now_us:
            _, data = self._under_way.popleft()
            if self.target.open:
                self.untaken += 1
                self._network.brought(self.source.name, self.target.name, data)
                self.target.arrived(self, data)
        self._schedule()

    def healed(self) -> None:
        """The way is open again: what waited is transmitted anew."""
        late_us = self._world.now_us + int(self._connection.draw.random() * _RETRANSMIT_S * 1e6)
        self._under_way = deque((max(due_us, late_us), data) for due_us, data in self._under_way)
        self._due_us = max(self._due_us, late_us)
        self._schedule()

    def fall(self, keep: bool) -> None:
        """The connection is gone: a part of what is under way may still arrive, some of it late."""
        draw = self._connection.draw
        left = int(draw.random() * (len(self._under_way) + 1)) if keep else 0
        late_us = self._world.now_us + int(draw.random() * _LATE_S * 1e6)
        kept = list(self._under_way)[:left]
        kept += [(due_us, data) for due_us, data in kept if data[:1] != b"\x00" and draw.random() < _TWICE]
        self._under_way = deque((max(due_us, late_us), data) for due_us, data in kept)
        self.lost = True
        self._schedule()


class Connection:
    """One TCP connection of a link, from when it stands until both ends have noticed that it is gone."""

    def __init__(self, network: Medium, dialling: Dialler, dialler: End, acceptor: End, number: int) -> None:
        self.network = network
        self.dialling = dialling
        self.dialler = dialler
        self.acceptor = acceptor
        self.ways = {(dialler.name, acceptor.name), (acceptor.name, dialler.name)}
        self.fallen = False
        self.draw = network.world.draw("connection", dialler.name, acceptor.name, number)
        self.out, self.back = Pipe(self, dialler, acceptor), Pipe(self, acceptor, dialler)
        self.back.key = dialling.address
        self.out.key = acceptor.accept(self.back)
        self._unnoticed = [True, True]

    def unanswered(self) -> None:
        """A cut has lasted for as long as an unanswered connection may: both ends give up, each for itself."""
        if not self.fallen and self.network.apart(self.dialler.name, self.acceptor.name):
            self.fall(keep=False)

    def healed(self) -> None:
        """A cut on the way is taken back."""
        for pipe in (self.out, self.back):
            pipe.healed()

    def fall(self, keep: bool = True, notices_s: tuple[float, float] | None = None) -> None:
        """The connection ends; the dialler and the acceptor notice after so many seconds (drawn when not given)."""
        if self.fallen:
            return
        self.fallen = True
        world = self.network.world
        world.note("fall", self.dialler.name, self.acceptor.name)
        self.network.connections.pop(self, None)
        for pipe in (self.out, self.back):
            pipe.fall(keep)
        after_s = notices_s or (self.draw.random() * _NOTICED_S, self.draw.random() * _NOTICED_S)
        for seconds, notice in zip(after_s, (self.dialler_notices, self.acceptor_notices), strict=True):
            world.after(seconds, notice)

    def dialler_notices(self) -> None:
        """The end that dialled sees that the connection is gone, and tries again."""
        if self._unnoticed[0] and not self.dialling.closed:
            self._unnoticed[0] = False
            self.dialler.disconnected(self.dialling.address)
            self.dialling.again()

    def acceptor_notices(self) -> None:
        """The other end sees it too."""
        if self._unnoticed[1]:
            self._unnoticed[1] = False
            self.acceptor.forget_route(self.out.key)
