"""Bytes that no program of ours would send: bad frames, wrong control messages, and sockets that say anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import time_ns
from typing import Any

import orjson
import zmq

from mesh.frame import EPHEMERAL, Frame, content_hash, encode, pack_record
from mesh.limits import PAYLOAD_BYTES_MAX
from mesh.location import Endpoints, read_endpoints
from mesh.node_process import NodeProcess
from mesh.requests import marker_topic, session_topic
from tests.conditions import eventually

SESSION = bytes(range(8))

WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, -1e308, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
    *("", "x", "nan", "inf", "-inf", "1e400", "\x00", "9" * 400, "☃" * 300, "../..", "*", "!a", "now"),
    *([], [None], [1], ["x"], [[]], [[1]], [[1, 2, 3, 4, 5, 6]], [{}], [["o", "t", "x"]], [["o", "t", 1, 2]]),
    *({}, {"x": 1}, {"time_us": 1 << 63}, {"ago_us": -(1 << 63)}, {"time_us": 1e308}),
)
"""What may stand where something else belongs."""


def record(body: bytes, topic: bytes = b"T\x00") -> bytes:
    """One event of a frame, correct in itself."""
    return pack_record(time_ns() // 1000, content_hash(topic, body), b"", body)


def frame(**changes: Any) -> Frame:
    """A publisher's frame of one event, correct but for `changes`."""
    good = Frame("T", 0, 0, SESSION, 1, 0, 1, "", record(b'{"i":1}'))
    return good._replace(**changes)


def bad_frames() -> list[bytes]:
    """Every way to be no frame of a publisher, from one flipped bit to a megabyte of nothing."""
    good = encode(frame())
    at = good.index(b"\x00")
    cut = [good[:length] for length in range(0, len(good), 7)]
    flipped = [good[:i] + bytes([good[i] ^ 0x10]) + good[i + 1 :] for i in range(0, len(good), 3)]
    return [
        *cut,
        *flipped,
        *(good + b"\x00", good[at:], good * 2, good[::-1]),
        *(b"\x00", b"\x01", b"\x00\x00", b"!", b"@x", b"~heads\x00{}", b"x" * 300, b"x" * 5_000_000, bytes(3_000_000)),
        *(b"GET / HTTP/1.1\r\n\r\n", b'{"topic":"T"}', b"\xff\xfe\x00" + good[2:]),
        encode(frame(number=0)),
        encode(frame(number=(1 << 64) - 1)),
        encode(frame(count=0)),
        encode(frame(count=2)),
        encode(frame(count=1025)),
        encode(frame(flags=64)),
        encode(frame(flags=EPHEMERAL)),
        encode(frame(origin="x.1", sequence=1)),
        encode(frame(origin="x.1")),
        encode(frame(sequence=1)),
        encode(frame(events=record(b"{}")[:-1])),
        encode(frame(events=record(b"[" + b"0," * (PAYLOAD_BYTES_MAX // 2) + b"0]"))),
    ]


def wrong_shapes(good: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The message with each field missing, and with each field replaced by each wrong value."""
    for key in good:
        yield {name: value for name, value in good.items() if name != key}
        for value in WRONG_VALUES:
            yield {**good, key: value}


class RawSockets:
    """Sockets of our own towards a node, that send what they are told."""

    def __init__(self, node: NodeProcess) -> None:
        endpoints = read_endpoints(node.data_dir)
        assert endpoints is not None  # the node is ready
        self.endpoints: Endpoints = endpoints
        self.listen = node.listen
        self._context = zmq.Context()

    def socket(self, kind: int, address: str) -> zmq.Socket[bytes]:
        """A connected socket."""
        made = self._context.socket(kind)
        made.setsockopt(zmq.IMMEDIATE, kind == zmq.XPUB)  # then it is told when the other end goes
        made.connect(address)
        return made

    def publishing(self) -> zmq.Socket[bytes]:
        """An XPUB whose frames reach the node from now on."""
        made = self.socket(zmq.XPUB, self.endpoints.in_)
        assert made.poll(10_000)  # the node subscribes
        made.recv()
        return made

    def close(self) -> None:
        """Close all, giving what was sent two seconds to leave."""
        self._context.destroy(linger=2000)


@contextmanager
def raw_sockets(node: NodeProcess) -> Iterator[RawSockets]:
    """Raw sockets that are closed at the end."""
    sockets = RawSockets(node)
    try:
        yield sockets
    finally:
        sockets.close()


class RawSession:
    """A program that speaks the local protocol by hand: attached, and able to say anything."""

    def __init__(self, sockets: RawSockets, session: bytes = SESSION) -> None:
        self.session = session
        self.ctl = sockets.socket(zmq.DEALER, sockets.endpoints.ctl)
        self.out = sockets.socket(zmq.SUB, sockets.endpoints.out)
        self.out.subscribe(session_topic(session))
        self._last_id = 0
        assert self.ask("hello", name="raw", pid=1, first=1)["ok"]

    def send(self, do: str, **fields: Any) -> int:
        """Send a request; returns its id."""
        self._last_id += 1
        message = {"session": self.session.hex(), **fields, "id": self._last_id, "do": do}
        self.ctl.send(orjson.dumps(message))
        return self._last_id

    def answer(self, id_: int) -> dict[str, Any]:
        """The reply to a request; others that come before it are dropped."""
        while True:
            assert self.ctl.poll(10_000), f"request {id_} got no answer"
            reply: dict[str, Any] = orjson.loads(self.ctl.recv_multipart()[0])
            if reply["id"] == id_:
                return reply

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """One request and its reply."""
        return self.answer(self.send(do, **fields))

    def subscribe_fields(self, sub: int, **changes: Any) -> dict[str, Any]:
        """The fields of a correct subscription; its marker is set on the socket."""
        self.out.subscribe(marker_topic(f"m{sub}"))
        fields = {"sub": sub, "consumer": f"raw {sub}", "pattern": "T", "durable": False, "since": "now"}
        rest = {"attempts": 2, "backoff": [0.0, 0.1], "timeout_s": 5.0, "resume": None, "marker": f"m{sub}"}
        return {**fields, **rest, **changes}


def say_plainly(address: str | tuple[str, int], data: bytes) -> None:
    """Send bytes to a plain socket (a path or a host and port), and wait until the other side hangs up."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as plain:
        plain.settimeout(10.0)
        plain.connect(address)
        try:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            eventually(lambda: plain.recv(65536) == b"", what="the end of the connection")
        except OSError:
            return  # it hung up first
