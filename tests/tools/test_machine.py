"""A simulated machine over its lives."""

from __future__ import annotations

from tools.simulate.simulation import Setting, Simulation


def test_the_note_beside_the_database_is_never_behind_it() -> None:
    simulation = Simulation(Setting(1, 2, 5.0, ()))
    machine = simulation.machines["n000"]
    for life in range(1, 11):
        machine.start()
        simulation.world.run(simulation.world.now_us + 100_000)
        assert (machine.disk.noted, machine.starts) == ((machine.node.state.generation, life, 0), life)
        machine.crash()


def test_what_has_no_process_cannot_stand_still() -> None:
    simulation = Simulation(Setting(1, 2, 5.0, ()))
    machine = simulation.machines["n000"]
    machine.stall(1.0)
    simulation.world.run(2_000_000)
    machine.start()
    simulation.world.run(simulation.world.now_us + 100_000)
    assert not machine.busy
