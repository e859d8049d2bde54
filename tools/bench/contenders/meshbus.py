"""meshbus: `mesh-node`, one bus that publishes, others that subscribe. Everything as the library does it by itself.

    meshbus            logged and receipted; what accumulates while a send is under way travels as one frame
    meshbus-durable    the same, and the subscription's cursor is on disk, synced with the reports of what was handled
    meshbus-ephemeral  neither logged nor receipted

The node is started with its defaults, so every logged event is synced to disk (`durability = "full"`) before it leaves
the node, and the dedup window is on. Over two hops the second node dials the first, and the link is encrypted only if
that is the default.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import mesh
from mesh.client import NodeClient
from mesh.node_process import NodeProcess
from tools.bench.contender import READY_S, BenchFailed, Handler, Terms
from tools.bench.workloads import Item, Payload, Workload, drive

PATTERN = "bench.*"

MARK_EVERY = 16
"""Every so many receipts one is kept: a publisher that finds the buffer full waits for the middle one of those."""

WAIT_S = 60.0
_LOOK_S = 0.02


class _Nodes:
    """One node, or two that are linked; they belong to one run."""

    def __init__(self, place: Path, count: int) -> None:
        with ExitStack() as stack:
            self._nodes: list[NodeProcess] = []
            for index in range(count):
                peers = [self._nodes[-1].listen] if self._nodes else []
                node = NodeProcess(place / f"node-{index}", f"bench-{index}", peers).start()
                stack.callback(node.stop)
                self._nodes.append(node)
            self.publish_at, self.subscribe_at = str(self._nodes[0].data_dir), str(self._nodes[-1].data_dir)
            self.pids = tuple(node.pid for node in self._nodes)
            _wait_linked(self.publish_at, count - 1)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        self._stack.close()


def _wait_linked(data_dir: str, count: int) -> None:
    deadline = time.monotonic() + READY_S
    with NodeClient(data_dir) as client:
        while sum(row["link"] == "up" for row in client.request("peers")["rows"]) < count:
            if time.monotonic() > deadline:
                raise BenchFailed(f"the nodes are not linked after {READY_S:g} s")
            time.sleep(_LOOK_S)


class _Publisher:
    """A bus; a full buffer is waited for, as its error message advises."""

    def __init__(self, address: str, ephemeral: bool) -> None:
        self._bus = mesh.connect(address, name="bench-publisher")
        if not self._bus.wait_attached(READY_S):
            raise BenchFailed(f"the publisher is not attached to the node in {address} after {READY_S:g} s")
        self._ephemeral = ephemeral
        self._marks: deque[mesh.Receipt] = deque()
        self._to_mark = MARK_EVERY

    def run(self, items: Iterable[Item]) -> None:
        drive(items, self._publish)

    def _publish(self, topic: str, payload: Payload) -> None:
        while True:
            try:
                receipt = self._bus.publish(topic, payload, ephemeral=self._ephemeral)
                break
            except mesh.BufferFull:
                self._wait()
        self._to_mark -= 1
        if not self._to_mark:
            self._marks.append(receipt)
            self._to_mark = MARK_EVERY

    def _wait(self) -> None:
        """Wait until about half of what is under way has its receipt."""
        while self._marks and self._marks[0].done:
            self._marks.popleft()
        if self._marks:
            self._marks[len(self._marks) // 2].wait(WAIT_S)
        else:
            self.flush()

    def flush(self) -> None:
        if not self._bus.flush(WAIT_S):
            raise BenchFailed(f"events had no receipt after {WAIT_S:g} s")

    def close(self) -> None:
        self._bus.close()


class _Subscriber:
    """A bus with one subscription, its handler on a worker thread."""

    def __init__(self, address: str, handler: Handler, durable: bool) -> None:
        self._bus = mesh.connect(address, name="bench-subscriber")
        subscription = self._bus.subscribe(
            PATTERN, lambda event: handler(event.payload), name=f"bench-{os.getpid()}", durable=durable
        )
        if not subscription.wait_ready(READY_S):
            raise BenchFailed(f"the subscription is not registered at the node in {address} after {READY_S:g} s")

    def close(self) -> None:
        self._bus.close()


@dataclass(frozen=True)
class Meshbus:
    """meshbus in one way of using it."""

    name: str
    terms: Terms
    ephemeral: bool = False
    durable: bool = False

    def missing(self) -> str | None:
        """Nothing is."""
        return None

    def takes(self, workload: Workload) -> bool:
        """All of them."""
        return True

    def start_broker(self, place: Path, workload: Workload) -> _Nodes:
        """Nodes with empty data directories."""
        return _Nodes(place, workload.hops)

    def connect_publisher(self, address: str, workload: Workload) -> _Publisher:
        """A bus that is attached."""
        return _Publisher(address, self.ephemeral)

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A bus whose subscription is registered."""
        return _Subscriber(address, handler, self.durable)


_LOG = "log, before its receipt"
_CHECKS = "every frame at every hop"

MESHBUS = (
    Meshbus("meshbus", Terms(_LOG, "nothing", _CHECKS)),
    Meshbus("meshbus-durable", Terms("log and cursor, before the receipt", "nothing", _CHECKS), durable=True),
    Meshbus("meshbus-ephemeral", Terms("nothing", "to a subscriber 64 MiB behind", _CHECKS), ephemeral=True),
)
