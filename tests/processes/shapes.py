"""Clusters of real nodes that are linked in a shape, with a program at every node.

What can be reached is cut by what can be dialled: every node dials the peers it is given and no others, because what it
tells the others of itself is an address where nobody answers (or none at all, where it is a leaf).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import mesh
from mesh.node_process import NodeProcess
from tests.conditions import eventually
from tests.processes.cluster import Cluster, Row, ask, peer

QUICK = {"MESH_NODE_HEARTBEAT_S": "0.3", "MESH_NODE_DEAD_AFTER_S": "6"}
NEWS = "NEWS"
EVENTS_PER_S = 200
NOWHERE = "tcp://127.0.0.1:{}"
"""An address of a port where nothing listens; one for each node, because a node dials no address of its own."""


def shape(
    cluster: Cluster, dials: dict[str, str], leaves: str = "", variables: dict[str, str] = QUICK
) -> dict[str, NodeProcess]:
    """Start the nodes of `dials` (node → the nodes it dials, each named by one letter), and wait for their links."""
    nodes: dict[str, NodeProcess] = {}
    for name, peers in dials.items():
        where = {} if name in leaves else {"MESH_NODE_ADVERTISE": NOWHERE.format(1 + len(nodes))}
        node = NodeProcess(
            cluster.root / name,
            name,
            [nodes[each].listen for each in peers],
            flags=["--leaf"] if name in leaves else (),
            variables={**variables, **where},
        )
        cluster.nodes.append(node)
        nodes[name] = node.start()
    for name, peers in dials.items():
        for each in peers:
            eventually(lambda name=name, each=each: peer(nodes[name], each).get("link") == "up", 20.0)
    return nodes


def linked_pairs(nodes: dict[str, NodeProcess]) -> set[str]:
    """The links that are up, as the two names in the order of the alphabet."""
    rows = {name: ask(node, "peers")["rows"] for name, node in nodes.items()}
    return {"".join(sorted(name + row["name"])) for name, each in rows.items() for row in each if row["link"] == "up"}


class Voices:
    """A bus at every node. `heard`: node → the events that its subscriber was given, as (topic, origin's name, i)."""

    def __init__(self, nodes: dict[str, NodeProcess], stack: ExitStack) -> None:
        self.nodes = nodes
        self.buses = {
            name: stack.enter_context(mesh.connect(node.data_dir, name=f"voice of {name}"))
            for name, node in nodes.items()
        }
        self.heard: dict[str, list[tuple[str, str, int]]] = {name: [] for name in nodes}
        self._subscriptions: list[mesh.Subscription] = []

    def subscribe(self, pattern: str, at: str = "") -> None:
        """A consumer at every node (`at`: at these), all at the same time."""

        def one(name: str) -> mesh.Subscription:
            def take(event: mesh.Event) -> None:
                self.heard[name].append((event.topic, event.payload["by"], event.payload["i"]))

            return self.buses[name].subscribe(pattern, take, name=f"ear of {name}")

        with ThreadPoolExecutor(len(self.buses)) as pool:
            self._subscriptions += pool.map(one, at or self.buses)

    def unsubscribe(self) -> None:
        """The last consumers go."""
        for each in self._subscriptions:
            each.close()
        self._subscriptions.clear()

    def publish(self, topic: str, numbers: Iterable[int], at: str = "") -> None:
        """Every number once at every node (`at`: at these), receipted."""
        for i in numbers:
            for name in at or self.buses:
                self.buses[name].publish(topic, {"by": name, "i": i})
        for bus in self.buses.values():
            assert bus.flush(15.0)

    def heard_of(self, topic: str) -> dict[str, dict[str, list[int]]]:
        """Node → publisher's node → what its subscriber was given of a topic, in the order in which it was given it."""
        found = {name: {by: [] for by in self.nodes} for name in self.nodes}
        for name, events in self.heard.items():
            for each, by, i in list(events):
                if each == topic:
                    found[name][by].append(i)
        return found

    def reach_each_other(self, topic: str) -> None:
        """Publish until everybody has been given something of everybody: every way is known."""
        numbers = iter(range(1_000_000))

        def all_heard() -> bool:
            self.publish(topic, [next(numbers)])
            return all(all(numbers.values()) for numbers in self.heard_of(topic).values())

        eventually(all_heard, 30.0, f"everybody heard everybody; {self.heard_of(topic)}")


@contextmanager
def voices(nodes: dict[str, NodeProcess]) -> Iterator[Voices]:
    """Programs at all nodes, gone at the end."""
    with ExitStack() as stack:
        yield Voices(nodes, stack)


def frames_at_links(nodes: dict[str, NodeProcess]) -> dict[str, tuple[int, int]]:
    """Node → (frames it has sent over its links, frames that came in over them)."""
    rows: dict[str, list[Row]] = {name: ask(node, "peers")["rows"] for name, node in nodes.items()}
    return {
        name: (sum(row["sent"] for row in each), sum(row["received"] for row in each)) for name, each in rows.items()
    }


class Steady:
    """Publishes at every node in turn, `EVENTS_PER_S` in all, until it is ended. `count`: events at each so far."""

    def __init__(self, all_of_them: Voices) -> None:
        self._voices = all_of_them
        self._end = threading.Event()
        self.count = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        pause_s = len(self._voices.buses) / EVENTS_PER_S
        while not self._end.wait(pause_s):
            for name, bus in self._voices.buses.items():
                bus.publish(NEWS, {"by": name, "i": self.count})
            self.count += 1

    def end(self) -> int:
        """No more; returns how many were published, and receipted, at each node."""
        self._end.set()
        self._thread.join()
        assert all(bus.flush(15.0) for bus in self._voices.buses.values())
        return self.count


@contextmanager
def steady(all_of_them: Voices) -> Iterator[Steady]:
    """Events all the while."""
    publishing = Steady(all_of_them)
    try:
        yield publishing
    finally:
        publishing.end()


def heard_all(all_of_them: Voices, count: int) -> bool:
    """Whether every subscriber was given at least `count` events of every publisher."""
    return all(len(each) >= count for by in all_of_them.heard_of(NEWS).values() for each in by.values())


def everything_once(all_of_them: Voices, count: int, at: str = "", by: str = "") -> bool:
    """Whether every subscriber was given all events of every publisher once, in order, and nothing else.

    `at`, `by`: only these subscribers and publishers, by the letters of their nodes.
    """
    heard = all_of_them.heard_of(NEWS)
    return all(heard[one][each] == list(range(count)) for one in at or heard for each in by or heard)
