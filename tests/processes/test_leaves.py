"""A leaf between two peers: what it is sent twice it is given once, and nobody's going costs it an event."""

from __future__ import annotations

import signal
import urllib.request
from typing import Any

import pytest

import mesh
from tests.conditions import elapsed, eventually
from tests.node.socks5 import Socks5
from tests.processes.cluster import ask, command, peer
from tests.processes.shapes import Steady, everything_once, frames_at_links, heard_all, shape, steady, voices

pytestmark = pytest.mark.processes

AWAY_S = 4.0
"""Longer than it takes until a silent leaf is dead to its peers."""
BRIEF = {"MESH_NODE_HEARTBEAT_S": "0.3", "MESH_NODE_DEAD_AFTER_S": "2"}


def test_a_leaf_is_sent_every_event_by_both_of_its_peers_and_gives_it_to_its_consumer_once(cluster):
    nodes = shape(cluster, {"p": "", "q": "p", "x": "pq"}, leaves="x")
    with voices(nodes) as all_of_them:
        all_of_them.subscribe("NEWS", at="x")
        before = frames_at_links(nodes)["x"]
        for i in range(50):
            all_of_them.publish("NEWS", [i], at="p")
        eventually(lambda: everything_once(all_of_them, 50, at="x", by="p"))
        eventually(lambda: frames_at_links(nodes)["x"] == (before[0], before[1] + 100))
        assert everything_once(all_of_them, 50, at="x", by="p")


def test_one_of_a_leafs_two_peers_is_killed_under_load_and_nothing_is_lost_or_comes_twice(cluster):
    nodes = shape(cluster, {"p": "", "q": "p", "x": "pq", "y": "pq"}, leaves="xy", variables=BRIEF)
    with voices({name: nodes[name] for name in "qxy"}) as all_of_them:
        all_of_them.subscribe("NEWS")
        with steady(all_of_them) as publishing:
            eventually(lambda: heard_all(all_of_them, 20))
            nodes["p"].kill()
            killed_at = publishing.count
            eventually(lambda: peer(nodes["x"], "p").get("state") == "dead")
            eventually(lambda: heard_all(all_of_them, killed_at + 20))
            nodes["p"].start()
            eventually(lambda: peer(nodes["x"], "p").get("link") == "up")
            count = publishing.end()
        eventually(lambda: everything_once(all_of_them, count))
        assert all(ask(nodes[name], "audit")["balanced"] for name in "qxy")


@pytest.mark.parametrize("way", ["stopped for a while", "killed and started again"])
def test_a_leaf_that_is_away_for_some_seconds_misses_nothing(cluster, way):
    nodes = shape(cluster, {"p": "", "q": "p", "x": "pq"}, leaves="x", variables=BRIEF)
    heard: dict[str, list[int]] = {"live": [], "durable": []}

    def take(kind: str) -> Any:
        return lambda event: heard[kind].append(event.payload["i"])

    with mesh.connect(nodes["x"].data_dir, name="at the leaf") as bus, voices({"p": nodes["p"]}) as all_of_them:
        bus.subscribe("NEWS", take("live"), name="live")
        bus.subscribe("NEWS", take("durable"), name="durable", durable=True)
        with steady(all_of_them) as publishing:
            eventually(lambda: min(map(len, heard.values())) >= 20)
            away(nodes["x"], way, publishing)
            eventually(lambda: peer(nodes["x"], "p").get("link") == peer(nodes["x"], "q").get("link") == "up", 30.0)
            count = publishing.end()
        eventually(lambda: min(map(len, heard.values())) >= count, 20.0, f"{count} events at the leaf")
    assert heard == {"live": list(range(count)), "durable": list(range(count))}
    said = command(nodes["x"], "audit")
    assert said.returncode == 0, said.stdout


def away(leaf: Any, way: str, publishing: Steady) -> None:
    """The leaf is away for some seconds; events go on."""
    before = publishing.count
    if way == "stopped for a while":
        leaf.signal(signal.SIGSTOP)
        elapsed(AWAY_S)
        leaf.signal(signal.SIGCONT)
    else:
        leaf.kill()
        elapsed(AWAY_S)
        leaf.start()
    assert publishing.count > before


def test_a_leaf_behind_a_proxy_with_a_password_is_linked_and_says_nowhere_what_the_password_is(cluster):
    with Socks5(login=(b"me", b"the secret")) as proxy:
        far = cluster.node("p")
        through = {"MESH_NODE_SOCKS5": f"socks5://me:the%20secret@{proxy.address}", "MESH_NODE_LOG_LEVEL": "DEBUG"}
        leaf = cluster.node("x", far, flags=["--leaf"], http="127.0.0.1:0", variables={**BRIEF, **through})
        eventually(lambda: peer(leaf, "p").get("link") == "up", what="the link through the proxy")
        proxy.let_in(b"me", b"another")
        eventually(lambda: "it refuses the user and the password" in str(peer(leaf, "p").get("reason")), 30.0)
        said = [str(ask(leaf, do)) for do in ("status", "peers")] + [command(leaf, "peers", "--all").stdout]
        with urllib.request.urlopen(f"http://{leaf.http}/status") as page:
            said.append(page.read().decode())
        said += [(node.data_dir / name).read_text() for node in (leaf, far) for name in ("node.log", "node.json")]
    assert [text for text in said if "secret" in text or "the%20" in text] == []
