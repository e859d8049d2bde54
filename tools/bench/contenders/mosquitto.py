"""MQTT: mosquitto, paho-mqtt, quality of service 1 (acknowledged, at least once). Memory only, as it comes.

The client's window of unacknowledged messages and the broker's queues are opened wide, and the publisher stops at
`AHEAD_MAX` unacknowledged ones, since paho's own queue has no bound.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tools.bench.contender import READY_S, BenchFailed, Handler, Terms, lacking, to_json
from tools.bench.server import Server, free_port
from tools.bench.workloads import Item, Payload, Workload, drive

AHEAD_MAX = 2000
"""Messages published and not acknowledged."""

PATIENCE_S = 60.0
CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
"""


class _Publisher:
    """A connection that counts acknowledgements."""

    def __init__(self, address: str) -> None:
        self._client = _client()
        self._room = threading.Semaphore(AHEAD_MAX)
        self._client.on_publish = lambda *_: self._room.release()
        _connect(self._client, address)

    def run(self, items: Iterable[Item]) -> None:
        drive(items, self._publish)

    def _publish(self, topic: str, payload: Payload) -> None:
        if not self._room.acquire(timeout=PATIENCE_S):
            raise BenchFailed(f"the broker acknowledged nothing for {PATIENCE_S:g} s")
        self._client.publish(topic, to_json(payload), qos=1)

    def flush(self) -> None:
        for _ in range(AHEAD_MAX):
            self._room.acquire(timeout=PATIENCE_S)
        self._room.release(AHEAD_MAX)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class _Subscriber:
    """A connection whose network thread calls the handler."""

    def __init__(self, address: str, topics: tuple[str, ...], handler: Handler) -> None:
        self._client = _client()
        subscribed, loads = threading.Event(), orjson.loads
        self._client.on_message = lambda _client, _data, message: handler(loads(message.payload))
        self._client.on_subscribe = lambda *_: subscribed.set()
        _connect(self._client, address)
        self._client.subscribe([(topic, 1) for topic in topics])
        if not subscribed.wait(READY_S):
            raise BenchFailed("the broker did not confirm the subscription")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True)
class Mosquitto:
    """mosquitto without persistence."""

    name: str
    terms: Terms

    def missing(self) -> str | None:
        """The broker and one module."""
        return lacking(["mosquitto"], ["paho.mqtt"])

    def takes(self, workload: Workload) -> bool:
        """One broker."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> Server:
        """A broker in memory."""
        port, config = free_port(), place / "mosquitto.conf"
        config.write_text(CONFIG.format(port=port))
        return Server(["mosquitto", "-c", str(config)], port, str(port), place)

    def connect_publisher(self, address: str, workload: Workload) -> _Publisher:
        """A connection."""
        return _Publisher(address)

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A connection that is subscribed."""
        return _Subscriber(address, workload.topics, handler)


def _client() -> Any:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(AHEAD_MAX)
    client.max_queued_messages_set(0)
    return client


def _connect(client: Any, port: str) -> None:
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    if not connected.wait(READY_S):
        raise BenchFailed("the broker did not answer")


MOSQUITTO = (Mosquitto("mosquitto", Terms("nothing", "nothing while it runs", "nothing")),)
