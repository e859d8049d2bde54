"""How much disk a node takes: a bounded log keeps a bounded file, and nobody who reads makes the journal grow."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

import mesh
from mesh.node_process import NodeProcess
from tests.conditions import elapsed, eventually
from tests.processes.cluster import Cluster, ask

pytestmark = pytest.mark.processes

MIB = 1 << 20


def mib(node: NodeProcess, name: str) -> float:
    """The size of one of the database's files."""
    return (node.data_dir / name).stat().st_size / MIB


def publish(bus: mesh.EventBus, node: NodeProcess, total_mib: int, size: int) -> list[float]:
    """Publish so much in events of one size; the sizes of the write-ahead log that were seen meanwhile."""
    filling, seen = os.urandom(size // 2).hex(), []
    for index in range(total_mib * MIB // size):
        while True:
            with contextlib.suppress(mesh.BufferFull):
                bus.publish("T", {"i": index, "x": filling}, dedup=False)
                break
            bus.flush(0.05)
        if index % 100 == 0:
            seen.append(mib(node, "mesh.db-wal"))
    assert bus.flush(60.0)
    return seen


@pytest.mark.parametrize(
    ("total_mib", "size"), [(60, 10_000), pytest.param(200, 400, marks=pytest.mark.slow), (60, 200_000)]
)
def test_much_more_than_the_limit_leaves_a_file_of_about_the_limit(cluster: Cluster, total_mib: int, size: int) -> None:
    node = cluster.node("a", variables={"MESH_NODE_LOG_BYTES": str(20 * MIB)})
    with mesh.connect(node.data_dir, buffer_events=5000) as bus:
        journal = publish(bus, node, total_mib, size)
    assert mib(node, "mesh.db") < 30
    assert max(journal) < 16
    assert ask(node, "audit")["balanced"]
    assert node.stop() == 0
    assert mib(node, "mesh.db") < 30


def test_a_lower_limit_makes_the_file_small_again(cluster: Cluster) -> None:
    node = cluster.node("a")
    with mesh.connect(node.data_dir, buffer_events=5000) as bus:
        publish(bus, node, 60, 20_000)
    node.stop()
    assert mib(node, "mesh.db") > 60
    node._variables["MESH_NODE_LOG_BYTES"] = str(10 * MIB)
    node.start()
    eventually(lambda: mib(node, "mesh.db") < 20, 30.0, "a small file")
    assert ask(node, "audit")["balanced"]


def test_the_journal_stays_small_while_somebody_reads_the_whole_log_slowly(cluster: Cluster) -> None:
    node, seen, release = cluster.node("a"), list[int](), Path(cluster.root / "release")

    def handler(event: mesh.Event) -> None:
        if not release.exists():
            elapsed(0.005)
        seen.append(event.sequence)

    with mesh.connect(node.data_dir, buffer_events=5000) as bus:
        publish(bus, node, 30, 20_000)
        bus.subscribe("T", handler, name="slow", durable=True, since="earliest")
        journal = publish(bus, node, 30, 20_000)
        release.touch()
        count = 2 * (30 * MIB // 20_000)
        eventually(lambda: len(seen) == count, 60.0, "the arrival of all")
    assert seen == list(range(1, count + 1))
    assert max(journal) < 16
