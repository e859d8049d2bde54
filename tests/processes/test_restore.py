"""Data directories that were put back, copied or moved: no sequence is given out twice, and nothing is lost by it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mesh
from mesh.node_process import NodeProcess
from tests.conditions import eventually
from tests.processes.cluster import Cluster, ask, cloned, linked, peer

pytestmark = pytest.mark.processes

QUICK = {"MESH_NODE_HEARTBEAT_S": "0.15", "MESH_NODE_DEAD_AFTER_S": "1.5"}


def quick(cluster: Cluster, name: str, *peers: NodeProcess, **options: Any) -> NodeProcess:
    return cluster.node(name, *peers, variables=QUICK, **options)


def published(node: NodeProcess, *values: int) -> list[str]:
    """Publish them; returns the ids that their receipts name."""
    with mesh.connect(node.data_dir) as bus:
        receipts = [bus.publish("T", {"i": value}) for value in values]
        assert bus.flush(10.0)
        return [str(receipt.event_id) for receipt in receipts]


def log_of(node: NodeProcess) -> str:
    return (node.data_dir / "node.log").read_text()


def noted(a: NodeProcess, b: NodeProcess) -> None:
    """Wait until one has on its disk that the other knows what is wanted; what comes to light later is owed then."""

    def wanted() -> list[str]:
        with closing(sqlite3.connect(a.data_dir / "mesh.db")) as db:
            rows = db.execute("SELECT value FROM meta WHERE key = ?", (f"wanted {b.origin}",))
            return [value for (value,) in rows if value == '["T"]']

    eventually(wanted)


def copied(node: NodeProcess, to: Path) -> None:
    """Copy the directory, whether the node runs or not; its sockets are no files."""
    shutil.copytree(node.data_dir, to, ignore=lambda _, names: [each for each in names if is_socket(node, each)])


def is_socket(node: NodeProcess, name: str) -> bool:
    return (node.data_dir / name).is_socket()


def put_back(backup: Path, node: NodeProcess) -> None:
    """Let a copy take the place of the directory."""
    shutil.rmtree(node.data_dir)
    shutil.copytree(backup, node.data_dir)


def written_over(backup: Path, node: NodeProcess) -> None:
    """Write a copy into the files that are there."""
    for each in node.data_dir.glob("mesh.db-*"):
        each.unlink()
    shutil.copytree(backup, node.data_dir, dirs_exist_ok=True)


# ── the database alone ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_was_put_back_from_a_backup_takes_a_new_generation_at_the_start(cluster):
    node = quick(cluster, "a")
    published(node, 0, 1, 2)
    node.stop()
    shutil.copy(node.data_dir / "mesh.db", cluster.root / "backup")
    before = node.origin
    node.start()
    assert node.origin == before
    published(node, 3, 4)
    node.stop()
    shutil.copy(cluster.root / "backup", node.data_dir / "mesh.db")
    node.start()
    assert node.origin != before


def test_a_copy_of_the_database_that_was_put_back_after_a_kill_is_found_out_by_the_last_event_alone(cluster):
    node = quick(cluster, "a")
    before, database = node.origin, node.data_dir / "mesh.db"
    published(node, 0, 1, 2)
    with closing(sqlite3.connect(database)) as db, closing(sqlite3.connect(cluster.root / "backup")) as backup:
        db.backup(backup)
    published(node, 3)
    node.kill()
    for each in node.data_dir.glob("mesh.db*"):
        each.unlink()
    shutil.copy(cluster.root / "backup", database)
    node.start()
    assert node.origin != before


# ── the whole directory ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("restored", [put_back, written_over])
def test_a_directory_that_was_put_back_gives_nothing_out_twice_also_where_nobody_can_tell_it(
    cluster, running, restored
):
    a = quick(cluster, "a")
    b = quick(cluster, "b", a)
    linked(a, b)
    received: list[tuple[str, int]] = []
    with mesh.connect(a.data_dir) as bus:
        bus.subscribe("T", lambda event: received.append((event.id, event.payload["i"])), name="r", durable=True)
        ids = published(b, 1, 2)
        if not running:
            b.stop()
        shutil.copytree(
            b.data_dir, cluster.root / "backup", ignore=shutil.ignore_patterns("*.sock", "in", "out", "ctl")
        )
        if running:
            b.stop()
        b.start()
        ids += published(b, 3, 4)
        eventually(lambda: len(received) == 4)
        noted(a, b)
    a.stop()
    b.stop()
    before = b.origin
    restored(cluster.root / "backup", b)
    b.start()
    assert b.origin != before
    assert f"restored, copied or moved: goes on as {b.origin}, under a new generation" in log_of(b)
    ids += published(b, 5, 6, 7, 8, 9)
    b.stop()
    b.start()
    ids += published(b, 10)
    a.start()
    with mesh.connect(a.data_dir) as bus:
        bus.subscribe("T", lambda event: received.append((event.id, event.payload["i"])), name="r", durable=True)
        eventually(lambda: len(received) == 10, 20.0)
    assert received == list(zip(ids, range(1, 11), strict=True))
    assert len(set(ids)) == 10


def test_a_directory_that_was_moved_costs_a_generation_and_nothing_else(cluster):
    a = quick(cluster, "a")
    b = quick(cluster, "b", a)
    linked(a, b)
    received: list[int] = []
    at_home: list[int] = []

    def handled(event: mesh.Event) -> None:
        if event.payload["i"] == 2:
            raise ValueError("no")
        at_home.append(event.payload["i"])

    with mesh.connect(a.data_dir) as bus:
        bus.subscribe("T", lambda event: received.append(event.payload["i"]), name="r", durable=True)
        noted(a, b)
    a.stop()
    with mesh.connect(b.data_dir) as bus:
        bus.subscribe("T", handled, name="h", durable=True, attempts=1)
        published(b, 1, 2)
        eventually(lambda: ask(b, "dlq.list")["rows"])
    published(b, 3)
    b.stop()
    before = b.origin
    shutil.copytree(b.data_dir, cluster.root / "elsewhere")
    shutil.rmtree(b.data_dir)
    b.data_dir = cluster.root / "elsewhere"
    b.start()
    assert b.origin != before
    published(b, 4)
    a.start()
    linked(a, b)
    with mesh.connect(a.data_dir) as bus:
        bus.subscribe("T", lambda event: received.append(event.payload["i"]), name="r", durable=True)
        eventually(lambda: len(received) == 4, 20.0)
    with mesh.connect(b.data_dir) as bus:
        bus.subscribe("T", handled, name="h", durable=True, attempts=1)
        eventually(lambda: len(at_home) == 3)
    assert sorted(received) == [1, 2, 3, 4]
    assert [each for each in received if each != 4] == [1, 2, 3]
    assert at_home == [1, 3, 4]
    (letter,) = ask(b, "dlq.list")["rows"]
    assert letter["event_id"] == f"{before}/T/2"
    b.stop()
    former = b.origin
    b.start()
    assert b.origin == former


# ── a volume that was set back ───────────────────────────────────────────────────────────────────────────────────────


def test_a_volume_that_was_set_back_takes_a_new_generation_when_a_peer_knows_better(cluster):
    a = quick(cluster, "a")
    b = quick(cluster, "b", a)
    linked(a, b)
    b.stop()
    cloned(b.data_dir, cluster.root / "snapshot")
    b.start()
    linked(a, b)
    received: list[int] = []
    with mesh.connect(a.data_dir) as bus, bus.subscribe("T", lambda event: received.append(event.payload["i"])):
        published(b, 0, 1, 2)
        eventually(lambda: received == [0, 1, 2])
    before = b.origin
    b.stop()
    shutil.rmtree(b.data_dir)
    (cluster.root / "snapshot").rename(b.data_dir)
    b.start()
    assert b.origin == before
    b.origin = eventually(
        lambda: peer(a, "b").get("link") == "up" and peer(a, "b")["origin"] != before and peer(a, "b")["origin"]
    )
    with mesh.connect(a.data_dir) as bus, bus.subscribe("T", lambda event: received.append(event.payload["i"])):
        published(b, 0, 1, 2, 3)
        eventually(lambda: received == [0, 1, 2, 0, 1, 2, 3])
    assert "takes a new generation" in log_of(b)
    assert "two nodes" not in log_of(b)


@pytest.mark.parametrize(("count", "restarted"), [(10, False), (10, True), (30, False), (30, True)])
def test_what_a_node_gave_out_in_the_dark_after_its_volume_was_set_back_reaches_everybody(cluster, count, restarted):
    a = quick(cluster, "a")
    b = quick(cluster, "b", a)
    linked(a, b)
    received: list[int] = []
    with mesh.connect(a.data_dir) as bus:
        bus.subscribe("T", lambda event: received.append(event.payload["i"]), name="r", durable=True)
        published(b, *range(20))
        b.stop()
        cloned(b.data_dir, cluster.root / "snapshot")
        b.start()
        linked(a, b)
        published(b, *range(20, 40))
        eventually(lambda: len(received) == 40)
        noted(a, b)
    a.stop()
    b.stop()
    shutil.rmtree(b.data_dir)
    (cluster.root / "snapshot").rename(b.data_dir)
    before = b.origin
    b.start()
    twice = published(b, *range(1000, 1000 + count))
    assert twice[0] == f"{before}/T/21"
    if restarted:
        b.stop()
        b.start()
    a.start()
    with mesh.connect(a.data_dir) as bus:
        bus.subscribe("T", lambda event: received.append(event.payload["i"]), name="r", durable=True)
        eventually(lambda: {*range(1000, 1000 + count)} <= {*received}, 20.0)
    assert {*received} == {*range(40), *range(1000, 1000 + count)}
    assert len(received) <= 40 + 3 * count
    assert log_of(b).count("takes a new generation") == 1
    assert "two nodes" not in log_of(b)
    assert ask(a, "audit")["balanced"] is True
    assert ask(b, "audit")["balanced"] is True
