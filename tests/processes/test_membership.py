"""Who is in the cluster, with real processes: found, killed, stopped, stopped for a while, copied, named twice."""

from __future__ import annotations

import os
import shutil
import signal
from typing import Any

import pytest

import mesh
from mesh.errors import NodeUnreachable
from mesh.node_process import NodeProcess
from node.addresses import advertised
from node.interfaces import interfaces
from tests.conditions import elapsed, eventually
from tests.processes.cluster import Cluster, ask, cloned, command, linked, peer

QUICK = {"MESH_NODE_HEARTBEAT_S": "0.15", "MESH_NODE_DEAD_AFTER_S": "1.5"}
DEAD_AFTER_S = 1.5
TIE_S = 1.1
"""Nodes that begin within a second of each other are of one age."""


def quick(cluster: Cluster, name: str, *peers: NodeProcess, **options: Any) -> NodeProcess:
    return cluster.node(name, *peers, variables=QUICK, **options)


def three(cluster: Cluster) -> list[NodeProcess]:
    """Three nodes of which two know only the first."""
    a = quick(cluster, "a")
    nodes = [a, quick(cluster, "b", a), quick(cluster, "c", a)]
    linked(*nodes)
    return nodes


def state_of(node: NodeProcess, name: str) -> str:
    return str(peer(node, name).get("state"))


def test_three_nodes_and_a_leaf_with_one_seed_find_each_other_and_are_told_apart_when_they_go(cluster):
    a, b, c = three(cluster)
    leaf = quick(cluster, "leaf", a, flags=["--leaf"])
    linked(leaf, a, b, c)
    assert {(row["role"], row["via"], row["link"]) for row in ask(leaf, "peers")["rows"]} == {("peer", "dialled", "up")}
    assert [(peer(node, "leaf")["role"], peer(node, "leaf")["via"]) for node in (a, b, c)] == [("leaf", "accepted")] * 3
    assert leaf.listen == ""
    leaf.stop()
    eventually(lambda: state_of(a, "leaf") == state_of(b, "leaf") == "left")
    c.kill()
    eventually(lambda: state_of(a, "c") == state_of(b, "c") == "suspect")
    eventually(lambda: state_of(a, "c") == state_of(b, "c") == "dead")
    # One of them waited its time; the other may have been told, and heard `c` a heartbeat later itself.
    assert DEAD_AFTER_S <= max(peer(node, "c")["last_seen_s"] for node in (a, b)) <= 4 * DEAD_AFTER_S
    b.stop()
    eventually(lambda: state_of(a, "b") == "left")
    assert [row["name"] for row in ask(a, "peers")["rows"]] == ["b", "c", "leaf"]
    said = command(a, "peers", "--all", "--json")
    assert (said.returncode, said.stderr) == (1, "mesh: missing: c (dead at a)\n")


def test_a_node_finds_the_others_again_from_its_disk_or_without_it_as_another_from_its_seed(cluster):
    a, b, c = three(cluster)
    before, seeds = c.origin, list(c._peers)
    c.kill()
    c._peers.clear()
    c.start()
    linked(a, b, c)
    assert c.origin == peer(a, "c")["origin"] == before
    c.kill()
    shutil.rmtree(c.data_dir)
    c._peers.extend(seeds)
    c.start()
    linked(a, b, c)
    assert c.origin != before
    assert [peer(node, "c")["origin"] for node in (a, b)] == [c.origin, c.origin]


@pytest.mark.slow
def test_all_that_were_stopped_in_good_order_find_each_other_without_any_seed(cluster):
    nodes = three(cluster)
    for node in nodes:
        node.stop()
        node._peers.clear()
    for node in nodes:
        node.start()
    linked(*nodes)


@pytest.mark.slow
def test_a_node_that_was_stopped_for_longer_than_a_death_accuses_nobody_when_it_wakes(cluster):
    a, b, c = three(cluster)
    c.signal(signal.SIGSTOP)
    eventually(lambda: state_of(a, "c") == state_of(b, "c") == "dead")
    elapsed(DEAD_AFTER_S)
    c.signal(signal.SIGCONT)
    seen = set()

    def well() -> bool:
        seen.update(row["state"] for row in ask(c, "peers")["rows"])
        return state_of(a, "c") == state_of(b, "c") == "alive"

    eventually(well)
    linked(a, b, c)
    assert "dead" not in seen
    assert state_of(a, "b") == state_of(b, "a") == "alive"


def conflict(node: NodeProcess) -> str:
    try:
        return str(ask(node, "status")["node"]["conflict"])
    except NodeUnreachable:  # it is just taking a new generation
        return ""


def test_a_second_node_of_a_name_is_refused_loudly_and_let_in_when_the_first_is_gone(cluster):
    a, b, c = three(cluster)
    elapsed(TIE_S)
    second = NodeProcess(cluster.root / "second", "c", [a.listen, b.listen], variables=QUICK)
    cluster.nodes.append(second)
    second.start()

    eventually(lambda: f"two nodes are called 'c': this one, {second.origin}" in conflict(second))
    eventually(lambda: second.origin in conflict(c))
    assert "two nodes are called 'c'" in (second.data_dir / "node.log").read_text()
    assert {row["link"] for row in ask(second, "peers")["rows"]} == {"down"}
    with mesh.connect(second.data_dir) as bus:
        assert bus.publish("STILL_HERE", {}).wait(10.0).status == "accepted"
    for node in (a, b):
        eventually(lambda node=node: links_to(node, "c") == {c.origin: "up", second.origin: "down"})

    c.kill()
    eventually(lambda: links_to(a, "c").get(second.origin) == "up")
    eventually(lambda: ask(second, "status")["node"]["conflict"] is None)


