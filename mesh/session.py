"""The session: what one bus has with its node, and the one thread that owns the sockets.

    other threads ──call, stir──▶ ┌ sleep ─▶ read ─▶ attach ─▶ collect ─▶ send ┐
                                  └────────────────────◀───────────────────────┘

A turn: sleep until something arrives or is due → read the sockets that have something → send what is ready. The thread
sleeps in one poll; other threads wake it through an eventfd, and only when it is asleep. While frames are out,
publishers do not wake it at all: the receipts do, or a millisecond (Nagle, RFC 896), so a publisher in a tight loop
does not pay for a switch of threads with every event. One that publishes now and then is in none, and wakes it.

A turn that gave handlers something ends with that: their threads need the interpreter, and get it when this one sleeps
again. What the turn would have done else is done when they are done (they wake it), or after a millisecond.

An error of the machinery itself costs the attachment and never the thread, whatever it is: the state that matters
(outbox, trackers, settlement) is made to survive exactly that, and without this thread every receipt would be waited
for in vain. Nothing is hidden by it: the error is logged with its traceback, and `attached` is false until a new
attachment holds, which is tried at growing intervals (`mesh.attaching`).

What is heard from the node, and whose it is, is in `mesh.hearing`; here is only when it is read.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import zmq

from mesh import timeslice
from mesh.attaching import Attaching
from mesh.courses import Courses
from mesh.errors import BusClosed
from mesh.frame import PUBLISHER_BYTES
from mesh.hearing import Hearing
from mesh.link import RETRY_S
from mesh.location import is_address
from mesh.marks import Marks, marks_path
from mesh.outbox import Outbox
from mesh.poll import Poll
from mesh.spool import Spool
from mesh.wiring import Wiring

_log = logging.getLogger("mesh")

IDLE_S = 5.0
"""Longest sleep."""

GATHER_S = 0.001
"""While receipts are on their way, publishers do not wake the thread: what they publish in this time is one batch.
Behind a frame of ephemeral events, which has no receipt, it is just this time."""

ALONE_S = 0.0005
"""But an event that nothing waits in front of is sent, when so much time has passed since the last frame: its program
is in no tight loop, and where the node is late it would be kept from it for the rest of the millisecond."""

GATHER_WHILE_S = 0.02
"""A node that has not receipted for so long is waited for in a longer sleep."""

FAILED = "the bus failed, and the log says why; connect a new one"
UNSURE = "the bus was closed before the node receipted this event; it may be stored or not"
SPOOLED = "the bus was closed before the node receipted this event; it is in the spool, which the next start sends"

LATER_S = 0.001
"""How much later the rest of a turn is done when handlers were given something in it."""


class Session:
    """One attachment that heals. `call`, `stir`, `attached` and `stop` are for any thread."""

    def __init__(self, place: str, name: str, events_max: int, bytes_max: int, spool: Spool | None) -> None:
        self.id = spool.kept.publisher if spool else secrets.token_bytes(PUBLISHER_BYTES)
        self.place = place
        self.name = name
        self.drained = threading.Event()
        self.outbox = Outbox(self.id, events_max, bytes_max, self.stir, spool)
        self.courses = Courses(self.id, self.stir)
        self.marks = Marks(None if is_address(place) else marks_path(Path(place), self.id))
        self.wiring = Wiring()
        self._spooled = spool is not None
        self._poll = Poll()
        self._asleep = False
        self._commands: deque[Callable[[float], object]] = deque()
        self._stopping = self._draining = False
        self._attaching = Attaching(
            self.id, name, place, self._poll, self.outbox, self.courses, self.marks, self.wiring
        )
        self._attachment = self._attaching.attachment
        self.attached = self._attaching.attached
        self._hearing = Hearing(self.id, self.outbox, self.courses, self._attaching)
        self.reading = self._hearing.reading
        self._full = self._later = False
        self._thread = threading.Thread(target=self._run, name=f"mesh session {name}", daemon=True)
        self._thread.start()

    # ---- any thread

    def stir(self) -> None:
        """Wake the I/O thread if it sleeps."""
        if self._asleep:
            self._asleep = False
            self.outbox.wake_for(every=False)
            self._poll.wake()

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
            self.call(self._attaching.goodbye)
            self._attaching.left.wait(timeout / 2)
        self._stopping = True
        self.call(lambda now: None)
        self._thread.join(timeout / 2)

    @property
    def here(self) -> bool:
        """Whether the caller is the I/O thread."""
        return threading.current_thread() is self._thread

    # ---- the turn

    def _run(self) -> None:
        timeslice.shorten()
        try:
            while not self._stopping:
                try:
                    self._turn()
                except Exception as error:  # whatever it is: see above
                    self._stumble(error)
            self._attaching.detach(monotonic(), "the bus was closed")
        finally:
            self.attached.clear()
            self.outbox.close(FAILED)
            self.outbox.give_up(BusClosed(SPOOLED if self._spooled else UNSURE))

    def _turn(self) -> None:
        ready = self._sleep(monotonic())
        now = monotonic()
        while self._commands:
            self._commands.popleft()(now)
        self._read(ready, now)
        self._later = self.courses.wake() and not self._later
        if not self._later:
            self._rest(now)

    def _rest(self, now: float) -> None:
        """What a turn does besides reading. Events first: somebody waits for them."""
        if self._attachment.phase == "attached":
            link = self._attaching.link
            assert link is not None  # else it would not be attached
            self._full = not self.outbox.send(link.send_frame, now)
        else:
            self._full = False
            self.outbox.express.refuse()
        self._attaching.advance(now)
        self.courses.outcomes.collect(now)
        self.courses.overdue(now)
        if self._attachment.phase == "attached":
            self._send(now)
        self.courses.sweep(now)
        if self._draining and self.outbox.empty and self.courses.empty:
            self.drained.set()

    def _stumble(self, error: Exception) -> None:
        """A defect in here, or a node that does not keep to the protocol: begin anew with what is safe."""
        self.courses.wake()
        _log.error("the attachment to the node at %s is renewed after an error", self.place, exc_info=error)
        self._attaching.detach(monotonic(), "an error")

    def _sleep(self, now: float) -> list[zmq.Socket[bytes]]:
        self._asleep = True
        outbox = self.outbox
        sent_at = max(outbox.flight.in_flight_since, outbox.express.sent_at)
        gathering = (
            self._full
            or now - outbox.flight.in_flight_since < GATHER_WHILE_S
            or now - outbox.express.sent_at < GATHER_S
        )
        attached = self._attachment.phase == "attached"
        every = attached and not gathering
        alone_from = sent_at + ALONE_S if attached and not self._full else math.inf
        outbox.wake_for(every, alone_from)
        sending = (every or now >= alone_from) and outbox.ready
        due = now if self._commands or sending else self._next_at(now)
        if gathering:
            due = min(due, now + GATHER_S)
        ready = self._poll.sleep(due - now)
        self._asleep = False
        outbox.wake_for(every=False)
        return ready

    def _next_at(self, now: float) -> float:
        if self._later:
            return now + LATER_S
        times = [now + IDLE_S]
        if self._attachment.phase != "attached":
            times.append(self._attachment.deadline)
        elif (resend_at := self.outbox.flight.resend_at) is not None:
            times.append(resend_at)
        link = self._attaching.link
        if link is not None and link.blocked:
            times.append(now + RETRY_S)
        course_at = self.courses.next_at(now)
        return min(times) if course_at is None else min(*times, course_at)

    # ---- reading

    def _read(self, ready: list[zmq.Socket[bytes]], now: float) -> None:
        attaching = self._attaching
        link = attaching.link
        if link is None:
            if ready:
                attaching.inquire(now)
            return
        if link.blocked:
            link.push()
        if link.frames in ready:
            attaching.meet(link, now)
        if link.ctl in ready and attaching.link is link:
            link.replies(now)
        if link.out in ready and attaching.link is link:
            self._hearing.hear(link, now)

    # ---- sending

    def _send(self, now: float) -> None:
        link = self._attaching.link
        assert link is not None  # only called while attached
        self.courses.register(now)
        self.wiring.send(link, now)
        self.courses.ask(now)
        self.courses.report(now)
