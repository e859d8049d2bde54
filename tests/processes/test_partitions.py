"""Hosts of their own, cut off from each other for a while: nothing is lost or comes twice, and it is soon over."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest

from mesh.node_process import NodeProcess
from tests.conditions import elapsed, eventually
from tests.processes.cluster import Cluster, ask, command, linked, peer
from tests.processes.hosts import Network, network, node_at
from tests.processes.shapes import everything_once, heard_all, linked_pairs, steady, voices

pytestmark = pytest.mark.processes

BAD_S = 30.0
QUICK = {"MESH_NODE_HEARTBEAT_S": "0.3", "MESH_NODE_DEAD_AFTER_S": "2"}


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


def balanced(node: NodeProcess) -> bool:
    """Whether the books of a node balance, and nothing is lost in them."""
    said = command(node, "audit", "--json")
    return said.returncode == 0 and '"lost_ranges":[]' in said.stdout.replace(" ", "")


def five_hosts(cluster: Cluster, net: Network, **variables: str) -> dict[str, NodeProcess]:
    """Five hosts that reach each other; nobody can dial the last."""
    a = node_at(cluster, net, "a", **variables)
    others = [node_at(cluster, net, name, a, hidden=name == "e", **variables) for name in "bcde"]
    linked(a, *others)
    return {node.name: node for node in (a, *others)}


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [8.0, 60.0])
@pytest.mark.timeout(240)
def test_two_hosts_are_parted_from_three_and_after_that_everything_arrives_everywhere(cluster, net, seconds):
    nodes = five_hosts(cluster, net, **QUICK)
    apart = "be"
    with voices(nodes) as all_of_them:
        all_of_them.subscribe("NEWS")
        with steady(all_of_them) as publishing:
            eventually(lambda: heard_all(all_of_them, 10))
            net.part(apart)
            begun = monotonic()
            eventually(lambda: linked_pairs(nodes) == {"ac", "ad", "cd", "be"}, 30.0)
            elapsed(begun + seconds - monotonic())
            net.heal(apart)
            healed, owed = monotonic(), publishing.count
            eventually(lambda: heard_all(all_of_them, owed), 60.0)
            repaired_s = monotonic() - healed
            published = publishing.end()
        eventually(lambda: everything_once(all_of_them, published), 30.0)
        eventually(lambda: all(balanced(node) for node in nodes.values()))
    linked(*nodes.values())
    repaired = sum(row["repaired"] for node in nodes.values() for row in ask(node, "peers")["rows"])
    print(f"parted for {seconds:g} s: repaired {repaired_s:.1f} s after the cut was healed, {repaired} events again")
    assert repaired_s < 15.0
    assert repaired > 0


def test_what_a_broken_wire_keeps_from_a_peer_comes_through_a_third_that_has_no_consumer(cluster, net):
    nodes = {}
    for name in "cab":
        nodes[name] = node_at(cluster, net, name, *list(nodes.values())[:1], **QUICK)
    linked(*nodes.values())
    ends = {name: nodes[name] for name in "ab"}
    with voices(ends) as all_of_them:
        all_of_them.subscribe("NEWS")
        with steady(all_of_them) as publishing:
            eventually(lambda: heard_all(all_of_them, 10))
            net.cut("ab")
            begun = monotonic()
            eventually(lambda: linked_pairs(nodes) == {"ac", "bc"}, 30.0)
            before = publishing.count
            eventually(lambda: heard_all(all_of_them, before + 1), 30.0)
            detour_s = monotonic() - begun
            assert linked_pairs(nodes) == {"ac", "bc"}
            eventually(lambda: peer(nodes["b"], "a")["reason"].endswith("; c carries its events"), 30.0)
            net.cut("ab", isolated=False)
            eventually(lambda: peer(nodes["a"], "b").get("link") == "up", 30.0)
            published = publishing.end()
        eventually(lambda: everything_once(all_of_them, published))
        eventually(lambda: all(balanced(node) for node in nodes.values()))
    print(f"the detour carried everything {detour_s:.1f} s after the wire was cut")
    assert detour_s < 15.0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_over_wires_that_lose_a_fifth_of_all_packets_and_are_slow_everything_arrives_everywhere(cluster, net):
    nodes = five_hosts(cluster, net)
    with voices(nodes) as all_of_them:
        all_of_them.subscribe("NEWS")
        wire = net.bad_wires(cluster, "abcde", loss=0.2, delay_s=0.2)
        with steady(all_of_them) as publishing:
            begun = monotonic()
            elapsed(BAD_S)
            published = publishing.end()
        ended = monotonic()
        share = sum(len(each) for by in all_of_them.heard_of("NEWS").values() for each in by.values())
        print(f"{published * 5 / (ended - begun):.0f} events/s; {share / (published * 25):.0%} had arrived at the end")
        eventually(lambda: everything_once(all_of_them, published), 180.0)
        repaired_s = monotonic() - ended
        eventually(lambda: all(balanced(node) for node in nodes.values()), 30.0)
    wire.end()
    (counts,) = wire.expect("lost")
    links = [row for node in nodes.values() for row in ask(node, "peers")["rows"]]
    print(
        f"everything had arrived {repaired_s:.1f} s after the last was published, over the same wires; {counts}; "
        f"{sum(row['repaired'] for row in links)} events again"
    )
