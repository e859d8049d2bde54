"""Contacts: from which moment a consumer is owed what is published at which machine.

    registered ──▶ its node and the other have had a working link for 2 s ──▶ owed from here
                                                                    until a disk is lost, or a live one's node dies

The contract, seen from outside: `subscribe` has returned and the other node has had the time to hear of it. What is
published there later is owed even if the link is down by then; what was published before is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from tools.simulate.actors import Consumer
from tools.simulate.machine import Machine
from tools.simulate.network import Network
from tools.simulate.world import World

_LOOK_S = 0.5
_STEADY_LOOKS = 5


class Contacts:
    """Looks now and then who is in contact with whom, and writes into each consumer's `since`."""

    def __init__(
        self, world: World, network: Network, machines: Mapping[str, Machine], consumers: Mapping[str, Consumer]
    ) -> None:
        self._world = world
        self._network = network
        self._machines = machines
        self._consumers = consumers
        self._steady: dict[tuple[str, str], int] = {}

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
            if consumer.machine is machine:
                self._forget(consumer)

    def _forget(self, consumer: Consumer) -> None:
        consumer.wanted.registered_us = None
        consumer.wanted.since.clear()

    def _look(self) -> None:
        up: dict[str, set[str]] = {}
        for consumer in self._consumers.values():
            wanted = consumer.wanted
            if wanted.registered_us is None and consumer.registered:
                wanted.registered_us = wanted.since[wanted.machine] = self._world.now_us
            if wanted.registered_us is not None and len(wanted.since) < len(self._machines):
                self._look_for(consumer, up)
        self._world.after(_LOOK_S, self._look)

    def _look_for(self, consumer: Consumer, up: dict[str, set[str]]) -> None:
        wanted = consumer.wanted
        for name in self._machines:
            if name in wanted.since:
                continue
            key = (wanted.name, name)
            steady = self._steady[key] = self._steady.get(key, 0) + 1 if self._linked(wanted.machine, name, up) else 0
            if steady >= _STEADY_LOOKS:
                wanted.since[name] = self._world.now_us

    def _linked(self, a: str, b: str, up: dict[str, set[str]]) -> bool:
        one, other = self._machines[a], self._machines[b]
        if one.busy or other.busy or self._network.apart(a, b):
            return False
        return b in self._up(one, up) and a in self._up(other, up)

    def _up(self, machine: Machine, up: dict[str, set[str]]) -> set[str]:
        """The names of the peers a node has a link with."""
        if machine.name not in up:
            links = machine.node.links.links.values()
            up[machine.name] = {link.name for link in links if link.state == "up"}
        return up[machine.name]
