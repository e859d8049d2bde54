"""Redis publish/subscribe: redis-server, redis-py with hiredis. Memory only.

The publisher pipelines; the subscriber listens. The server's bound on the output buffer of a subscriber is off, since
at its default of 32 MB it cuts off whoever falls behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import orjson

from tools.bench.contender import Handler, Terms, lacking, to_json
from tools.bench.server import Server, free_port
from tools.bench.workloads import Item, Payload, Workload

PIPELINE = 500
"""Commands sent at once."""

BYTES = 1 << 20
"""A pipeline is sent earlier when it holds so many bytes."""

POLL_S = 0.1
NEEDED = ["redis", "hiredis"]


class Pipelined:
    """A publisher that gathers commands, and sends them when they are many or the source pauses."""

    def __init__(self, address: str, command: Any) -> None:
        import redis

        self._connection: Any = redis.Redis.from_url(address)
        self._pipe = self._connection.pipeline(transaction=False)
        self._command = command
        self._count = self._bytes = 0

    def run(self, items: Iterable[Item]) -> None:
        """Publish; a pause sends what has gathered first."""
        from tools.bench.workloads import drive

        drive(self._sent_before_pauses(items), self._publish)

    def _sent_before_pauses(self, items: Iterable[Item]) -> Iterable[Item]:
        for item in items:
            if isinstance(item, float):
                self.flush()
            yield item

    def _publish(self, topic: str, payload: Payload) -> None:
        body = to_json(payload)
        self._command(self._pipe, topic, body)
        self._count += 1
        self._bytes += len(body)
        if self._count == PIPELINE or self._bytes >= BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered, and wait for the answers."""
        if self._count:
            self._pipe.execute()
            self._count = self._bytes = 0

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


class _Subscriber:
    """A connection read by a thread that calls the handler."""

    def __init__(self, address: str, topics: tuple[str, ...], handler: Handler) -> None:
        import redis

        self._connection: Any = redis.Redis.from_url(address)
        self._channel = self._connection.pubsub()
        self._channel.subscribe(*topics)
        for _ in topics:
            self._channel.get_message(timeout=5)
        self._handler = handler
        self._closing = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        receive, handler, loads = self._channel.get_message, self._handler, orjson.loads
        while not self._closing:
            message = receive(timeout=POLL_S)
            if message is not None:
                handler(loads(message["data"]))

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._connection.close()


@dataclass(frozen=True)
class RedisPubSub:
    """redis-server without persistence."""

    name: str
    terms: Terms

    def missing(self) -> str | None:
        """The server and two modules."""
        return lacking(["redis-server"], NEEDED)

    def takes(self, workload: Workload) -> bool:
        """One server."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> Server:
        """A server in memory."""
        return start_redis(place, "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0")

    def connect_publisher(self, address: str, workload: Workload) -> Pipelined:
        """A pipelined connection."""
        return Pipelined(address, lambda pipe, topic, body: pipe.publish(topic, body))

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A connection that is subscribed."""
        return _Subscriber(address, workload.topics, handler)


def start_redis(place: Path, *options: str) -> Server:
    """A redis-server with no snapshots and these options."""
    port = free_port()
    listen = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(place), "--save", ""]
    return Server(["redis-server", *listen, *options], port, f"redis://127.0.0.1:{port}", place)


REDIS_PUBSUB = (RedisPubSub("redis-pubsub", Terms("nothing", "while a subscriber is away", "nothing")),)
