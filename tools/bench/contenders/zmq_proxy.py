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
from dataclasses import dataclass
from pathlib import Path

import orjson
import zmq

from tools.bench.child import Child, say
from tools.bench.contender import READY_S, BenchFailed, Handler
from tools.bench.workloads import Payload

TOPIC = b"bench.TRAINING_COMPLETED\x00"
NODROP_HWM = 10_000
POLL_MS = 100
"""How often an idle subscriber looks whether it was closed."""


class _Proxy:
    """The proxy's process. Its two sockets are `in` and `out` in the directory that is its address."""

    def __init__(self, place: Path, nodrop: bool) -> None:
        self.address = str(place)
        command = ["-m", __name__, str(place), "nodrop" if nodrop else "lossy"]
        self._child = Child("proxy", command, place / "proxy.log")
        self.pid = self._child.pid

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

    def publish(self, payload: Payload) -> None:
        self._socket.send(TOPIC + orjson.dumps(payload, option=orjson.OPT_SORT_KEYS))

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
        self._socket.subscribe(TOPIC)
        self._socket.connect(f"ipc://{address}/out")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        receive, handler, start = self._socket.recv, self._handler, len(TOPIC)
        while not self._closing:
            try:
                while True:
                    handler(orjson.loads(receive()[start:]))
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
    about: str
    nodrop: bool

    def start_broker(self, place: Path) -> _Proxy:
        """A proxy in a process of its own."""
        return _Proxy(place, self.nodrop)

    def connect_publisher(self, address: str) -> _Publisher:
        """A socket that the subscription has reached."""
        return _Publisher(address, self.nodrop)

    def connect_subscriber(self, address: str, handler: Handler) -> _Subscriber:
        """A socket that subscribes; the publisher waits until that has reached it."""
        return _Subscriber(address, handler, self.nodrop)


ZMQ_PROXY = (
    ZmqProxy("zmq-proxy", "bare sockets, back-pressure", True),
    ZmqProxy("zmq-proxy-lossy", "bare sockets, may drop", False),
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
