"""A program: the library's own rules around simulated sockets. What `mesh.session` does, without its thread.

    publish ─▶ Outbox ─▶ line          line ─▶ Courses ─▶ Hands (handlers with a working time) ─▶ reports ─▶ line

Outbox, courses, following, settlement and reports are the ones that applications run; only the loop around them is
written anew here.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, cast

from mesh.attachment import Attachment
from mesh.course import Course
from mesh.courses import Courses
from mesh.frame import content_hash, pack_record
from mesh.link import Link
from mesh.options import check_options
from mesh.outbox import Outbox
from mesh.packing import pack_meta, pack_payload
from mesh.requests import BEACON, DIRECTED, Json, session_topic, unpack_directed
from mesh.topic import check_topic
from tools.simulate.hands import Hands
from tools.simulate.ledger import Ledger, Publication, Violated, Wanted
from tools.simulate.line import LOCAL_US, Line
from tools.simulate.world import Sleeper

if TYPE_CHECKING:
    from tools.simulate.machine import Machine

_ANSWER_S = 30.0
_MESSAGES_PER_TURN = 500
_ATTEMPTS, _BACKOFF_S = 6, (0.2, 2.0)
_META = pack_meta("", None)


class Program:
    """One process that embeds the library. `attachments` counts how often it has found its node."""

    def __init__(self, machine: Machine, name: str, life: int, ledger: Ledger) -> None:
        self.world = machine.world
        self.machine = machine
        self.name = name
        self.life = life
        self.ledger = ledger
        self.attachments = 0
        self.dead = False
        self.draw = self.world.draw("program", name, life)
        self.session = self.draw.randbytes(8)
        self.outbox = Outbox(self.session, 100_000, 64 << 20, self.wake)
        self.outbox.wake_for(every=True)
        self.courses = Courses(self.session, self.wake)
        self._attachment = Attachment()
        self._address = session_topic(self.session)
        self._line: Line | None = None
        self._pending: deque[Publication] = deque()
        self._stalled_until_us = 0
        self._subs = self._lines = 0
        self._sleeper = Sleeper(self.world, self._turn)
        self.wake()

    # ── what its application does ────────────────────────────────────────────────────────────────────────────────────

    def publish(self, topic: str, filling: int) -> None:
        """Publish one event; its payload is its number in the ledger."""
        number = len(self.ledger.publications)
        wire, body = check_topic(topic), pack_payload({"n": number, "x": "x" * filling})
        record = pack_record(self.machine.now().wall_us, content_hash(wire, body), _META, body)
        receipt = self.outbox.put(topic, record)
        publication = Publication(number, topic, self.machine.name, self.world.now_us, receipt)
        self.ledger.publications.append(publication)
        self._pending.append(publication)

    def subscribe(self, wanted: Wanted, queue: int) -> Course:
        """Subscribe; `wanted` is told when it is registered."""
        self._subs += 1
        options = check_options(
            wanted.pattern, wanted.name, wanted.durable, "now", _ATTEMPTS, 60.0, _BACKOFF_S, 1, queue
        )
        course = Course(self._subs, options)
        passed, finished = self.courses.outcomes.passed, self.courses.outcomes.finished
        course.runner = Hands(self, wanted, partial(finished, course), partial(passed, course))
        self.courses.add(course)
        self.wake()
        return course

    def unsubscribe(self, course: Course) -> None:
        """End a subscription in good order."""
        self.courses.end(course, self.world.now_s)
        self.wake()

    def ask(self, do: str, fields: Json) -> None:
        """An operator's request from this machine, which must be granted."""

        def answered(reply: Json, *_: object) -> None:
            if not reply.get("ok"):
                raise Violated("what an operator may ask is granted", f"{do} {fields}: {reply}", self.name)

        if self._line is not None:
            self._line.request(do, fields, answered, self.world.now_s)

    def kill(self) -> None:
        """The process dies without a word."""
        self.dead = True
        if self._line is not None:
            self._line.close()

    def stall(self, seconds: float) -> None:
        """The process stands still for a while."""
        self._stalled_until_us = self.world.now_us + int(seconds * 1e6)

    @property
    def attached(self) -> bool:
        """Whether it has its node."""
        return self._attachment.phase == "attached"

    # ── the turn ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def wake(self) -> None:
        """Take a turn now."""
        self._sleeper.wake(max(self.world.now_us, self._stalled_until_us))

    def wake_soon(self) -> None:
        """Something is on its way from the node."""
        self._sleeper.wake(max(self.world.now_us + LOCAL_US, self._stalled_until_us))

    def _turn(self) -> None:
        if self.dead:
            return
        if self._stalled_until_us > self.world.now_us:
            self.wake()
            return
        now = self.world.now_s
        self._read(now)
        self.courses.wake()
        self._advance(now)
        self.courses.outcomes.collect(now)
        if self.attached and self._line is not None:
            self.courses.register(now)
            self.outbox.send(self._line.send_frame, now)
            self.courses.ask(now)
            self.courses.report(now)
        self.courses.sweep(now)
        self._sleeper.wake(self.world.now_us + max(1, int((self._next_at(now) - now) * 1e6) + 1))

    def _next_at(self, now: float) -> float:
        times = [now + 5.0]
        if not self.attached:
            times.append(self._attachment.deadline)
        elif self.outbox.ready:
            times.append(now)
        elif (resend_at := self.outbox.flight.resend_at) is not None:
            times.append(resend_at)
        course_at = self.courses.next_at(now)
        return min(times) if course_at is None else min(*times, course_at)

    def _advance(self, now: float) -> None:
        step = self._attachment.step(now)
        if step == "connect":
            self._lines += 1
            self._line = Line(self.machine, self, f"{self.name}.{self.life}.{self._lines}".encode())
            self._attachment.connecting(now)
        elif step == "give up":
            self._detach(now)
        elif self.attached and self._line is not None:
            since = self._line.waiting_since()
            if since is not None and now - since > _ANSWER_S:
                self._detach(now)

    def _detach(self, now: float) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self.courses.detached()
        self._attachment.away(now)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, now: float) -> None:
        line = self._line
        if line is None:
            return
        if line.there is False:
            self._detach(now)
            return
        if line.there and self._attachment.phase == "connecting":
            self._attachment.greeting(now)
            line.request("hello", {"name": self.name, "pid": self.life, "first": self.outbox.first}, self._greeted, now)
        line.replies(now)
        for parts in line.messages(_MESSAGES_PER_TURN):
            self._message(parts[0], parts[1:], now)
            if self._line is not line:
                return
        if line.arrived:
            self.wake_soon()

    def _greeted(self, reply: Json, _: list[bytes], now: float) -> None:
        if not reply.get("ok") or self._line is None:
            raise Violated("a node takes its programs in", f"{self.name} was told {reply}", self.name)
        self.attachments += 1
        self._attachment.attached(now)
        self.outbox.attach()
        # A line offers what the library's rules use of its sockets.
        self.courses.attached(cast(Link, self._line), int(reply.get("reported", 0)))

    def _message(self, part: bytes, blobs: list[bytes], now: float) -> None:
        if part[:1] == DIRECTED:
            if part.startswith(self._address):
                self._directed(unpack_directed(part), blobs, now)
        elif part[:1] == BEACON:
            self.courses.arrivals.beacon(part, now)
        else:
            self.courses.arrivals.frame(part, now)

    def _directed(self, message: Json, blobs: list[bytes], now: float) -> None:
        match message["t"]:
            case "receipts":
                self.outbox.receipts(message, now)
                self._receipted()
            case "resend":
                self.outbox.flight.resend(message["first"], now)
            case "redeliver":
                self.courses.arrivals.redeliver(message, blobs)
            case "hello" | "goodbye":
                self._detach(now)
            case other:
                raise Violated("a node speaks the protocol", f"{self.name} was sent {other!r}", self.name)

    def _receipted(self) -> None:
        while self._pending and self._pending[0].receipt.done:
            publication = self._pending.popleft()
            if publication.receipt.status != "accepted":
                raise Violated("what is published is accepted", f"{publication}", self.name)
            publication.receipted_us = self.world.now_us
            self.ledger.named(publication.id, publication.number)
