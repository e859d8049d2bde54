"""meshbus: one `mesh-node`, one bus that publishes, one that subscribes. Everything as the library does it by itself.

    meshbus            one topic: what accumulates while a send is under way travels as one frame
    meshbus-singles    two topics in turn: a frame holds one topic, so every frame holds one event
    meshbus-ephemeral  one topic, neither logged nor receipted

The node is started with its defaults, so every logged event is synced to disk (`durability = "full"`) before it leaves
the node, and the dedup window is on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import mesh
from mesh.node_process import NodeProcess
from tools.bench.contender import READY_S, BenchFailed, Handler
from tools.bench.workloads import Payload

ONE_TOPIC = ("bench.TRAINING_COMPLETED",)
TWO_TOPICS = ("bench.TRAINING_COMPLETED", "bench.EVALUATION_COMPLETED")
PATTERN = "bench.*"

MARK_EVERY = 1000
"""Every so many receipts one is kept: a publisher that finds the buffer full waits for the oldest of those."""

WAIT_S = 60.0


class _Node:
    """A node that belongs to one run."""

    def __init__(self, place: Path) -> None:
        self._process = NodeProcess(place / "node", "bench").start()
        self.address = str(self._process.data_dir)
        self.pid = self._process.pid

    def stop(self) -> None:
        self._process.stop()


class _Publisher:
    """A bus; a full buffer is waited for, as its error message advises."""

    def __init__(self, address: str, topics: tuple[str, ...], ephemeral: bool) -> None:
        self._bus = mesh.connect(address, name="bench-publisher")
        if not self._bus.wait_attached(READY_S):
            raise BenchFailed(f"the publisher is not attached to the node in {address} after {READY_S:g} s")
        self._topics = cycle(topics)
        self._ephemeral = ephemeral
        self._marks: deque[mesh.Receipt] = deque()
        self._to_mark = MARK_EVERY

    def publish(self, payload: Payload) -> None:
        topic = next(self._topics)
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
        """Wait until the oldest marked event that is under way has its receipt."""
        while self._marks and self._marks[0].done:
            self._marks.popleft()
        if self._marks:
            self._marks[0].wait(WAIT_S)
        else:
            self.flush()

    def flush(self) -> None:
        if not self._bus.flush(WAIT_S):
            raise BenchFailed(f"events had no receipt after {WAIT_S:g} s")

    def close(self) -> None:
        self._bus.close()


class _Subscriber:
    """A bus with one subscription, its handler on a worker thread."""

    def __init__(self, address: str, handler: Handler) -> None:
        self._bus = mesh.connect(address, name="bench-subscriber")
        subscription = self._bus.subscribe(PATTERN, lambda event: handler(event.payload), name="bench")
        if not subscription.wait_ready(READY_S):
            raise BenchFailed(f"the subscription is not registered at the node in {address} after {READY_S:g} s")

    def close(self) -> None:
        self._bus.close()


@dataclass(frozen=True)
class Meshbus:
    """meshbus in one way of publishing."""

    name: str
    about: str
    topics: tuple[str, ...] = ONE_TOPIC
    ephemeral: bool = False

    def start_broker(self, place: Path) -> _Node:
        """A node with an empty data directory."""
        return _Node(place)

    def connect_publisher(self, address: str) -> _Publisher:
        """A bus that is attached."""
        return _Publisher(address, self.topics, self.ephemeral)

    def connect_subscriber(self, address: str, handler: Handler) -> _Subscriber:
        """A bus whose subscription is registered."""
        return _Subscriber(address, handler)


MESHBUS = (
    Meshbus("meshbus", "logged, fsync, receipts, dedup"),
    Meshbus("meshbus-singles", "the same, one event a frame", TWO_TOPICS),
    Meshbus("meshbus-ephemeral", "not logged, may drop", ephemeral=True),
)
