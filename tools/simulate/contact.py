"""Contacts: from which moment a consumer is owed what is published at which machine.

    registered ──▶ its node says that the other, to which it is linked, knows ───────▶ owed from here
               └─▶ the two have had a working way for a while ──▶ owed from here
                                                                    until a disk is lost, or a live one's node dies

The contract, seen from outside: `subscribe` has returned and the other node has had the time to hear of it, over a
link, over one peer where one of the two is a leaf (two where both are), or over a peer that carries. Of a neighbour a
node says itself when it has heard, and is held to that at once. What is published there later is owed even if the way
is gone by then; what was published before is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from tools.simulate.actors import Consumer
from tools.simulate.machine import Machine
from tools.simulate.network import Network
from tools.simulate.world import World

_LOOK_S = 0.5
_LINKED_LOOKS, _LEAF_LOOKS, _CARRIED_LOOKS = 5, 12, 40
"""Looks in a row at a way of each kind before the far node must have heard."""


class Contacts:
    """Looks now and then who is in contact with whom, and writes into each consumer's `since`."""

    def __init__(
        self, world: World, network: Network, machines: Mapping[str, Machine], consumers: Mapping[str, Consumer]
    ) -> None:
        self._world = world
        self._network = network
        self._machines = machines
        self._consumers = consumers
        self._steady: dict[tuple[str, str], tuple[int, int]] = {}

    def begin(self) -> None:
        """Look from now on."""
        self._world.after(_LOOK_S, self._look)

    def ended(self, machine: Machine) -> None:
        """A node has died: its live consumers are owed what comes when they are registered again."""
        for consumer in self._consumers.values():
            if consumer.machine is machine and not consumer.spec.durable:
                self._forget(consumer)

    def disk_lost(self, machine: Machine) -> None:
        """A node has lost what it knew of its durable consumers, and its own events begin anew."""
        for consumer in self._consumers.values():
            consumer.wanted.since.pop(machine.name, None)
            self._steady.pop((consumer.wanted.name, machine.name), None)
            if consumer.machine is machine:
                self._forget(consumer)

    def _forget(self, consumer: Consumer) -> None:
        """What was seen of ways until now was of a registration that is no more."""
        consumer.wanted.registered_us = None
        consumer.wanted.since.clear()
        for name in self._machines:
            self._steady.pop((consumer.wanted.name, name), None)

    def _look(self) -> None:
        up = _Looked(self._said, self._informed)
        for consumer in self._consumers.values():
            wanted = consumer.wanted
            if wanted.registered_us is None and consumer.registered:
                wanted.registered_us = wanted.since[wanted.machine] = self._world.now_us
            if wanted.registered_us is not None and len(wanted.since) < len(self._machines):
                self._look_for(consumer, up)
        self._world.after(_LOOK_S, self._look)

    def _look_for(self, consumer: Consumer, up: _Looked) -> None:
        wanted = consumer.wanted
        for name in self._machines:
            if name in wanted.since:
                continue
            if name in up.informed(wanted.machine):
                wanted.since[name] = self._world.now_us
                continue
            key, needed = (wanted.name, name), self._needed(wanted.machine, name, up)
            before, looks = self._steady.get(key, (0, 0))
            looks = looks + 1 if needed == before else 1
            self._steady[key] = needed, looks
            if needed and looks >= needed:
                wanted.since[name] = self._world.now_us

    def _needed(self, a: str, b: str, up: _Looked) -> int:
        """How many looks in a row the best way between two machines needs; 0 when there is none."""
        if b in up.linked(a):
            return _LINKED_LOOKS
        peers_a = {a} if not self._machines[a].hidden else up.linked(a)
        peers_b = {b} if not self._machines[b].hidden else up.linked(b)
        if self._machines[a].hidden or self._machines[b].hidden:
            ways = not peers_a.isdisjoint(peers_b) or any(not peers_b.isdisjoint(up.linked(each)) for each in peers_a)
            return _LEAF_LOOKS if ways else 0
        between = any(not self._machines[each].hidden for each in up.linked(a) & up.linked(b))
        return _CARRIED_LOOKS if between else 0

    def _said(self, name: str) -> set[str]:
        machine = self._machines[name]
        if machine.busy:
            return set()
        up = {link.name for link in machine.node.links.links.values() if link.state == "up"}
        return {each for each in up if not self._network.apart(name, each)}

    def _informed(self, name: str) -> set[str]:
        machine = self._machines[name]
        if machine.busy:
            return set()
        state, links = machine.node.state, machine.node.links.links
        return {links[key].name for key, version in state.informed.items() if version == state.interest.version}


class _Looked:
    """The links at one moment, each machine's looked up once.

    `said` yields those that one machine believes to have, `informed` those that it holds to know all it wants.
    """

    def __init__(self, said: Callable[[str], set[str]], informed: Callable[[str], set[str]]) -> None:
        self._said, self.informed = lru_cache(None)(said), lru_cache(None)(informed)
        self._linked: dict[str, set[str]] = {}

    def linked(self, name: str) -> set[str]:
        """The machines that one has a working link with, seen from both ends."""
        if name not in self._linked:
            self._linked[name] = {each for each in self._said(name) if name in self._said(each)}
        return self._linked[name]
