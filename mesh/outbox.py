"""The outbox: what was published and has no receipt yet. Numbers and bounds here, the ways out elsewhere.

    put ─▶ fresh ──framed──▶ flight ──▶ receipted, forgotten        (`mesh.gathering`, `mesh.flight`: go-back-N)
           runs
    express.put ───────────▶ express ──▶ sent, forgotten            (`mesh.express`)

Any thread puts, and the order of calls is the order of numbers. Everything else belongs to the I/O thread.

A thread that publishes in a loop keeps the interpreter. The I/O thread gets its turn after 5 ms, and lets go of it
again with every frame that it hashes and sends: so one frame left in 10 ms, 100,000 events a second while 400,000 came,
until a bound was met. Now who has filled a frame lets the I/O thread finish sending. Of ephemeral events, one took 7 ms
instead of 160 from publish to handler (median), and a twentieth more of them came through; of logged ones, a node that
has a processor to itself receipted an eighth more.

With a spool (`mesh.spool`) an event is in the file before it is here, a frame before it can be sent, and what an
earlier start has left is here from the beginning.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from mesh.errors import MeshError, SpoolError
from mesh.express import Express
from mesh.flight import Flight
from mesh.gathering import Gathering
from mesh.outgoing import Outgoing
from mesh.receipt import Answer, Receipt
from mesh.spool import Spool
from mesh.spool_records import Kept

FRAMES_PER_TURN = 200
"""Frames handed on before whatever has arrived meanwhile is looked at."""

LET_SEND_S = 0.1
"""Whoever has filled a frame waits no longer than this. A signal handler may have interrupted a `put` whose lock the
I/O thread waits for: neither would ever go on."""


class Outbox:
    """Unreceipted events of one session, bounded by count and bytes. Putting calls `wake` as `wake_for` says."""

    def __init__(
        self,
        publisher: bytes,
        events_max: int,
        bytes_max: int,
        wake: Callable[[], object],
        spool: Spool | None = None,
    ) -> None:
        self.publisher = publisher
        self.flight = Flight()
        self._sending = threading.RLock()  # held by the I/O thread while it sends
        self.express = Express(publisher, events_max, bytes_max, wake, self._tell_flushes, self._let_send)
        self._fresh = Gathering(
            events_max,
            bytes_max,
            wake,
            _full,
            spool.keep if spool else None,
            None if spool else self._let_send,  # whoever writes to a spool holds a lock that the I/O thread needs
        )
        self._framed_to = 0
        self._taken: deque[Outgoing] = deque()
        self._flushes: list[tuple[int, int, threading.Event]] = []
        self._spool = spool
        self.put: Callable[[str, bytes], Receipt] = self._fresh.put_kept if spool else self._fresh.put
        """Take one event in: topic, packed record. Raises `BusClosed`, `BufferFull` or `SpoolError`."""
        if spool is not None:
            self._restore(spool.kept)

    # ---- any thread

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything put so far has its receipt."""
        gate = threading.Event()
        with self._fresh.lock:
            target = (self._fresh.count, self.express.coming.count, gate)
            self._flushes.append(target)
        return self._reached(target) or gate.wait(timeout)

    def close(self, reason: str) -> None:
        """Take nothing more in; `reason` is what `BusClosed` says."""
        self._fresh.close(reason)
        self.express.coming.close(reason)

    def forked(self, reason: str) -> None:
        """This is a copy in a child process: another thread may have held a lock when it was made."""
        self._fresh.forked(reason)
        self.express.coming.forked(reason)
        if self._spool is not None:
            self._spool.forked()

    def _let_send(self) -> None:
        if self._sending.acquire(timeout=LET_SEND_S):
            self._sending.release()

    # ---- the I/O thread

    def wake_for(self, every: bool, alone_from: float = math.inf) -> None:
        """Whether each put wakes the I/O thread, or else from when on (monotonic s) one that nothing waits before."""
        for gathering in (self._fresh, self.express.coming):
            gathering.asleep, gathering.alone_from = every, alone_from

    @property
    def first(self) -> int:
        """The oldest number without a receipt, or the next one to be given."""
        return self.flight.receipted_to + 1

    @property
    def ready(self) -> bool:
        """Whether there is something to send."""
        return bool(self._taken or self._fresh or self.express or self.flight.next)

    @property
    def empty(self) -> bool:
        """Whether every event has its receipt."""
        return self.flight.receipted_to == self._fresh.count and not self.express

    def send(self, take: Callable[[bytes], bool], now: float) -> bool:
        """Hand to `take` what is to be sent, a turn's worth of it; False when it did not take everything it was given.

        What it does not take is kept. `now`: monotonic seconds.
        """
        with self._sending:
            return self._send(take, now)

    def _send(self, take: Callable[[bytes], bool], now: float) -> bool:
        self.flight.resend_overdue(now)
        for _ in range(FRAMES_PER_TURN):
            express, run = self.express.next(), self.next()
            if express is not None:
                if not take(express.data):
                    return False
                self.express.sent(now)
            if run is not None:
                if not take(run.data):
                    return False
                self.flight.sent(now)
            if express is run is None:
                return not self._taken
        return True

    def next(self) -> Outgoing | None:
        """The frame to send now, made from fresh records if need be; call `flight.sent` once the socket took it.

        None also when the spool has no room for that frame: others must be receipted first, then ask again.
        """
        if self.flight.next is None:
            if not self._taken and self._fresh:
                self._taken = self._fresh.take()
            if self._taken:
                try:
                    self._frame(self._taken[0])
                except SpoolError:
                    return None
                self._taken.popleft()
        return self.flight.next

    def attach(self) -> None:
        """A node is there."""
        self.flight.attach()
        self.express.attach()

    def receipts(self, message: dict[str, Any], now: float) -> None:
        """Resolve what a `receipts` message speaks of. `now`: monotonic seconds."""
        flight = self.flight
        flight.receipts(message, now)
        self._fresh.left(flight.receipted_to, flight.bytes_gone)
        if self._spool is not None:
            with self._fresh.lock:
                self._spool.receipted(flight.receipted_to)
        self._tell_flushes()

    def give_up(self, error: MeshError) -> None:
        """Resolve whatever is left as rejected: this start will not send it any more."""
        self.express.detach()
        self.flight.give_up(error)
        for run in (*self._taken, *self._fresh.take()):
            run.answers.say_all(Answer("rejected", error=error))
        if self._spool is not None:
            with self._fresh.lock:
                self._spool.close()

    def _frame(self, run: Outgoing) -> None:
        if self._spool is not None:
            with self._fresh.lock:
                self._spool.frame(self._framed_to + 1, run.count)
        self._fly(run)

    def _fly(self, run: Outgoing) -> None:
        run.frame(self.publisher, self._framed_to + 1, 0)
        self._framed_to = run.last
        self.flight.add(run)

    def _restore(self, kept: Kept) -> None:
        """Begin with what an earlier start has left: its frames as they were, then what was in none."""
        self._framed_to = kept.first - 1
        self.flight = Flight(self._framed_to)
        events = iter(kept.events)
        for count in kept.frames:
            (topic, record), *others = islice(events, count)
            run = Outgoing(topic, record)
            for _, record in others:
                run.add(record)
            self._fly(run)
        left = Gathering(sys.maxsize, sys.maxsize, bool, _full)
        for event in events:
            left.put(*event)
        self._taken = left.take()
        self._fresh.count = self._framed_to + left.count
        self._fresh.size_bytes = sum(len(record) for _, record in kept.events)
        self._fresh.left(kept.first - 1, 0)
        kept.events.clear()

    def _tell_flushes(self) -> None:
        with self._fresh.lock:
            for flush in [flush for flush in self._flushes if self._reached(flush)]:
                flush[2].set()
                self._flushes.remove(flush)

    def _reached(self, flush: tuple[int, int, threading.Event]) -> bool:
        return self.flight.receipted_to >= flush[0] and self.express.gone_count >= flush[1]


def _full(bound: str) -> str:
    return f"{bound} wait for a receipt, which is the bound; flush() before publishing more, or drop the event"
