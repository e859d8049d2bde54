"""A network of links in memory: connections that keep order, and lose, hold or cut what a test tells them to.

wire.dial("a", "tcp://b")     a's DEALER ═══╗            ╔═══ b's ROUTER, a fresh routing id per connection
                                 to_acceptor ╚═▶ … … … ═▶╝
wire.settle()                 deliver until nothing is under way
wire.run(5.0)                 let seconds pass: turns, and deliver after each
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from node.clock import Now
from node.inbox import LinkEvent
from node.link import Heard, Identity
from node.links import Links
from node.turn import LinkKey, Turn
from tests.node.workbench import START, after


class Machine(Protocol):
    """What can be joined by a wire: `Bench` (a whole node) and `LinksAlone`."""

    name: str
    links: Links

    def turn(
        self, *, links: list[tuple[LinkKey, bytes]] = ..., link_events: list[LinkEvent] = ..., later_s: float = ...
    ) -> Turn:
        """One turn of it."""
        ...


class LinksAlone:
    """A `Links` with nothing behind it but a note of what it heard and who wants what."""

    def __init__(
        self,
        name: str,
        generation: str = "1",
        patterns: tuple[str, ...] = (),
        *,
        life: str = "",
        incarnation: int = 0,
        age_s: float = 0.0,
    ) -> None:
        self.name = name
        me = Identity(name, f"{name}.{generation}", "1.0", f"tcp://{name}", incarnation=incarnation, life=life)
        self.links = Links(me, 1.0, 10.0, START.mono_us - int(age_s * 1e6))
        self.now: Now = START
        self.heard: list[tuple[str, LinkKey]] = []
        self.wanted: dict[LinkKey, list[str]] = {}
        self.frames: list[bytes] = []
        self._patterns = patterns

    def turn(
        self,
        *,
        links: list[tuple[LinkKey, bytes]] | None = None,
        link_events: list[LinkEvent] | None = None,
        later_s: float = 0.001,
    ) -> Turn:
        """Take events and messages as `node.neighbours` does, and tick."""
        self.now = after(self.now, later_s)
        turn = Turn(self.now)
        for key, what, detail in link_events or ():
            if what == "connected":
                self.links.connected(key, turn)
            else:
                self._heed(self.links.disconnected(key, detail, turn), turn)
        for key, data in links or ():
            link, heard = self.links.receive(key, data, turn)
            if link is not None:
                self.frames.append(data)
            self._heed(heard, turn)
        self._heed(self.links.tick(turn), turn)
        return turn

    def _heed(self, heard: list[Heard], turn: Turn) -> None:
        for kind, link, fields in heard:
            self.heard.append((kind, link.key))
            if kind == "moved" and fields["from"] in self.wanted:
                self.wanted[link.key] = self.wanted.pop(fields["from"])
            if kind in ("up", "moved"):
                turn.control(link.key, {"t": "interest", "version": 1, "patterns": self._patterns})
            elif kind == "interest":
                self.wanted[link.key] = fields["patterns"]
            elif kind == "down":
                self.wanted.pop(link.key, None)


@dataclass
class Connection:
    """One TCP connection; the far keys of its two ends, and what is under way."""

    dialler: Machine
    address: str
    acceptor: Machine
    routing_id: bytes
    to_acceptor: deque[bytes] = field(default_factory=deque)
    to_dialler: deque[bytes] = field(default_factory=deque)
    deaf: bool = False
    """Whatever is sent is lost, and neither end is told (a machine that is stopped, a network that swallows)."""


class Wire:
    """Joins machines. `addresses` says who listens where."""

    def __init__(self, *machines: Machine) -> None:
        self.machines = {machine.name: machine for machine in machines}
        self.addresses = {f"tcp://{machine.name}": machine.name for machine in machines}
        self.connections: list[Connection] = []
        self._made = 0

    def dial(self, name: str, address: str) -> Connection:
        """A machine begins to dial an address, and the connection stands."""
        self.machines[name].links.dial([address])
        return self.connect(name, address)

    def connect(self, name: str, address: str) -> Connection:
        """The socket's connection stands (again)."""
        self._made += 1
        acceptor = self.machines[self.addresses[address]]
        made = Connection(self.machines[name], address, acceptor, b"c%d" % self._made)
        self.connections.append(made)
        self.tell(made.dialler, link_events=[(address, "connected", "")])
        return made

    def cut(self, connection: Connection) -> None:
        """The connection breaks: its dialler is told at once, its acceptor when it next sends."""
        self.connections.remove(connection)
        self.tell(connection.dialler, link_events=[(connection.address, "disconnected", "the connection was closed")])

    def replace(self, machine: Machine) -> None:
        """A machine's process died and another one started: its connections are gone."""
        for each in [each for each in self.connections if machine.name in (each.dialler.name, each.acceptor.name)]:
            self.connections.remove(each)
            if each.dialler.name != machine.name:
                self.tell(each.dialler, link_events=[(each.address, "disconnected", "the connection was closed")])
        self.machines[machine.name] = machine

    def tell(
        self,
        machine: Machine,
        *,
        links: list[tuple[LinkKey, bytes]] | None = None,
        link_events: list[LinkEvent] | None = None,
        later_s: float = 0.001,
    ) -> Turn:
        """One turn of a machine; what it sends goes under way."""
        turn = machine.turn(links=links or [], link_events=link_events or [], later_s=later_s)
        self.send(machine, turn)
        return turn

    def send(self, machine: Machine, turn: Turn) -> None:
        """Put what a turn sends under way; an unknown routing id is reported as the ROUTER does."""
        unreachable = []
        for key, data in (*turn.passing_links, *turn.links, *turn.closing_links):
            way = self._way(machine, key)
            if way is not None:
                way(data)
            elif isinstance(key, bytes):
                unreachable.append(key)
        for key in dict.fromkeys(unreachable):
            self.tell(machine, link_events=[(key, "disconnected", "the connection was closed")])

    def _way(self, machine: Machine, key: LinkKey) -> Callable[[bytes], None] | None:
        for each in self.connections:
            if each.dialler is machine and each.address == key:
                return each.to_acceptor.append
            if each.acceptor is machine and each.routing_id == key:
                return each.to_dialler.append
        return None

    def deliver(self, connection: Connection, *, to_acceptor: bool) -> None:
        """Deliver the next message of one direction, if there is one."""
        queue = connection.to_acceptor if to_acceptor else connection.to_dialler
        if queue and connection in self.connections:
            data = queue.popleft()
            if connection.deaf:
                return
            if to_acceptor:
                self.tell(connection.acceptor, links=[(connection.routing_id, data)])
            else:
                self.tell(connection.dialler, links=[(connection.address, data)])

    @property
    def under_way(self) -> int:
        """How many messages are in any queue."""
        return sum(len(each.to_acceptor) + len(each.to_dialler) for each in self.connections)

    def settle(self, steps_max: int = 2000) -> None:
        """Deliver until nothing is under way; a conversation that does not end fails the test."""
        for _ in range(steps_max):
            if not self.under_way:
                return
            for each in list(self.connections):
                self.deliver(each, to_acceptor=True)
                self.deliver(each, to_acceptor=False)
        raise AssertionError(f"still {self.under_way} messages under way after {steps_max} rounds")

    def run(self, seconds: float, step_s: float = 0.5) -> None:
        """Let time pass for all machines."""
        for _ in range(int(seconds / step_s)):
            for machine in list(self.machines.values()):
                self.tell(machine, later_s=step_s)
            self.settle()

    def used(self, name: str) -> list[tuple[str, bool]]:
        """The connections a machine uses: (routing id at the acceptor, whether it dialled)."""
        machine, up = self.machines[name], self.machines[name].links.up()
        dialled = [(each, True) for each in self.connections if each.dialler is machine and each.address in up]
        accepted = [(each, False) for each in self.connections if each.acceptor is machine and each.routing_id in up]
        return sorted((each.routing_id.decode(), own) for each, own in dialled + accepted)


def pair(a: str = "a", b: str = "b") -> tuple[LinksAlone, LinksAlone, Wire]:
    """Two machines, and the wire between them."""
    first, second = LinksAlone(a, patterns=("A",)), LinksAlone(b, patterns=("B",))
    return first, second, Wire(first, second)


def only_link(machine: LinksAlone) -> tuple[str, str, str]:
    """State, name and origin of the only link of a machine."""
    (link,) = machine.links.links.values()
    return link.state, link.name, link.origin


def check_agreed(wire: Wire, a: LinksAlone, b: LinksAlone) -> None:
    """Exactly one connection is used, by both, and each knows what the other wants."""
    at_a, at_b = wire.used("a"), wire.used("b")
    assert len(at_a) == len(at_b) == 1
    assert at_a[0] == (at_b[0][0], not at_b[0][1])
    assert list(a.wanted.values()) == [["B"]]
    assert list(b.wanted.values()) == [["A"]]
    assert (set(a.wanted), set(b.wanted)) == (a.links.up(), b.links.up())
