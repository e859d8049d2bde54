"""From when on a consumer is owed what is published elsewhere, as the simulation's oracle sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from tools.simulate.actors import Consumer
from tools.simulate.contact import Contacts
from tools.simulate.ledger import Wanted
from tools.simulate.machine import Machine
from tools.simulate.network import Network
from tools.simulate.world import World


class Sight:
    """Contacts over machines of which only the links are there. `link` joins two, `seconds` lets time pass.

    `informed`: what the reader's node holds that its neighbours know of its wishes.
    """

    def __init__(self, *names: str) -> None:
        self.world = World(1)
        self.links: dict[str, dict[str, object]] = {name: {} for name in names}
        self.informed: dict[str, int] = {}
        self.machines = {name: cast(Machine, self._machine(name)) for name in names}
        spec = SimpleNamespace(durable=False)
        self.wanted = Wanted("reader", names[0], "A", durable=False)
        self.reader = SimpleNamespace(wanted=self.wanted, spec=spec, machine=self.machines[names[0]], registered=True)
        network = cast(Network, SimpleNamespace(apart=lambda a, b: False))
        self.contacts = Contacts(self.world, network, self.machines, {"reader": cast(Consumer, self.reader)})
        self.contacts.begin()

    def _machine(self, name: str) -> SimpleNamespace:
        state = SimpleNamespace(informed=self.informed, interest=SimpleNamespace(version=2))
        node = SimpleNamespace(links=SimpleNamespace(links=self.links[name]), state=state)
        return SimpleNamespace(name=name, hidden=False, busy=False, node=node)

    def link(self, a: str, b: str) -> None:
        """Both ends have the link up."""
        self.links[a][b] = SimpleNamespace(name=b, state="up")
        self.links[b][a] = SimpleNamespace(name=a, state="up")

    def seconds(self, count: float) -> None:
        """Let time pass."""
        self.world.run(self.world.now_us + int(count * 1e6))


def test_a_linked_machine_owes_what_it_publishes_once_the_link_has_stood_for_a_while() -> None:
    sight = Sight("a", "b")
    sight.link("a", "b")
    sight.seconds(2.4)
    assert set(sight.wanted.since) == {"a"}
    sight.seconds(0.2)
    assert set(sight.wanted.since) == {"a", "b"}


def test_a_neighbour_that_is_said_to_know_owes_at_once() -> None:
    sight = Sight("a", "b")
    sight.link("a", "b")
    sight.informed["b"] = 1
    sight.seconds(0.6)
    assert set(sight.wanted.since) == {"a"}
    sight.informed["b"] = 2
    sight.seconds(0.5)
    assert set(sight.wanted.since) == {"a", "b"}


def test_a_way_counts_anew_for_a_consumer_whose_node_has_died() -> None:
    sight = Sight("a", "b", "c")
    sight.link("a", "b")
    sight.link("b", "c")
    sight.seconds(19.9)
    sight.contacts.ended(sight.machines["a"])
    sight.seconds(19.4)
    assert set(sight.wanted.since) == {"a", "b"}
    sight.seconds(0.6)
    assert set(sight.wanted.since) == {"a", "b", "c"}


def test_a_way_counts_anew_to_a_machine_that_lost_its_disk() -> None:
    sight = Sight("a", "b", "c")
    sight.link("a", "b")
    sight.link("b", "c")
    sight.seconds(19.9)
    sight.contacts.disk_lost(sight.machines["c"])
    sight.seconds(19.4)
    assert set(sight.wanted.since) == {"a", "b"}
    sight.seconds(0.6)
    assert set(sight.wanted.since) == {"a", "b", "c"}
