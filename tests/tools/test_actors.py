"""What the programs of a simulation say of themselves while they come and go, and their node does."""

from __future__ import annotations

from tools.simulate.actors import Consumer
from tools.simulate.ledger import Ledger
from tools.simulate.machine import Machine
from tools.simulate.scenario import Consuming
from tools.simulate.simulation import Setting, Simulation


class Stage:
    """One machine, and one durable consumer at it."""

    def __init__(self) -> None:
        self._simulation = Simulation(Setting(1, 2, 5.0, ()))
        self.machine: Machine = self._simulation.machines["n000"]
        self.machine.start()
        self.consumer = Consumer(Consuming("reader", "n000", "A", True, 10), self.machine, Ledger())

    def seconds(self, count: float) -> None:
        """Let time pass."""
        self._simulation.world.run(self._simulation.world.now_us + int(count * 1e6))

    def lose_disk(self) -> None:
        """The node dies, and another one is there before its programs can have noticed."""
        self.machine.crash()
        self.machine.lose_disk()
        self.machine.start()
        self.seconds(0.01)


def test_a_consumer_is_registered_when_its_program_and_its_node_know() -> None:
    stage = Stage()
    stage.seconds(5)
    assert stage.consumer.registered


def test_a_program_that_died_is_not_registered_at_a_node_that_never_heard_of_it() -> None:
    stage = Stage()
    stage.seconds(5)
    stage.consumer.kill()
    stage.lose_disk()
    assert not stage.consumer.registered
    stage.consumer.revive()
    stage.seconds(5)
    assert stage.consumer.registered


def test_nor_is_one_that_stood_still_while_its_node_lost_its_disk() -> None:
    stage = Stage()
    stage.seconds(5)
    stage.consumer.program.stall(10)
    stage.lose_disk()
    assert not stage.consumer.registered
    stage.seconds(15)
    assert stage.consumer.registered
