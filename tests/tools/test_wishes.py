"""What is said of a node that wants, or believes, something else than the consumers in the world."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.core import Node
from tools.simulate.ledger import Violated
from tools.simulate.simulation import Setting, Simulation
from tools.simulate.wishes import Wishes


def wants_more(node: Node) -> None:
    """It has not forgotten a consumer that is gone."""
    node.state.interest.want("NOBODY.WANTS.THIS")


def believes_more(node: Node) -> None:
    """It takes a neighbour for one that wants something for somebody who is not there."""
    node.state.interest.announced(min(node.links.up(), key=str), {"gone": ("A",)}, False)


@pytest.mark.parametrize(
    ("bend", "says"), [(wants_more, "n000 wants .*NOBODY"), (believes_more, "n000 believes of .*gone")]
)
def test_a_node_that_wants_or_believes_something_else_is_named(bend: Callable[[Node], None], says: str) -> None:
    simulation = Simulation(Setting(1, 3, 5.0, ()))
    simulation._begin()
    simulation.world.run(10_000_000)
    simulation._heal()
    simulation._settle()
    wishes = Wishes(simulation.machines, simulation.ledger, simulation.network)
    wishes.hold()
    bend(simulation.machines["n000"].node)
    with pytest.raises(Violated, match=f"interest is what consumers want: {says}"):
        wishes.hold()
