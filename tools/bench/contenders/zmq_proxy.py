"""libzmq alone: publisher, `zmq.proxy` between XSUB and XPUB, subscriber. One event is one message.

    XPUB ──ipc──▶ XSUB ─ zmq_proxy (C) ─ XPUB ──ipc──▶ SUB        topic 0x00 JSON

The floor under anything built of these sockets: no log, no receipt, no identity, no hash. The publisher's socket is an
XPUB instead of a PUB only to be told when the subscription has come through; sending costs the same.

    zmq-proxy        XPUB_NODROP at both publishing ends: a full pipe stops the sender, nothing is lost
    zmq-proxy-lossy  as libzmq comes: what does not fit into a pipe of 1000 messages is dropped without a word
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
import zmq

from tools.bench.child import Child, say
from tools.bench.contender import READY_S, BenchFailed, Handler, Terms, to_json
from tools.bench.workloads import Item, Payload, Workload, drive

PREFIX = b"bench."
NODROP_HWM = 10_000
POLL_MS = 100
"""How often an idle subscriber looks whether it was closed."""


class _Proxy:
    """The proxy's process. Its two sockets are `in` and `out` in the directory that is its address."""

    def __init__(self, place: Path, nodrop: bool) -> None:
        self.publish_at = self.subscribe_at = str(place)
        command = ["-m", __name__, str(place), "nodrop" if nodrop else "lossy"]
        self._child = Child("proxy", command, place / "proxy.log")
        self.pids = (self._child.pid,)

    def stop(self) -> None:
        self._child.kill()


class _Publisher:
    """An XPUB socket that has seen the subscription."""

    def __init__(self, address: str, nodrop: bool) -> None:
        self._socket = _socket(zmq.XPUB, nodrop)
        self._socket.connect(f"ipc://{address}/in")
        if not self._socket.poll(int(READY_S * 1000)):
            raise BenchFailed(f"no subscription came through the proxy within {READY_S:g} s")
        self._socket.recv()

    def run(self, items: Iterable[Item]) -> None:
        drive(items, self._publish)

    def _publish(self, topic: str, payload: Payload) -> None:
        self._socket.send(topic.encode() + b"\x00" + to_json(payload))

    def flush(self) -> None:
        """libzmq does not tell what became of a message."""

    def close(self) -> None:
        self._socket.close(linger=0)


class _Subscriber:
    """A SUB socket, read by a thread that calls the handler."""

    def __init__(self, address: str, handler: Handler, nodrop: bool) -> None:
        self._handler = handler
        self._closing = False
        self._socket = _socket(zmq.SUB, nodrop)
        self._socket.setsockopt(zmq.RCVTIMEO, POLL_MS)
        self._socket.subscribe(PREFIX)
        self._socket.connect(f"ipc://{address}/out")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        receive, handler, loads = self._socket.recv, self._handler, orjson.loads
        while not self._closing:
            try:
                while True:
                    handler(loads(receive().partition(b"\x00")[2]))
            except zmq.Again:
                continue

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._socket.close(linger=0)


@dataclass(frozen=True)
class ZmqProxy:
    """The proxy with or without back-pressure."""

    name: str
    terms: Terms
    nodrop: bool

    def missing(self) -> str | None:
        """Nothing is: meshbus needs pyzmq too."""
        return None

    def takes(self, workload: Workload) -> bool:
        """One proxy."""
        return workload.hops == 1

    def start_broker(self, place: Path, workload: Workload) -> _Proxy:
        """A proxy in a process of its own."""
        return _Proxy(place, self.nodrop)

    def connect_publisher(self, address: str, workload: Workload) -> _Publisher:
        """A socket that the subscriptions have reached."""
        return _Publisher(address, self.nodrop)

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> _Subscriber:
        """A socket that subscribes; the publisher waits until that has reached it."""
        return _Subscriber(address, handler, self.nodrop)


ZMQ_PROXY = (
    ZmqProxy("zmq-proxy", Terms("nothing", "nothing; a full pipe stops the publisher", "nothing"), True),
    ZmqProxy("zmq-proxy-lossy", Terms("nothing", "what does not fit into a full pipe", "nothing"), False),
)


def _socket(kind: int, nodrop: bool) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    if nodrop:
        socket.set_hwm(NODROP_HWM)
        if kind == zmq.XPUB:
            socket.setsockopt(zmq.XPUB_NODROP, 1)
    return socket


def _serve(place: str, nodrop: bool) -> None:
    """The proxy's process: forward until it is killed."""
    incoming, outgoing = _socket(zmq.XSUB, nodrop), _socket(zmq.XPUB, nodrop)
    incoming.bind(f"ipc://{place}/in")
    outgoing.bind(f"ipc://{place}/out")
    say({"ready": True})
    zmq.proxy(incoming, outgoing)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2] == "nodrop")
