"""A node with fifty peers that all idle, with the settings as they come: what it takes of a core."""

from __future__ import annotations

from statistics import median
from time import monotonic

import pytest

from tests.conditions import elapsed
from tests.processes.cluster import Cluster
from tests.processes.many import cpu_s, linked_by_one_seed

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]

NODES = 51
SETTLED_S = 15.0
IDLE_S = 30.0


def test_an_idle_node_with_fifty_peers_takes_less_than_a_hundredth_of_a_core(cluster: Cluster) -> None:
    with linked_by_one_seed(cluster, [f"n{i}" for i in range(NODES)]) as nodes:
        elapsed(SETTLED_S)
        before, at = [cpu_s(node) for node in nodes.values()], monotonic()
        elapsed(IDLE_S)
        seconds = monotonic() - at
        taken = [(cpu_s(node) - then) / seconds for node, then in zip(nodes.values(), before, strict=True)]
    print(f"idle with {NODES - 1} peers: {median(taken):.2%} of a core (median), {max(taken):.2%} (the most)")
    assert max(taken) < 0.01