def test_a_second_node_of_a_name_that_is_stopped_is_spoken_of_no_more(cluster):
    a = quick(cluster, "a")
    c = quick(cluster, "c", a)
    linked(a, c)
    elapsed(TIE_S)
    second = NodeProcess(cluster.root / "second", "c", [a.listen], variables=QUICK)
    cluster.nodes.append(second)
    second.start()
    eventually(lambda: second.origin in conflict(c) and second.origin in links_to(a, "c"))
    second.stop()
    eventually(lambda: conflict(c) == "None")
    assert links_to(a, "c") == {c.origin: "up"}


def published(node: NodeProcess, count: int) -> None:
    with mesh.connect(node.data_dir) as bus:
        for i in range(count):
            bus.publish("T", {"i": i, "pid": os.getpid(), "node": node.origin, "of": count})
        assert bus.flush(10.0)


def test_of_two_that_had_one_name_in_the_halves_of_a_partition_the_elder_stays_and_the_other_comes_after_it(cluster):
    left, right = quick(cluster, "left"), quick(cluster, "right")
    elder = quick(cluster, "c", left)
    elapsed(TIE_S)
    younger = NodeProcess(
        cluster.root / "younger", "c", [right.listen], variables=QUICK, listen=f"tcp://{cluster.host}:0"
    )
    cluster.nodes.append(younger)
    younger.start()
    linked(left, elder)
    linked(right, younger)
    quick(cluster, "bridge", left, right)
    for node in (left, right):
        eventually(
            lambda node=node: [who for who, link in links_to(node, "c").items() if link == "up"] == [elder.origin]
        )
    eventually(lambda: "this one is refused by" in conflict(younger) and elder.origin in conflict(younger))
    eventually(lambda: younger.origin in conflict(elder))
    assert {row["link"] for row in ask(younger, "peers")["rows"]} == {"down"}
    assert "this one is refused by" in (younger.data_dir / "node.log").read_text()
    elder.kill()
    eventually(lambda: links_to(right, "c").get(younger.origin) == "up", 20.0)
    eventually(lambda: conflict(younger) == "None")


def links_to(node: NodeProcess, name: str) -> dict[str, str]:
    """How a node is linked with those of a name, by origin."""
    return {row["origin"]: row["link"] for row in ask(node, "peers")["rows"] if row["name"] == name}


def test_a_copied_data_directory_is_never_heard_under_the_origin_that_another_process_has(cluster):
    b = quick(cluster, "b")
    original = quick(cluster, "c", b)
    linked(b, original)
    original.stop()
    cloned(original.data_dir, cluster.root / "copy")
    original.start()
    linked(b, original)
    copy = NodeProcess(cluster.root / "copy", "c", [], variables=QUICK, listen=f"tcp://{cluster.host}:0")
    cluster.nodes.append(copy)
    copy.start()
    assert copy.origin == original.origin
    published(copy, 2)
    copy.stop()  # the next start has a higher incarnation than the original: it might be a restart of that
    copy._peers.append(b.listen)
    elapsed(TIE_S)
    received: list[tuple[str, str]] = []
    with mesh.connect(b.data_dir) as bus, bus.subscribe("T", lambda event: received.append((event.origin, event.id))):
        copy.start()
        eventually(lambda: "this one is refused by" in conflict(copy))
        renewed = ask(copy, "status")["node"]["origin"]
        published(original, 3)
        eventually(lambda: len(received) == 3)
        published(copy, 4)
        assert [origin for origin, _ in received] == [original.origin] * 3
        assert (renewed != original.origin, original.origin in conflict(copy), renewed in conflict(original)) == (
            True,
            True,
            True,
        )
        assert "takes a new generation" in (copy.data_dir / "node.log").read_text()
        original.kill()
        eventually(lambda: len(received) == 7, 20.0)
    assert received[3:] == [(renewed, f"{renewed}/T/{number}") for number in (1, 2, 3, 4)]


def test_a_node_that_listens_everywhere_is_dialled_at_an_address_of_its_machine_by_who_never_heard_another(cluster):
    hosts = advertised("tcp://0.0.0.0:1", (), interfaces())
    if not hosts:
        pytest.skip("this machine has no address but loopback")
    z = quick(cluster, "z", listen="tcp://0.0.0.0:0")
    port = z.listen.rpartition(":")[2]
    z.listen = f"tcp://127.0.0.1:{port}"
    b = quick(cluster, "b", z)
    c = quick(cluster, "c", b)
    linked(c, z)
    assert (peer(c, "z")["via"], peer(c, "z")["address"]) == ("dialled", f"{hosts[0].rpartition(':')[0]}:{port}")
