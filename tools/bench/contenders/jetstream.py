"""NATS with JetStream: one stream in files, nats-py on uvloop.

    publish_async ─▶ stream on disk ─▶ acknowledged later, at most 4,000 unacknowledged (the client's default)

    jetstream        a pull consumer that fetches batches and acknowledges each batch by its last message
    jetstream-push   a push consumer with flow control by the acknowledgement of every message

The server writes each message to its file before it acknowledges, and syncs the file every two minutes (its default).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tools.bench.contender import Handler, Terms, lacking, to_json
from tools.bench.loops import LoopThread, drive_async, new_loop
from tools.bench.server import Server, free_port
from tools.bench.workloads import Item, Payload, Workload

STREAM = "bench"
SUBJECTS = "bench.>"
FETCH = 500
"""Messages in one fetch."""

FETCH_S = 0.5


class _Publisher:
    """A connection that publishes without waiting for each acknowledgement."""

    def __init__(self, address: str) -> None:
        import nats

        self._runner = asyncio.Runner(loop_factory=new_loop)
        self._client: Any = self._runner.run(nats.connect(address))
        self._stream = self._client.jetstream()

    def run(self, items: Iterable[Item]) -> None:
        self._runner.run(drive_async(items, self._publish))

    async def _publish(self, topic: str, payload: Payload) -> None:
        await self._stream.publish_async(topic, to_json(payload))

    def flush(self) -> None:
        self._runner.run(self._stream.publish_async_completed())

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


class _Subscriber:
    """A connection with one consumer of the whole stream."""

    def __init__(self, address: str, handler: Handler, push: bool) -> None:
        self._loop = LoopThread()
        self._handler = handler
        self._client: Any = None
        self._loop.run(self._connect(address, push))

    async def _connect(self, address: str, push: bool) -> None:
        import nats

        self._client = await nats.connect(address)
        stream = self._client.jetstream()
        if push:
            await stream.subscribe(SUBJECTS, stream=STREAM, cb=self._receive, manual_ack=True)
        else:
            self._pulling = asyncio.create_task(self._pull(await _pull_consumer(stream)))

    async def _receive(self, message: Any) -> None:
        self._handler(orjson.loads(message.data))
        await message.ack()

    async def _pull(self, consumer: Any) -> None:
        import nats.errors

        handler, loads = self._handler, orjson.loads
        while True:
            try:
                messages = await consumer.fetch(FETCH, FETCH_S)
            except nats.errors.TimeoutError:
                continue
            for message in messages:
                handler(loads(message.data))
            await messages[-1].ack()

    def close(self) -> None:
        self._loop.run(self._end())
        self._loop.close()

    async def _end(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._client.close()


async def _pull_consumer(stream: Any) -> object:
    """A consumer where acknowledging a message acknowledges all before it, and none waits for that."""
    from nats.js.api import AckPolicy, ConsumerConfig

    config = ConsumerConfig(ack_policy=AckPolicy.ALL, max_ack_pending=-1)
    return await stream.pull_subscribe(SUBJECTS, stream=STREAM, config=config)


async def _create_stream(url: str) -> None:
    import nats
    from nats.js.api import StorageType

    client = await nats.connect(url)
    await client.jetstream().add_stream(name=STREAM, subjects=[SUBJECTS], storage=StorageType.FILE)
    await client.close()


@dataclass(frozen=True)
class JetStream:
    """A stream in files with one way of consuming it."""

    name: str
    terms: Terms
    push: bool

    def missing(self) -> str | None:
        """The server and two modules."""
        return lacking(["nats-server"], ["nats", "uvloop"])

    def takes(self, workload: Workload) -> bool:
        """One server."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> Server:
        """A server with an empty stream."""
        port, store = free_port(), str(place / "jetstream")
        command = ["nats-server", "--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", store]
        server = Server(command, port, f"nats://127.0.0.1:{port}", place)
        try:
            asyncio.run(_create_stream(server.publish_at))
        except BaseException:
            server.stop()
            raise
        return server

    def connect_publisher(self, address: str, workload: Workload) -> _Publisher:
        """A connection."""
        return _Publisher(address)

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A connection whose consumer exists."""
        return _Subscriber(address, handler, self.push)


_TERMS = Terms(
    "log, every 2 minutes", "what was acknowledged and not yet synced, at a power cut", "what is read from disk"
)

JETSTREAM = (JetStream("jetstream", _TERMS, False), JetStream("jetstream-push", _TERMS, True))
