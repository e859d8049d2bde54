"""What the simulation's oracle says of a mesh that is whole, and of one that is not."""

from __future__ import annotations

from tools.simulate.simulation import Setting, Simulation


def test_a_mesh_is_at_rest_when_no_node_misses_anything_whoever_is_owed_it() -> None:
    simulation = Simulation(Setting(1, 3, 5.0, ()))
    simulation._begin()
    simulation.world.run(10_000_000)
    simulation._heal()
    simulation._settle()
    assert simulation.oracle.at_rest()
    relay = simulation.machines["n000"].node.state.relay
    stream = next(each for each in relay.by_id.values() if each.origin != relay.origin)
    relay.learn(stream, stream.head + 1)
    assert not simulation.oracle.at_rest()
