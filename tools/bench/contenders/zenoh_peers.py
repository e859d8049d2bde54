"""Zenoh, peer to peer: publisher and subscribers talk to each other over TCP, nothing between them. Memory only.

Publishers are declared and block when a queue is full (`CongestionControl.BLOCK`), as in Zenoh's own throughput
example; a subscriber's callback runs on a thread of Zenoh's. A subscriber listens and leaves its endpoint as a file in
the run's directory, where the publisher finds it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tools.bench.contender import READY_S, BenchFailed, Handler, Terms, lacking, to_json
from tools.bench.server import free_port
from tools.bench.workloads import Item, Payload, Workload, drive

_LOOK_S = 0.02


class _Nobody:
    """No process in the middle; the address is the run's directory."""

    pids = ()

    def __init__(self, place: Path) -> None:
        self.publish_at = self.subscribe_at = str(place)

    def stop(self) -> None:
        """Nothing runs."""


class _Publisher:
    """A session that has found every subscriber."""

    def __init__(self, address: str, workload: Workload) -> None:
        import zenoh

        endpoints = [path.read_text() for path in Path(address).glob("*.endpoint")]
        self._session = _open(connect=endpoints)
        block = zenoh.CongestionControl.BLOCK
        self._publishers = {
            topic: self._session.declare_publisher(_key(topic), congestion_control=block) for topic in workload.topics
        }
        self._wait(len(endpoints))

    def _wait(self, count: int) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            linked = len(list(self._session.info.peers_zid()))
            if linked == count and all(each.matching_status.matching for each in self._publishers.values()):
                return
            time.sleep(_LOOK_S)
        raise BenchFailed(f"the publisher has not found {count} subscribers within {READY_S:g} s")

    def run(self, items: Iterable[Item]) -> None:
        drive(items, self._publish)

    def _publish(self, topic: str, payload: Payload) -> None:
        self._publishers[topic].put(to_json(payload))

    def flush(self) -> None:
        """Zenoh does not tell what became of a message."""

    def close(self) -> None:
        self._session.close()


class _Subscriber:
    """A session that listens."""

    def __init__(self, address: str, topics: tuple[str, ...], handler: Handler) -> None:
        endpoint = f"tcp/127.0.0.1:{free_port()}"
        self._session = _open(listen=[endpoint])
        loads = orjson.loads

        def receive(sample: Any) -> None:
            handler(loads(sample.payload.to_bytes()))

        self._subscribers = [self._session.declare_subscriber(_key(topic), receive) for topic in topics]
        Path(address, f"{os.getpid()}.endpoint").write_text(endpoint)

    def close(self) -> None:
        self._session.close()


@dataclass(frozen=True)
class ZenohPeers:
    """Two or more peers."""

    name: str
    terms: Terms

    def missing(self) -> str | None:
        """One module."""
        return lacking(modules=["zenoh"])

    def takes(self, workload: Workload) -> bool:
        """Peer to peer is one hop."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> _Nobody:
        """Nothing to start."""
        return _Nobody(place)

    def connect_publisher(self, address: str, workload: Workload) -> _Publisher:
        """A session linked with all subscribers."""
        return _Publisher(address, workload)

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A session that listens."""
        return _Subscriber(address, workload.topics, handler)


def _open(connect: list[str] | None = None, listen: list[str] | None = None) -> Any:
    import zenoh

    config: Any = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("scouting/gossip/enabled", "false")
    config.insert_json5("connect/endpoints", orjson.dumps(connect or []).decode())
    config.insert_json5("listen/endpoints", orjson.dumps(listen or []).decode())
    return zenoh.open(config)


def _key(topic: str) -> str:
    return topic.replace(".", "/")


ZENOH_PEERS = (ZenohPeers("zenoh", Terms("nothing", "when a link ends", "nothing")),)
