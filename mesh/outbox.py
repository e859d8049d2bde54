"""The outbox: what was published and has no receipt yet. Numbers and bounds here, the ways out elsewhere.

    put ─▶ fresh ──framed──▶ flight ──▶ receipted, forgotten        (`mesh.flight`: go-back-N)
           records
    put_ephemeral ─────────▶ express ──▶ sent or dropped            (`mesh.express`)

Any thread puts, under one lock, which makes the order of calls the order of numbers (reentrant, so that a signal
handler may publish too). Everything else belongs to the I/O thread.

With a spool (`mesh.spool`) an event is in the file before it is here, a frame before it can be sent, and what an
earlier start has left is here from the beginning. A signal handler that publishes while the file is being written
leaves its event to the call it interrupted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from mesh.errors import BufferFull, BusClosed, MeshError, SpoolError
from mesh.express import Express
from mesh.flight import Flight
from mesh.framed import Framed, make_framed, reject_all, take_run
from mesh.receipt import Receipt
from mesh.spool import Spool
from mesh.spool_records import Kept

FRAMES_PER_TURN = 200
"""Frames handed on before whatever has arrived meanwhile is looked at."""


class Outbox:
    """Unreceipted events of one session, bounded by count and bytes. `put` calls `wake` while `asleep` is set."""

    def __init__(
        self,
        publisher: bytes,
        events_max: int,
        bytes_max: int,
        wake: Callable[[], object],
        spool: Spool | None = None,
    ) -> None:
        self.publisher = publisher
        self.events_max = events_max
        self.bytes_max = bytes_max
        self.asleep = False
        self.refusal: str | None = None
        self.flight = Flight()
        self.express = Express(publisher, events_max, self._tell_flushes)
        self._wake = wake
        self._lock = threading.RLock()
        self._fresh: deque[Receipt] = deque()
        self._numbered = self._framed_to = self._bytes_put = 0
        self._flushes: list[tuple[int, int, threading.Event]] = []
        self._spool = spool
        self._coming: deque[Receipt] = deque()
        self._spooling = False
        if spool is not None:
            self._restore(spool.kept)

    # ---- any thread

    def put(self, topic: str, record: bytes) -> Receipt:
        """Take one event in. Raises `BusClosed`, `BufferFull` or `SpoolError`."""
        receipt, flight = Receipt(topic, record), self.flight
        with self._lock:
            if self.refusal is not None:
                raise BusClosed(self.refusal)
            if self._numbered - flight.receipted_to >= self.events_max:
                raise BufferFull(_full(f"{self.events_max} events"))
            bytes_put = self._bytes_put + len(record)
            if bytes_put - flight.bytes_gone > self.bytes_max:
                raise BufferFull(_full(f"{self.bytes_max} bytes"))
            if self._spool is not None:
                self._keep(self._spool, receipt)
            else:
                self._numbered += 1
                self._bytes_put = bytes_put
                self._fresh.append(receipt)
        if self.asleep:
            self._wake()
        return receipt

    def put_ephemeral(self, topic: str, record: bytes) -> Receipt:
        """Take one event in that is sent now or never. Raises `BusClosed` or `BufferFull`."""
        receipt = Receipt(topic, record)
        with self._lock:
            if self.refusal is not None:
                raise BusClosed(self.refusal)
            self.express.put(receipt)
        if self.asleep:
            self._wake()
        return receipt

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything put so far has its receipt."""
        gate = threading.Event()
        with self._lock:
            target = (self._numbered, self.express.put_count, gate)
            self._flushes.append(target)
        return self._reached(target) or gate.wait(timeout)

    def close(self, reason: str) -> None:
        """Take nothing more in; `reason` is what `BusClosed` says."""
        with self._lock:
            self.refusal = self.refusal or reason

    def forked(self, reason: str) -> None:
        """This is a copy in a child process: another thread may have held the lock when it was made."""
        self._lock = threading.RLock()
        self.refusal = reason
        if self._spool is not None:
            self._spool.forked()

    def _keep(self, spool: Spool, receipt: Receipt) -> None:
        """Put an event into the file, then into the queue; the lock is held."""
        failed = None
        self._coming.append(receipt)
        while self._coming and not self._spooling:
            self._spooling = True
            coming = self._coming.popleft()
            try:
                spool.keep(self._numbered + 1, coming.topic, coming.record)
                self._numbered += 1
                self._bytes_put += len(coming.record)
                self._fresh.append(coming)
            except SpoolError as error:
                coming.reject(error)
                failed = error if coming is receipt else failed
            finally:
                self._spooling = False
        if failed is not None:
            raise failed

    # ---- the I/O thread

    @property
    def first(self) -> int:
        """The oldest number without a receipt, or the next one to be given."""
        return self.flight.receipted_to + 1

    @property
    def ready(self) -> bool:
        """Whether there is something to send."""
        return bool(self._fresh or self.express or self.flight.next)

    @property
    def empty(self) -> bool:
        """Whether every event has its receipt."""
        return self.flight.receipted_to == self._numbered and not self.express

    def send(self, take: Callable[[bytes], bool], now: float) -> bool:
        """Hand to `take` what is to be sent, a turn's worth of it; False when it did not take everything it was given.

        What it does not take of ephemeral events is lost, the rest is kept. `now`: monotonic seconds.
        """
        self.flight.resend_overdue(now)
        for _ in range(FRAMES_PER_TURN):
            framed = self.express.next()
            if framed is None:
                break
            self.express.sent(framed, take(framed.data))
        for _ in range(FRAMES_PER_TURN):
            framed = self.next()
            if framed is None:
                break
            if not take(framed.data):
                return False
            self.flight.sent(now)
        return True

    def next(self) -> Framed | None:
        """The frame to send now, made from fresh records if need be; call `flight.sent` once the socket took it.

        Raises `SpoolError` when the frame cannot be written down: it can be asked for again.
        """
        if self.flight.next is None and self._fresh:
            receipts = take_run(self._fresh)
            if self._spool is not None:
                self._note_frame(self._spool, receipts)
            self._send(receipts)
        return self.flight.next

    def attach(self) -> None:
        """A node is there."""
        self.flight.attach()
        self.express.attach()

    def receipts(self, message: dict[str, Any], now: float) -> None:
        """Resolve what a `receipts` message speaks of. `now`: monotonic seconds."""
        self.flight.receipts(message, now)
        if self._spool is not None:
            with self._lock:
                self._spool.receipted(self.flight.receipted_to)
        self._tell_flushes()

    def give_up(self, error: MeshError) -> None:
        """Resolve whatever is left as rejected: this start will not send it any more."""
        self.express.refuse()
        reject_all(list(self.flight.pending()), error)
        reject_all(self._fresh, error)
        if self._spool is not None:
            with self._lock:
                self._spool.close()

    def _send(self, receipts: list[Receipt]) -> None:
        self.flight.add(make_framed(self.publisher, receipts, self._framed_to + 1, 0))
        self._framed_to += len(receipts)

    def _note_frame(self, spool: Spool, receipts: list[Receipt]) -> None:
        try:
            with self._lock:
                spool.frame(self._framed_to + 1, len(receipts))
        except SpoolError:
            self._fresh.extendleft(reversed(receipts))
            raise

    def _restore(self, kept: Kept) -> None:
        """Begin with what an earlier start has left: its frames as they were, then what was in none."""
        self._framed_to = kept.first - 1
        self._numbered = self._framed_to + len(kept.events)
        self._bytes_put = sum(len(record) for _, record in kept.events)
        self._fresh.extend(Receipt(topic, record) for topic, record in kept.events)
        self.flight = Flight(self._framed_to)
        for count in kept.frames:
            self._send([self._fresh.popleft() for _ in range(count)])
        kept.events.clear()

    def _tell_flushes(self) -> None:
        with self._lock:
            for flush in [flush for flush in self._flushes if self._reached(flush)]:
                flush[2].set()
                self._flushes.remove(flush)

    def _reached(self, flush: tuple[int, int, threading.Event]) -> bool:
        return self.flight.receipted_to >= flush[0] and self.express.gone_count >= flush[1]


def _full(bound: str) -> str:
    return f"{bound} wait for a receipt, which is the bound; flush() before publishing more, or drop the event"
