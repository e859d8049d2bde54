"""What is said of an event that goes a way too far."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mesh.frame import encode
from tests.node.workbench import Author
from tools.simulate.crossings import Crossings
from tools.simulate.ledger import Violated

FRAME = encode(Author().at(1, "T", 1, 2)._replace(origin="a.1", sequence=7))


@pytest.fixture
def network() -> Any:
    return SimpleNamespace(taps=[], arrivals=[])


@pytest.fixture
def crossings(network: Any) -> Crossings:
    made = Crossings(network)
    made.watch()
    return made


def go(network: Any, source: str, target: str, data: bytes = FRAME) -> None:
    """A message leaves and arrives."""
    for each in (*network.taps, *network.arrivals):
        each(source, target, data)


def test_an_event_that_goes_on_over_each_link_once_is_well(network: Any, crossings: Crossings) -> None:
    go(network, "a", "b")
    go(network, "b", "c")
    go(network, "c", "b", b'\x00{"t":"talk"}')
    crossings.once()


def test_an_event_that_crosses_a_link_twice_is_named(network: Any, crossings: Crossings) -> None:
    go(network, "a", "b")
    go(network, "a", "b")
    with pytest.raises(Violated, match=r"an event crosses a link once: a\.1/T/7 went 2 times from a to b"):
        crossings.once()


@pytest.mark.parametrize("target", ["a", "b"])
def test_an_event_that_goes_back_is_named_at_once(network: Any, crossings: Crossings, target: str) -> None:
    go(network, "a", "b")
    go(network, "b", "c")
    with pytest.raises(Violated, match=rf"an event does not go back: a\.1/T/7 went back from c to {target}"):
        go(network, "c", target)
