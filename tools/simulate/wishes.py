"""Wishes: what nodes want and believe that others want is what the consumers in the world want, once all is at rest.

    a peer believes of a peer      what is wanted at it, and at its leaves, each by its name
    a leaf believes of a peer      what is wanted anywhere else, as one
    of a peer that can never be linked with it a node hears through one neighbour, who carries

The right answer is worked out from the ledger and from who is linked with whom, not from what nodes told each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.interest import Lists
from tools.simulate.ledger import Ledger, Violated
from tools.simulate.machine import Machine
from tools.simulate.network import Network


class Wishes:
    """Judges the interest of all machines. Raises `Violated` with what it is about."""

    def __init__(self, machines: Mapping[str, Machine], ledger: Ledger, network: Network) -> None:
        self._machines = machines
        self._ledger = ledger
        self._network = network

    def hold(self) -> None:
        """Every node wants what its consumers want, and believes of its neighbours what those want."""
        for name, machine in self._machines.items():
            mine, wanted = sorted(machine.node.state.interest.patterns), sorted(self._wanted_at(name))
            if mine != wanted:
                raise Violated("interest is what consumers want", f"{name} wants {mine}, its consumers {wanted}", name)
            believed: dict[str, Lists] = {}
            for key, link in machine.node.links.links.items():
                if link.state == "up":
                    believed[link.name] = machine.node.state.interest.of(key)
                elif machine.node.state.interest.of(key):
                    raise Violated("interest is what consumers want", f"{name} believes of a link that is down", name)
            self._beliefs(name, believed)

    def _beliefs(self, name: str, believed: dict[str, Lists]) -> None:
        """What one node believes of its neighbours, by their names."""
        wanted = {teller: self._told(teller, name) for teller in believed}
        for other in self.walled_from(name):
            carriers = self._asked_to_carry(other, name)
            if len(carriers) != 1:
                raise Violated("one neighbour carries", f"{name} is carried for {other} by {carriers}", name, other)
            wanted[carriers[0]] |= self._lists_of({other, *self._leaves_of(other)} - {name})
        for teller, lists in believed.items():
            if lists != wanted[teller]:
                raise Violated(
                    "interest is what consumers want",
                    f"{name} believes of {teller} {lists}, it is {wanted[teller]}",
                    name,
                    teller,
                )

    def _asked_to_carry(self, asker: str, member: str) -> list[str]:
        """The neighbours that a node has asked to bring it what comes from a member."""
        links, carry = self._machines[asker].node.links.links, self._machines[asker].node._neighbours.spreading.carry
        return [links[key].name for key, asked in carry.items() if member in asked]

    def walled_from(self, name: str) -> list[str]:
        """The peers that a peer can never be linked with."""
        return [other for other in self._machines if self._network.walled(name, other)]

    def _told(self, teller: str, to: str) -> Lists:
        """What one neighbour is to believe of another: what it wants, and its leaves; a leaf hears it all as one."""
        if self._machines[to].hidden:
            everybody = {pattern for name in self._machines if name != to for pattern in self._wanted_at(name)}
            return {teller: tuple(sorted(everybody))} if everybody else {}
        behind = self._leaves_of(teller) if not self._machines[teller].hidden else set()
        return self._lists_of({teller, *behind} - {to})

    def _lists_of(self, names: set[str]) -> Lists:
        lists = {name: tuple(sorted(self._wanted_at(name))) for name in names}
        return {name: patterns for name, patterns in lists.items() if patterns}

    def _leaves_of(self, name: str) -> set[str]:
        links = self._machines[name].node.links.links.values()
        return {link.name for link in links if link.state == "up" and self._machines[link.name].hidden}

    def _wanted_at(self, name: str) -> set[str]:
        return {each.pattern for each in self._ledger.consumers.values() if each.machine == name and not each.gone}
