"""What a link did not take is brought from the log; what nobody has any more is named, and the stream goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import mesh
from mesh.node_process import NodeProcess
from tests.conditions import eventually
from tests.processes.cluster import Cluster, Row, ask, command, linked, peer

pytestmark = pytest.mark.processes

FILLING = "x" * 20_000


def two(cluster: Cluster, **variables: str) -> tuple[NodeProcess, NodeProcess]:
    """b dials a; `variables` are a's."""
    a = cluster.node("a", variables={f"MESH_NODE_{key.upper()}": value for key, value in variables.items()})
    b = cluster.node("b", a, variables={"MESH_NODE_DEAD_AFTER_S": "60"})
    linked(a, b)
    return a, b


def publish(bus: mesh.EventBus, numbers: range, **more: Any) -> None:
    """One after the other, each in a frame of its own."""
    for i in numbers:
        assert bus.publish("T", {"i": i, **more}).wait(15.0).status == "accepted"


def stream(node: NodeProcess, origin: str) -> Row:
    """One line of a node's books: the stream of T of an origin."""
    return next(row for row in ask(node, "audit")["streams"] if (row["origin"], row["topic"]) == (origin, "T"))


@contextmanager
def archive_away(a: NodeProcess, b: NodeProcess) -> Iterator[tuple[mesh.EventBus, list[int]]]:
    """b is killed when its durable consumer has had 50 events of a: a bus at a, and what the consumer is given."""
    received: list[int] = []
    with mesh.connect(a.data_dir, name="p") as publisher, mesh.connect(b.data_dir, name="s") as subscriber:
        subscriber.subscribe("T", lambda event: received.append(event.payload["i"]), name="archive", durable=True)
        publish(publisher, range(50))
        eventually(lambda: received == list(range(50)))
        b.kill()
        yield publisher, received


def test_what_a_full_queue_dropped_while_a_peer_stood_still_is_repaired(cluster):
    a, b = two(cluster, link_queue_bytes=str(4 << 20), dead_after_s="60")
    received: list[int] = []
    with mesh.connect(a.data_dir, name="p") as publisher, mesh.connect(b.data_dir, name="s") as subscriber:
        subscriber.subscribe("T", lambda event: received.append(event.payload["i"]))
        publish(publisher, range(10))
        eventually(lambda: len(received) == 10)
        b.signal(signal.SIGSTOP)
        count = 10
        while peer(a, "b")["dropped"] < 100:
            assert count < 10_000
            publish(publisher, range(count, count + 100), x=FILLING)
            count += 100
        b.signal(signal.SIGCONT)
        publish(publisher, range(count, count + 10))
        count += 10
        eventually(lambda: len(received) >= count, 30.0)
        assert received == list(range(count))
    assert peer(a, "b")["link"] == "up"
    assert 100 <= peer(a, "b")["dropped"] <= peer(b, "a")["repaired"]
    assert stream(b, a.origin)["in_log"] == count
    assert command(b, "audit").returncode == 0


def test_what_retention_deleted_before_a_peer_came_back_is_named_there_and_the_stream_goes_on(cluster):
    a, b = two(cluster, log_events="300")
    with archive_away(a, b) as (publisher, received):
        publish(publisher, range(50, 1000))
        first_kept = eventually(lambda: (row := stream(a, a.origin))["in_log"] <= 300 and row["deleted"] + 1)
        b.start()
        linked(a, b)
        eventually(lambda: received[-1] == 999, 20.0)
        publish(publisher, range(1000, 1010))
        eventually(lambda: received[-1] == 1009)
    assert received == [*range(50), *range(first_kept - 1, 1010)]
    books = ask(b, "audit")
    named = {
        tuple(row[key] for key in ("consumer", "origin", "topic", "first", "last")) for row in books["lost_ranges"]
    }
    assert named == {(who, a.origin, "T", 51, first_kept - 1) for who in ("archive", None)}
    assert books["balanced"]
    assert stream(b, a.origin)["lost"] == first_kept - 51
    assert f"{first_kept - 1}" in command(b, "audit").stdout


def test_what_its_origin_has_let_go_comes_from_the_node_that_keeps_a_second_copy(cluster):
    a = cluster.node("a", variables={"MESH_NODE_LOG_EVENTS": "300"})
    r = cluster.node("r", a, variables={"MESH_NODE_REPLICATE": '["T"]'})
    b = cluster.node("b", a, r)
    linked(a, r, b)
    with archive_away(a, b) as (publisher, received):
        publish(publisher, range(50, 1000))
        eventually(lambda: stream(a, a.origin)["in_log"] <= 300)
        b.start()
        linked(a, r, b)
        publish(publisher, range(1000, 1010))
        eventually(lambda: received[-1] == 1009, 20.0)
    assert received == [*range(1010)]
    assert stream(r, a.origin)["in_log"] == 1010
    books = ask(b, "audit")
    assert (books["lost_ranges"], books["balanced"]) == ([], True)
