"""The session: one bus's attachment to its node, and the one thread that owns the sockets.

                 node.json read, sockets made      0x01: say hello            reply
    away ─────────────────────────────────▶ connecting ────────▶ greeting ─────────▶ attached
     ▲                                          │ 1 s                │ 2 s               │ 0x00, goodbye,
     └───────────── sockets closed ◀────────────┴────────────────────┴───────────────────┘ no answer for 30 s
       again after 0.05 s, 0.1 s … 1 s

A turn: sleep until something arrives or is due → read the sockets → send what is ready. The thread sleeps in one poll;
other threads wake it through an eventfd, and only when it is asleep. While frames are out, publishers do not wake it at
all: the receipts do, or a millisecond (Nagle, RFC 896), so a publisher in a tight loop does not pay for a switch of
threads with every event.

An error of the machinery itself costs the attachment and never the thread: the state that matters (outbox, trackers,
settlement) is made to survive exactly that.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Literal

import zmq

from mesh.courses import Courses
from mesh.errors import BusClosed, MeshError
from mesh.frame import PUBLISHER_BYTES
from mesh.link import RETRY_S, Link
from mesh.location import read_endpoints
from mesh.marks import Marks, marks_path
from mesh.outbox import Outbox
from mesh.requests import BEACON, DIRECTED, Json, refusal, session_topic, unpack_directed
from mesh.spool import Spool
from mesh.wake import Wake

_log = logging.getLogger("mesh")

CONNECT_S = 1.0
"""How long to wait for a node at the endpoints of node.json before that file is read again."""

HELLO_S = 2.0
"""How long a node may take to answer a hello."""

ANSWER_S = 30.0
"""A request without an answer for so long: attach anew, which repeats whatever matters."""

BACKOFF_S = (0.05, 1.0)
"""Waits between attempts to attach: the first, and the longest."""

IDLE_S = 5.0
"""Longest sleep."""

GATHER_S = 0.001
"""While receipts are on their way, publishers do not wake the thread: what they publish in this time is one batch."""

GATHER_WHILE_S = 0.02
"""A node that has not receipted for so long is waited for in a longer sleep."""

UNSURE = "the bus was closed before the node receipted this event; it may be stored or not"
SPOOLED = "the bus was closed before the node receipted this event; it is in the spool, which the next start sends"

MESSAGES_PER_TURN = 500
FRAMES_PER_TURN = 200

Phase = Literal["away", "connecting", "greeting", "attached"]


class Session:
    """One attachment that heals. `call`, `stir`, `attached` and `stop` are for any thread."""

    def __init__(self, data_dir: Path, name: str, events_max: int, bytes_max: int, spool: Spool | None) -> None:
        self.id = spool.kept.publisher if spool else secrets.token_bytes(PUBLISHER_BYTES)
        self._address = session_topic(self.id)
        self.data_dir = data_dir
        self.name = name
        self.attached = threading.Event()
        self.drained = threading.Event()
        self._left = threading.Event()
        self.outbox = Outbox(self.id, events_max, bytes_max, self.stir, spool)
        self.courses = Courses(self.id, self.stir)
        self.marks = Marks(marks_path(data_dir, self.id))
        self._spooled = spool is not None
        self._wake = Wake()
        self._asleep = False
        self._commands: deque[Callable[[float], object]] = deque()
        self._stopping = self._draining = False
        self._phase: Phase = "away"
        self._link: Link | None = None
        self._poller = zmq.Poller()
        self._deadline = 0.0
        self._backoff_s = BACKOFF_S[0]
        self._attached_at = 0.0
        self._full = False
        self._thread = threading.Thread(target=self._run, name=f"mesh session {name}", daemon=True)
        self._thread.start()

    # ---- any thread

    def stir(self) -> None:
        """Wake the I/O thread if it sleeps."""
        if self._asleep:
            self._asleep = self.outbox.asleep = False
            self._wake.call()

    def call(self, command: Callable[[float], object]) -> None:
        """Run `command(now)` on the I/O thread, soon."""
        self._commands.append(command)
        self.stir()

    def drain(self, timeout: float) -> bool:
        """End every subscription, and wait until all is reported and receipted."""

        def begin(now: float) -> None:
            self._draining = True
            self.courses.end_all(now)

        self.call(begin)
        return self.drained.wait(timeout)

    def stop(self, timeout: float) -> None:
        """Say goodbye if a node is there, close the sockets and end the thread."""
        if self.attached.is_set():
            self.call(self._goodbye)
            self._left.wait(timeout / 2)
        self._stopping = True
        self.call(lambda now: None)
        self._thread.join(timeout / 2)

    @property
    def here(self) -> bool:
        """Whether the caller is the I/O thread."""
        return threading.current_thread() is self._thread

    # ---- the turn

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception as error:
                self._stumble(error)
        self._detach(monotonic(), "the bus was closed")
        self.outbox.give_up(BusClosed(SPOOLED if self._spooled else UNSURE))

    def _turn(self) -> None:
        self._sleep(monotonic())
        now = monotonic()
        while self._commands:
            self._commands.popleft()(now)
        self._read(now)
        self._advance(now)
        self.courses.outcomes.collect(now)
        self.courses.overdue(now)
        if self._phase == "attached":
            self._send(now)
        self.courses.sweep(now)
        if self._draining and self.outbox.empty and self.courses.empty:
            self.drained.set()

    def _stumble(self, error: Exception) -> None:
        """A defect in here, or a node that does not keep to the protocol: begin anew with what is safe."""
        _log.error("the attachment to the node in %s is renewed after an error", self.data_dir, exc_info=error)
        self._detach(monotonic(), "an error")

    def _sleep(self, now: float) -> None:
        self._asleep = True
        gathering = self._full or now - self.outbox.flight.in_flight_since < GATHER_WHILE_S
        self.outbox.asleep = self._phase == "attached" and not gathering
        due = now if self._commands or (self.outbox.asleep and self.outbox.ready) else self._next_at(now)
        if gathering:
            due = min(due, now + GATHER_S)
        self._poller_of_turn().poll(math.ceil(max(0.0, due - now) * 1000))
        self._asleep = self.outbox.asleep = False
        self._wake.hush()

    def _poller_of_turn(self) -> zmq.Poller:
        if not self._poller.sockets:
            self._poller.register(self._wake.fd, zmq.POLLIN)
            for socket in self._link.sockets if self._link else ():
                self._poller.register(socket, zmq.POLLIN)
        return self._poller

    def _next_at(self, now: float) -> float:
        times = [now + IDLE_S]
        if self._phase != "attached":
            times.append(self._deadline)
        elif (resend_at := self.outbox.flight.resend_at) is not None:
            times.append(resend_at)
        if self._link is not None and self._link.blocked:
            times.append(now + RETRY_S)
        course_at = self.courses.next_at(now)
        return min(times) if course_at is None else min(*times, course_at)

    # ---- attaching

    def _advance(self, now: float) -> None:
        """Take the next step towards an attachment when its time has come."""
        if self._phase == "attached":
            self._check_answers(now)
        elif now < self._deadline:
            return
        elif self._phase == "away":
            self._connect(now)
        else:
            self._detach(now, "no answer")

    def _connect(self, now: float) -> None:
        endpoints = read_endpoints(self.data_dir)
        if endpoints is None:
            self._wait(now)
            return
        self._link = Link(endpoints, self.id)
        self._poller = zmq.Poller()
        self._phase, self._deadline = "connecting", now + CONNECT_S

    def _greet(self, link: Link, now: float) -> None:
        self._phase, self._deadline = "greeting", now + HELLO_S
        fields = {"name": self.name, "pid": os.getpid(), "first": self.outbox.first}
        link.request("hello", fields, self._greeted, now)

    def _greeted(self, reply: Json, _: list[bytes], now: float) -> None:
        if not reply.get("ok"):
            _log.error("the node in %s refused this program: %s", self.data_dir, refusal(reply))
            self._detach(now, "refused")
            return
        assert self._link is not None  # its reply was read from there
        self._phase, self._attached_at, self._full = "attached", now, False
        self._left.clear()
        _log.info("attached to node %s in %s", reply.get("node"), self.data_dir)
        self.outbox.attach()
        self.courses.attached(self._link, int(reply.get("reported", 0)))
        self.marks.attached()
        self.attached.set()

    def _check_answers(self, now: float) -> None:
        since = self._link.waiting_since() if self._link else None
        if since is not None and now - since > ANSWER_S:
            self._detach(now, f"a request had no answer for {ANSWER_S:g} s")

    def _detach(self, now: float, reason: str) -> None:
        if self._link is not None:
            self.marks.detached()  # before the node sees the sockets go: this process lives
            self._link.close()
            self._link = None
            self._poller = zmq.Poller()
            self._left.set()
        if self._phase == "attached":
            _log.info("detached from the node in %s: %s", self.data_dir, reason)
            if now - self._attached_at > BACKOFF_S[1]:
                self._backoff_s = BACKOFF_S[0]
        self.attached.clear()
        self.outbox.express.detach()
        self.courses.detached()
        self._wait(now)

    def _wait(self, now: float) -> None:
        self._phase, self._deadline, self._full = "away", now + self._backoff_s, False
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])

    def _goodbye(self, now: float) -> None:
        if self._link is None:
            self._left.set()
        else:
            self._link.request("goodbye", {}, lambda *_: self._left.set(), now)

    # ---- reading

    def _read(self, now: float) -> None:
        link = self._link
        if link is None:
            return
        link.push()
        there = link.presence()
        if there is False:
            self._detach(now, "the node went away")
            return
        if there and self._phase == "connecting":
            self._greet(link, now)
        link.replies(now)
        for part, blobs in link.messages(MESSAGES_PER_TURN):
            self._message(part, blobs, now)
            if self._link is not link:
                return

    def _message(self, part: bytes, blobs: list[bytes], now: float) -> None:
        first = part[:1]
        if first == DIRECTED:
            if part.startswith(self._address):  # the empty prefix of a pattern such as `*` lets in what is for others
                self._directed(unpack_directed(part), blobs, now)
        elif first == BEACON:
            self.courses.arrivals.beacon(part, now)
        else:
            self.courses.arrivals.frame(part, now)

    def _directed(self, message: Json, blobs: list[bytes], now: float) -> None:
        match message.get("t"):
            case "receipts":
                self.outbox.receipts(message, now)
            case "resend":
                self.outbox.flight.resend(message["first"], now)
            case "redeliver":
                self.courses.arrivals.redeliver(message, blobs)
            case "hello":
                if self._phase == "attached":
                    self._detach(now, "the node does not know this session any more")
            case "goodbye":
                self._detach(now, "the node stops")
            case other:
                raise MeshError(f"the node sent a directed message of kind {other!r}, which this version does not know")

    # ---- sending

    def _send(self, now: float) -> None:
        assert self._link is not None  # only called while attached
        self.courses.register(now)
        self.outbox.flight.resend_overdue(now)
        self._send_ephemeral(self._link)
        self._send_frames(self._link, now)
        self.courses.ask(now)
        self.courses.report(now)

    def _send_ephemeral(self, link: Link) -> None:
        for _ in range(FRAMES_PER_TURN):
            framed = self.outbox.express.next()
            if framed is None:
                return
            self.outbox.express.sent(framed, link.send_frame(framed.data))

    def _send_frames(self, link: Link, now: float) -> None:
        self._full = False
        for _ in range(FRAMES_PER_TURN):
            framed = self.outbox.next()
            if framed is None:
                return
            if not link.send_frame(framed.data):
                self._full = True
                return
            self.outbox.flight.sent(now)
