"""NATS without JetStream: one nats-server, nats-py on uvloop. Memory only.

`publish` writes into the client's buffer, which goes out when it is full or the loop has nothing else to do; the
subscription has a callback. The publisher flushes at the end, which is a round trip to the server, not to subscribers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tools.bench.contender import READY_S, Handler, Terms, lacking, to_json
from tools.bench.loops import LoopThread, drive_async, new_loop
from tools.bench.server import Server, free_port
from tools.bench.workloads import Item, Payload, Workload


class _Publisher:
    """A connection whose loop runs while something is published."""

    def __init__(self, address: str) -> None:
        import nats

        self._runner = asyncio.Runner(loop_factory=new_loop)
        self._client: Any = self._runner.run(nats.connect(address))

    def run(self, items: Iterable[Item]) -> None:
        self._runner.run(drive_async(items, self._publish))

    async def _publish(self, topic: str, payload: Payload) -> None:
        await self._client.publish(topic, to_json(payload))

    def flush(self) -> None:
        self._runner.run(self._client.flush(READY_S))

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


class _Subscriber:
    """A connection with a callback for every topic. Its queue of received messages has no bound."""

    def __init__(self, address: str, topics: tuple[str, ...], handler: Handler) -> None:
        self._loop = LoopThread()
        self._handler = handler
        self._client: Any = self._loop.run(self._connect(address, topics))

    async def _connect(self, address: str, topics: tuple[str, ...]) -> object:
        import nats

        handler, loads = self._handler, orjson.loads

        async def receive(message: Any) -> None:
            handler(loads(message.data))

        client = await nats.connect(address)
        for topic in topics:
            await client.subscribe(topic, cb=receive, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await client.flush(int(READY_S))
        return client

    def close(self) -> None:
        self._loop.run(self._client.close())
        self._loop.close()


@dataclass(frozen=True)
class NatsCore:
    """nats-server as it comes."""

    name: str
    terms: Terms

    def missing(self) -> str | None:
        """The server and two modules."""
        return lacking(["nats-server"], ["nats", "uvloop"])

    def takes(self, workload: Workload) -> bool:
        """One server."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> Server:
        """A server with its defaults."""
        port = free_port()
        command = ["nats-server", "--addr", "127.0.0.1", "--port", str(port)]
        return Server(command, port, f"nats://127.0.0.1:{port}", place)

    def connect_publisher(self, address: str, workload: Workload) -> _Publisher:
        """A connection."""
        return _Publisher(address)

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A connection that subscribes."""
        return _Subscriber(address, workload.topics, handler)


NATS_CORE = (NatsCore("nats", Terms("nothing", "a client 64 MB behind is cut off", "nothing")),)
