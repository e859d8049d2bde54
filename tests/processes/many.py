"""Many real nodes at once: start them, wait until all are linked with all, and count what they cost.

They have a network namespace to themselves, so that what crosses its loopback is theirs alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import psutil

from mesh.errors import NodeUnreachable
from mesh.node_process import NodeProcess
from tests.conditions import elapsed
from tests.processes.cluster import Cluster, Row, ask
from tests.processes.hosts import network


@contextmanager
def linked_by_one_seed(cluster: Cluster, names: Iterable[str]) -> Iterator[dict[str, NodeProcess]]:
    """Nodes of these names that are all linked; all but the first were told of the first alone."""
    first_name, *others = names
    with network() as net:
        net.host("many")
        within = ["ip", "netns", "exec", net.namespace("many")]
        first = cluster.node(first_name, within=within)
        rest = [NodeProcess(cluster.root / name, name, [first.listen], within=within) for name in others]
        cluster.nodes += rest
        start(rest)
        found = {node.name: node for node in (first, *rest)}
        all_linked(found, 60.0)
        yield found
        for node in found.values():
            node.kill()


def start(nodes: Iterable[NodeProcess]) -> None:
    """Start them at once."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(NodeProcess.start, nodes))


def rows_of(node: NodeProcess) -> list[Row]:
    """What a node says of its peers; nothing when it does not answer."""
    try:
        rows: list[Row] = ask(node, "peers")["rows"]
    except NodeUnreachable:
        return []
    return rows


def apart(nodes: dict[str, NodeProcess]) -> set[tuple[str, str]]:
    """Who (first) does not hold whom (second) for alive, or is not linked with it."""
    pairs = {(name, other) for name in nodes for other in nodes if name != other}
    for name, node in nodes.items():
        pairs -= {(name, row["name"]) for row in rows_of(node) if (row["state"], row["link"]) == ("alive", "up")}
    return pairs


def all_linked(nodes: dict[str, NodeProcess], deadline_s: float) -> None:
    """Wait until every node is linked with every other, and holds it for alive."""
    end = monotonic() + deadline_s
    while left := apart(nodes):
        assert monotonic() < end, {
            pair: [row for row in rows_of(nodes[pair[0]]) if row["name"] == pair[1]] for pair in sorted(left)
        }
        elapsed(0.05)


def cpu_s(node: NodeProcess) -> float:
    """The processor time a node has taken so far."""
    times = psutil.Process(node.pid).cpu_times()
    return float(times.user + times.system)


class Cost(NamedTuple):
    """What the nodes have cost so far: processor time, and packets and bytes over the namespace's loopback."""

    cpu_s: float
    packets: int
    bytes: int


def cost(nodes: dict[str, NodeProcess]) -> Cost:
    """The cost of all nodes."""
    lines = Path(f"/proc/{next(iter(nodes.values())).pid}/net/dev").read_text().splitlines()
    received = next(line.split(":")[1].split() for line in lines if line.strip().startswith("lo:"))
    return Cost(sum(map(cpu_s, nodes.values())), int(received[1]), int(received[0]))
