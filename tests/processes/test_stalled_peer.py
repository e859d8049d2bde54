"""A peer that stands still costs its neighbours no more memory than the configuration names."""

from __future__ import annotations

import signal

import psutil

import mesh
from mesh.node_process import NodeProcess
from tests.conditions import eventually
from tests.processes.cluster import Cluster, ask, linked, peer

MIB = 1 << 20
QUEUE_MIB = 8
BESIDE_MIB = 24
"""What a node takes for events of a megabyte besides: a turn's frames, the database's cache, control messages' room."""
EVENT = "x" * (MIB - 200)


def resident_mib(node: NodeProcess) -> float:
    return psutil.Process(node.pid).memory_info().rss / MIB


def test_the_memory_for_a_stopped_peer_stays_within_the_bound_and_it_gets_everything_when_it_wakes(
    cluster: Cluster,
) -> None:
    a = cluster.node("a", variables={"MESH_NODE_LINK_QUEUE_BYTES": str(QUEUE_MIB * MIB)})
    b = cluster.node("b", a)
    linked(a, b)
    received: list[int] = []
    with mesh.connect(a.data_dir) as publisher, mesh.connect(b.data_dir) as subscriber:

        def publish(numbers: range) -> None:
            for number in numbers:
                publisher.publish("T", {"n": number, "x": EVENT}).wait(15.0)

        subscriber.subscribe("T", lambda event: received.append(event.payload["n"]))
        publish(range(20))
        eventually(lambda: received == list(range(20)))
        before = resident_mib(a)
        b.signal(signal.SIGSTOP)
        publish(range(20, 140))
        grown = resident_mib(a) - before
        dropped = peer(a, "b")["dropped"]
        b.signal(signal.SIGCONT)
        eventually(lambda: len(received) >= 140, 60.0)
    assert received == list(range(140))
    assert grown < QUEUE_MIB + BESIDE_MIB
    assert 120 - QUEUE_MIB - 4 <= dropped <= 120
    assert ask(b, "audit")["balanced"]
