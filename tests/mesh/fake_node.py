"""A node for tests of the library: real sockets, the protocol of `mesh.requests`, everything else in memory.

It admits, numbers, logs, forwards and replays, and it misbehaves on request: `lose_frames`, `lose_receipts` and
`lose_live` count down what it drops, `refuse` answers a verb with a refusal, `muted` verbs get no answer, `skip` is in
the reply to every registration. `stop` closes the sockets as a killed process does; `start` comes back with what was
known before. One thread owns the sockets; `tell` runs a function there.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import zmq

from mesh.frame import DIRECTED, Frame, decode, encode
from mesh.records import single
from mesh.requests import (
    MARKER,
    POSITION,
    Json,
    pack_beacon,
    pack_directed,
    pack_refusal,
    pack_reply,
    unpack_control,
)
from mesh.topic import check_pattern

ORIGIN = "fake.1"
POLL_MS = 5
DEADLINE_S = 10.0


def eventually(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait until `condition()` is true and return its value; fail after ten seconds."""
    deadline = monotonic() + DEADLINE_S
    while not (value := condition()):
        assert monotonic() < deadline, f"{what} did not come true"
        sleep(0.002)
    return value


class FakeNode:
    """A node in a thread of the test. Public attributes are what it saw and how it misbehaves."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.frames: list[Frame] = []
        self.requests: list[Json] = []
        self.subscriptions: dict[int, Json] = {}
        self.lose_frames = self.lose_receipts = self.lose_live = 0
        self.muted: set[str] = set()
        self.unanswered: list[tuple[bytes, Json]] = []
        self.refuse: dict[str, tuple[str, str]] = {}
        self.reject: set[str] = set()
        self.gone_to: dict[str, int] = {}
        self.skip: list[tuple[str, str, int]] = []
        self._log: list[tuple[int, Frame]] = []
        self._heads: dict[str, int] = {}
        self._last: dict[bytes, int] = {}
        self._resent: set[int] = set()
        self._position = 1
        self._starts = 0
        self._commands: deque[Callable[[], Any]] = deque()
        self._thread: threading.Thread | None = None
        self._running = False

    # ---- what a test calls

    def start(self) -> FakeNode:
        """Bind the sockets at new endpoints, write node.json and begin to answer."""
        self._running = True
        self._starts += 1
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(DEADLINE_S)
        return self

    def stop(self) -> None:
        """Close the sockets without a word."""
        self._running = False
        if self._thread is not None:
            self._thread.join(DEADLINE_S)
            self._thread = None

    def tell(self, command: Callable[[], Any]) -> None:
        """Run a function on the node's thread, and wait until it ran."""
        done = threading.Event()

        def run() -> None:
            command()
            done.set()

        self._commands.append(run)
        assert done.wait(DEADLINE_S)

    def redeliver(self, session: bytes, sub: int, letter: int, attempt: int, frame: Frame) -> None:
        """Send one event again to one subscription."""
        message = {"t": "redeliver", "sub": sub, "letter": letter, "attempt": attempt}
        parts = [pack_directed(session, message), encode(single(frame, 0, DIRECTED))]
        self.tell(lambda: self._out.send_multipart(parts))

    def say(self, session: bytes, message: Json) -> None:
        """Send one directed message."""
        self.tell(lambda: self._out.send(pack_directed(session, message)))

    def beacon(self) -> None:
        """Announce every head."""
        heads = [(ORIGIN, topic, head) for topic, head in self._heads.items()]
        self.tell(lambda: self._out.send(pack_beacon(heads)))

    def answer_late(self) -> None:
        """Answer every request that was muted."""
        self.tell(lambda: [self._reply(peer, request, {"late": True}) for peer, request in self.unanswered])

    def spoil_live(self, data: bytes) -> None:
        """Send any bytes on `out`."""
        self.tell(lambda: self._out.send(data))

    def asked(self, do: str) -> list[Json]:
        """The requests of one verb, in order."""
        return [request for request in self.requests if request["do"] == do]

    def moves(self, sub: int | None = None) -> list[list[Any]]:
        """Every move that was reported."""
        return [move for part in self._parts(sub) for move in part["moves"]]

    def letters(self, sub: int | None = None) -> list[list[Any]]:
        """Every outcome of a redelivery that was reported."""
        return [letter for part in self._parts(sub) for letter in part["letters"]]

    def settled(self, topic: str) -> int:
        """Up to where any subscription has settled a topic."""
        return max((move[3] for move in self.moves() if move[1] == topic), default=0)

    def _parts(self, sub: int | None) -> list[Json]:
        parts = [part for request in self.asked("report") for part in request["subs"]]
        return [part for part in parts if sub in (None, part["sub"])]

    # ---- the node's thread

    def _run(self, ready: threading.Event) -> None:
        context = zmq.Context()
        bound = {}
        for name, kind in (("in", zmq.XSUB), ("out", zmq.XPUB), ("ctl", zmq.ROUTER)):
            socket = context.socket(kind)
            socket.linger = 0
            bound[name] = f"ipc://{self.data_dir}/{name}{self._starts}"
            socket.bind(bound[name])
            setattr(self, f"_{name}", socket)
        self._in.send(b"\x01")
        (self.data_dir / "node.json").write_text(json.dumps({"name": "fake", **bound}))
        ready.set()
        self._hellos: list[tuple[bytes, Json]] = []
        self._waiting: list[tuple[bytes, Json]] = []
        self._prefixes: set[bytes] = set()
        while self._running:
            self._turn()
        context.destroy(linger=0)

    def _turn(self) -> None:
        poller = zmq.Poller()
        for socket in (self._in, self._out, self._ctl):
            poller.register(socket, zmq.POLLIN)
        ready = dict(poller.poll(POLL_MS))
        if self._out in ready:
            self._subscription(self._out.recv())
        if self._ctl in ready:
            self._request(*self._ctl.recv_multipart())
        if self._in in ready:
            self._publication(decode(self._in.recv()))
        while self._commands:
            self._commands.popleft()()

    def _subscription(self, message: bytes) -> None:
        (self._prefixes.add if message[:1] == b"\x01" else self._prefixes.discard)(message[1:])
        for peer, request in self._hellos:
            if f"!{request['session']}\0".encode() in self._prefixes:
                self._reply(peer, request, {"node": "fake", "origin": ORIGIN})
        self._hellos = [each for each in self._hellos if f"!{each[1]['session']}\0".encode() not in self._prefixes]
        for peer, request in list(self._waiting):
            if MARKER + request["marker"].encode() in self._prefixes:
                self._waiting.remove((peer, request))
                self._complete(peer, request)

    def _request(self, peer: bytes, part: bytes, *_: bytes) -> None:
        request = unpack_control(part)
        self.requests.append(request)
        if request["do"] in self.muted:
            self.unanswered.append((peer, request))
            return
        refused = self.refuse.get(request["do"])
        if refused:
            self._ctl.send_multipart([peer, pack_refusal(request["id"], *refused)])
            return
        match request["do"]:
            case "hello":
                session = bytes.fromhex(request["session"])
                self._last[session] = max(self._last.get(session, 0), request["first"] - 1)
                self._hellos.append((peer, request))
                self._subscription(b"\x00")
            case "subscribe":
                self._waiting.append((peer, request))
                self._subscription(b"\x00")
            case "replay":
                self._replay(peer, request)
            case _:
                self._reply(peer, request, {})

    def _complete(self, peer: bytes, request: Json) -> None:
        pattern = check_pattern(request["pattern"])
        resumed = {topic: settled for _, topic, settled in request["resume"] or ()}
        start = 1 if request["since"] == "earliest" or request["resume"] is not None else None
        rows = []
        for topic, head in self._heads.items():
            if pattern.matches(topic):
                rows.append((ORIGIN, topic, resumed.get(topic, (start or head + 1) - 1) + 1, head))
        self.subscriptions[request["sub"]] = request
        self._reply(peer, request, {"streams": rows, "skip": self.skip})

    def _replay(self, peer: bytes, request: Json) -> None:
        rows, blobs, gone = [], [], []
        for origin, topic, first, last in request["ranges"]:
            lost = self.gone_to.get(topic, 0)
            if first <= lost:
                gone.append((origin, topic, first, min(last, lost)))
            for position, frame in self._log:
                if frame.topic == topic and frame.sequence > lost and frame.last >= first and frame.sequence <= last:
                    rows.append(position)
                    blobs.append(encode(frame))
        self._reply(peer, request, {"gone": gone, "rows": rows}, blobs)

    def _reply(self, peer: bytes, request: Json, fields: Json, blobs: list[bytes] | None = None) -> None:
        self._ctl.send_multipart([peer, pack_reply(request["id"], fields), *(blobs or ())])

    def _publication(self, frame: Frame) -> None:
        if frame.ephemeral:
            self._out.send(encode(frame) + POSITION.pack(0))
            return
        if self.lose_frames:
            self.lose_frames -= 1
            return
        last = self._last.get(frame.publisher, 0)
        if frame.number > last + 1:
            self._out.send(pack_directed(frame.publisher, {"t": "resend", "first": last + 1}))
            return
        if frame.number == last + 1:
            self._admit(frame)
        self._receipt(frame)

    def _admit(self, frame: Frame) -> None:
        self._last[frame.publisher] = frame.number + frame.count - 1
        self.frames.append(frame)
        if frame.topic in self.reject:
            return
        first = self._heads.get(frame.topic, 0) + 1
        self._heads[frame.topic] = first + frame.count - 1
        logged = frame._replace(origin=ORIGIN, sequence=first)
        self._log.append((self._position, logged))
        if self.lose_live:
            self.lose_live -= 1
        else:
            self._out.send(encode(logged) + POSITION.pack(self._position))
        self._position += frame.count

    def _receipt(self, frame: Frame) -> None:
        if self.lose_receipts:
            self.lose_receipts -= 1
            return
        message: Json = {"t": "receipts", "origin": ORIGIN, "runs": [], "duplicates": [], "rejected": []}
        if frame.topic in self.reject:
            message["rejected"].append((frame.number, frame.count, "test", "this topic is refused"))
        for _, logged in self._log:
            if (logged.publisher, logged.number) == (frame.publisher, frame.number):
                message["runs"].append((frame.number, frame.count, frame.topic, logged.sequence))
        self._out.send(pack_directed(frame.publisher, message))

    @property
    def log(self) -> list[Frame]:
        """The frames of the log."""
        return [frame for _, frame in self._log]
