"""Sixteen real nodes: one that is stopped for long, all killed at once, and what they cost.

Settings are the defaults: these are the figures that a cluster has.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from time import monotonic

import pytest

from mesh.node_process import NodeProcess
from tests.conditions import elapsed, eventually
from tests.processes.cluster import Cluster
from tests.processes.many import all_linked, apart, cost, linked_by_one_seed, rows_of, start
from tests.processes.shapes import everything_once, frames_at_links, voices

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]

SIXTEEN = "abcdefghijklmnop"
STOPPED_S = 30.0
IDLE_S = 20.0
EVENTS = 400


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[dict[str, NodeProcess]]:
    """Sixteen nodes that are all linked; all but the first were told of the first alone."""
    with linked_by_one_seed(cluster, SIXTEEN) as found:
        yield found


def test_one_is_stopped_for_half_a_minute_and_nobody_else_is_called_dead_by_anybody(nodes):
    stopped, others = nodes["h"], {name: node for name, node in nodes.items() if name != "h"}
    said: set[tuple[str, str, str]] = set()

    def look(at: dict[str, NodeProcess]) -> None:
        said.update((name, row["name"], row["state"]) for name, node in at.items() for row in rows_of(node))

    stopped.signal(signal.SIGSTOP)
    stopped_at = monotonic()
    while monotonic() < stopped_at + STOPPED_S:
        look(others)
        elapsed(0.5)
    assert {(name, "h", "dead") for name in others} <= said
    stopped.signal(signal.SIGCONT)
    woken_at = monotonic()

    while apart(nodes) and monotonic() < woken_at + STOPPED_S:
        look(nodes)
    all_linked(nodes, 0.0)
    print(f"all linked again {monotonic() - woken_at:.1f} s after it went on")
    look(nodes)
    assert {(by, of) for by, of, state in said if of != "h" and state in ("dead", "left")} == set()
    assert {(by, of) for by, of, state in said if "h" not in (by, of) and state != "alive"} == set()


def test_all_sixteen_are_killed_and_started_again_at_once_and_find_each_other(nodes):
    for node in nodes.values():
        node.kill()
    begun = monotonic()
    start(nodes.values())
    ready_s = monotonic() - begun
    all_linked(nodes, 60.0)
    converged_s = monotonic() - begun
    print(f"sixteen were ready {ready_s:.1f} s after they were started, and all linked after {converged_s:.1f} s")
    assert converged_s - ready_s < 10.0


def test_what_sixteen_cost(nodes):
    elapsed(5.0)
    before, at = cost(nodes), monotonic()
    elapsed(IDLE_S)
    after, seconds = cost(nodes), monotonic() - at
    idle = [(b - a) / seconds / len(nodes) for a, b in zip(before, after, strict=True)]
    print(f"idle, per node and second: {idle[0]:.2%} of a core, {idle[1]:.1f} packets, {idle[2]:.0f} bytes")

    with voices(nodes) as all_of_them:
        all_of_them.subscribe("NEWS")
        begun, sent = cost(nodes), sum(each[0] for each in frames_at_links(nodes).values())
        for i in range(EVENTS):
            all_of_them.publish("NEWS", [i], at="a")
        eventually(lambda: everything_once(all_of_them, EVENTS, by="a"), 30.0)
        ended, frames = cost(nodes), sum(each[0] for each in frames_at_links(nodes).values()) - sent
        each = [(b - a) / EVENTS for a, b in zip(begun, ended, strict=True)]
    print(
        f"per event, published alone at one node and wanted at all: {frames / EVENTS:.2f} frames, "
        f"{each[1]:.1f} packets, {each[2]:.0f} bytes, {each[0] * 1000:.2f} ms of a core"
    )
    assert frames == EVENTS * (len(nodes) - 1)
    assert idle[0] < 0.01
