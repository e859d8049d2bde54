"""Redis Streams: redis-server with its append-only file, redis-py with hiredis.

    XADD, pipelined ─▶ one stream a topic ─▶ XREADGROUP of many ─▶ handler ─▶ XACK of as many

    redis-streams         appendfsync everysec: synced once a second, after the answer
    redis-streams-always  appendfsync always: synced before the answer

Every subscriber has a consumer group of its own, so each gets every event.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import orjson

from tools.bench.contender import Handler, Terms, lacking
from tools.bench.contenders.redis_pubsub import NEEDED, Pipelined, start_redis
from tools.bench.server import Server
from tools.bench.workloads import Workload

READ = 500
"""Entries in one XREADGROUP."""

BLOCK_MS = 100


class _Subscriber:
    """A consumer group with one consumer."""

    def __init__(self, address: str, topics: tuple[str, ...], handler: Handler) -> None:
        import redis

        self._connection: Any = redis.Redis.from_url(address)
        self._group = f"bench-{os.getpid()}"
        for topic in topics:
            self._connection.xgroup_create(topic, self._group, id="$", mkstream=True)
        self._topics = dict.fromkeys(topics, ">")
        self._handler = handler
        self._closing = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            found = self._connection.xreadgroup(self._group, "one", self._topics, count=READ, block=BLOCK_MS)
            if found:
                self._take(found.items() if isinstance(found, dict) else found)

    def _take(self, found: Any) -> None:
        handler, loads = self._handler, orjson.loads
        acknowledge = self._connection.pipeline(transaction=False)
        for stream, entries in found:
            for _, fields in entries:
                handler(loads(fields[b"d"]))
            acknowledge.xack(stream, self._group, *[entry[0] for entry in entries])
        acknowledge.execute()

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._connection.close()


@dataclass(frozen=True)
class RedisStreams:
    """redis-server with one way of syncing its file."""

    name: str
    terms: Terms
    appendfsync: str

    def missing(self) -> str | None:
        """The server and two modules."""
        return lacking(["redis-server"], NEEDED)

    def takes(self, workload: Workload) -> bool:
        """One server."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> Server:
        """A server with an empty append-only file."""
        return start_redis(place, "--appendonly", "yes", "--appendfsync", self.appendfsync)

    def connect_publisher(self, address: str, workload: Workload) -> Pipelined:
        """A pipelined connection."""
        return Pipelined(address, lambda pipe, topic, body: pipe.xadd(topic, {"d": body}))

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A connection with a consumer group."""
        return _Subscriber(address, workload.topics, handler)


REDIS_STREAMS = (
    RedisStreams(
        "redis-streams",
        Terms("log, every second", "what was answered and not yet synced, at a power cut", "nothing"),
        "everysec",
    ),
    RedisStreams("redis-streams-always", Terms("log, before the answer", "nothing", "nothing"), "always"),
)
