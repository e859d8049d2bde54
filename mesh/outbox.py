"""The outbox: what was published and has no receipt yet. Numbers, batches, go-back-N; no socket, no clock.

    put ─▶ fresh ────────▶ waiting ────────▶ out ────────▶ receipted, forgotten
           records         framed,           sent, no
           without frame   to be sent        receipt yet
                             ◀── go_back ──────┘

Any thread puts, under one lock, which makes the order of calls the order of numbers (reentrant, so that a signal
handler may publish too). Everything else belongs to the
I/O thread. A record is put into a frame at the moment it can be sent and not before, so what accumulated meanwhile is
one batch; from then on the frame's bytes are kept and resent exactly as they were, because the node tells a resent
frame from a new one by its numbers.

Go-back-N: the node takes only the number it expects. When a frame or a receipt was lost, everything from there on is
sent again in order; the node receipts what it knows a second time and a receipt that is already resolved stays as it
is. Frames leave the outbox from the left only, so what is kept is always one unbroken run of numbers.

Ephemeral events have no number and no place here to wait: they are framed, sent or dropped in the same turn.

With a spool (`mesh.spool`) an event is in the file before it is here, a frame before it can be sent, and what an
earlier start has left is here from the beginning. A signal handler that publishes while the file is being written
leaves its event to the call it interrupted.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from mesh.errors import BufferFull, BusClosed, EventRejected, MeshError, SpoolError
from mesh.frame import EPHEMERAL, Frame, encode
from mesh.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from mesh.receipt import Receipt, accept_run
from mesh.spool import Spool
from mesh.spool_records import Kept

RESEND_AFTER_S = 5.0
"""A frame that is out for so long without any receipt coming in is sent again: its receipt may have been dropped."""

RESEND_AFTER_MAX_S = 60.0
"""The same, after several resends without an answer: a node that is stopped must not be buried in copies."""

ASKED_AGAIN_S = 0.5
"""A node that asks again for the same number after this long did not get what was sent for the first time."""

NOT_ATTACHED = "no node is attached, and ephemeral events are not kept; publish without ephemeral=True"
TOO_FAST = "the node does not keep up, and ephemeral events are not kept; publish without ephemeral=True"


class Framed:
    """A frame on its way: its bytes, and the receipts of its events. `left` counts those still pending."""

    __slots__ = ("count", "data", "left", "number", "receipts", "record_bytes")

    def __init__(self, number: int, data: bytes, receipts: list[Receipt], record_bytes: int) -> None:
        self.number = number
        self.data = data
        self.receipts = receipts
        self.count = self.left = len(receipts)
        self.record_bytes = record_bytes


class Outbox:
    """Unreceipted events of one session, bounded by count and bytes."""

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
        self.attached = False
        self.refusal: str | None = None
        self._wake = wake
        self._lock = threading.RLock()
        self._fresh: deque[Receipt] = deque()
        self._express: deque[Receipt] = deque()
        self._waiting: deque[Framed] = deque()
        self._out: deque[Framed] = deque()
        self._numbered = self._bytes_put = self._express_put = 0
        self._framed_to = self._receipted_to = self._bytes_gone = self._express_gone = 0
        self._quiet_since = self._sent_at = 0.0
        self._patience_s = RESEND_AFTER_S
        self._asked_first, self._asked_at = 0, 0.0
        self._flushes: list[tuple[int, int, threading.Event]] = []
        self._spool = spool
        self._coming: deque[Receipt] = deque()
        self._spooling = False
        if spool is not None:
            self._restore(spool.kept)

    # ---- any thread

    def put(self, topic: str, record: bytes) -> Receipt:
        """Take one event in. Raises `BusClosed`, `BufferFull` or `SpoolError`."""
        receipt = Receipt(topic, record)
        with self._lock:
            if self.refusal is not None:
                raise BusClosed(self.refusal)
            if self._numbered - self._receipted_to >= self.events_max:
                raise BufferFull(self._full(f"{self.events_max} events"))
            if self._bytes_put - self._bytes_gone + len(record) > self.bytes_max:
                raise BufferFull(self._full(f"{self.bytes_max} bytes"))
            if self._spool is not None:
                self._keep(self._spool, receipt)
            else:
                self._numbered += 1
                self._bytes_put += len(record)
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
            if len(self._express) >= self.events_max:
                raise BufferFull(self._full(f"{self.events_max} ephemeral events"))
            self._express_put += 1
            self._express.append(receipt)
        if not self.attached:
            self.reject_ephemeral()
        elif self.asleep:
            self._wake()
        return receipt

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything put so far has its receipt."""
        gate = threading.Event()
        with self._lock:
            target = (self._numbered, self._express_put, gate)
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

    def _restore(self, kept: Kept) -> None:
        """Begin with what an earlier start has left: its frames as they were, then what was in none."""
        receipts = deque(Receipt(topic, record) for topic, record in kept.events)
        self._receipted_to = self._framed_to = kept.first - 1
        self._numbered = self._receipted_to + len(receipts)
        self._bytes_put = sum(len(receipt.record) for receipt in receipts)
        for count in kept.frames:
            framed = self._frame([receipts.popleft() for _ in range(count)], self._framed_to + 1, 0)
            self._framed_to += count
            self._waiting.append(framed)
        self._fresh = receipts
        kept.events.clear()

    def _full(self, bound: str) -> str:
        return f"{bound} wait for a receipt, which is the bound; flush() before publishing more, or drop the event"

    # ---- the I/O thread

    @property
    def first(self) -> int:
        """The oldest number without a receipt, or the next one to be given."""
        return self._receipted_to + 1

    @property
    def ready(self) -> bool:
        """Whether there is something to send."""
        return bool(self._waiting or self._fresh or self._express)

    @property
    def empty(self) -> bool:
        """Whether every event has its receipt."""
        return self._receipted_to == self._numbered and not self._express

    def next(self) -> Framed | None:
        """The frame to send now, made from fresh records if need be; call `sent` once the socket took it.

        Raises `SpoolError` when the frame cannot be written down: it can be asked for again.
        """
        if not self._waiting and self._fresh:
            receipts = take_run(self._fresh)
            if self._spool is not None:
                self._note_frame(self._spool, receipts)
            self._waiting.append(self._frame(receipts, self._framed_to + 1, 0))
            self._framed_to += len(receipts)
        return self._waiting[0] if self._waiting else None

    def sent(self, now: float) -> None:
        """The socket took what `next` returned. `now`: monotonic seconds."""
        if not self._out:
            self._quiet_since = now
        self._sent_at = now
        self._out.append(self._waiting.popleft())

    def next_ephemeral(self) -> Framed | None:
        """Ephemeral events to send now, or None. They are not kept: say with `sent_ephemeral` what became of them."""
        return self._frame(take_run(self._express), 0, EPHEMERAL) if self._express else None

    def sent_ephemeral(self, framed: Framed, taken: bool) -> None:
        """The socket took a frame of ephemeral events, or it was full and they are lost."""
        for receipt in framed.receipts:
            receipt.accept("", 0) if taken else receipt.reject(EventRejected(TOO_FAST))
        self._express_gone += framed.count
        self._tell_flushes()

    def go_back(self, first: int = 0) -> None:
        """Send again from the frame that holds number `first` on (default: all that have no receipt)."""
        while self._out and self._out[-1].number + self._out[-1].count > first:
            self._waiting.appendleft(self._out.pop())

    def resend(self, first: int, now: float) -> None:
        """The node asks for everything from `first` on. It asks for each frame behind the gap; one answer is enough."""
        if first != self._asked_first or now - self._asked_at >= ASKED_AGAIN_S:
            self._asked_first, self._asked_at = first, now
            self.go_back(first)

    def attach(self) -> None:
        """A node is there: what was out on an earlier attachment is sent again."""
        self.go_back()
        self._patience_s = RESEND_AFTER_S
        self._asked_first = 0
        self.attached = True

    def detach(self) -> None:
        """The node is gone: ephemeral events are refused from here on."""
        self.attached = False
        self.reject_ephemeral()

    @property
    def in_flight_since(self) -> float:
        """When the last frame was sent, in monotonic seconds, if there are frames out; else long ago."""
        return self._sent_at if self._out else -math.inf

    @property
    def resend_at(self) -> float | None:
        """When the oldest frame has been out for too long, in monotonic seconds."""
        return self._quiet_since + self._patience_s if self._out else None

    def resend_overdue(self, now: float) -> bool:
        """Go back if nothing was receipted for too long; says whether it did."""
        due = self.resend_at
        if due is None or now < due:
            return False
        self._patience_s = min(2 * self._patience_s, RESEND_AFTER_MAX_S)
        self.go_back()
        return True

    def receipts(self, message: dict[str, Any], now: float) -> None:
        """Resolve what a `receipts` message speaks of; numbers that are already resolved are passed over."""
        for number, count, topic, sequence in message.get("runs", ()):
            prefix, shift = f"{message['origin']}/{topic}/", sequence - number
            for framed, start, stop in self._covering(number, number + count):
                framed.left -= accept_run(framed.receipts[start:stop], prefix, framed.number + start + shift)
            self._forget()  # at once: the next run is then looked for where it begins, not behind all of this
        for number, first_id in message.get("duplicates", ()):
            for receipt, _ in self._pending(number, 1):
                receipt.duplicate(first_id)
        for number, count, code, reason in message.get("rejected", ()):
            error = EventRejected(f"the node refused the event ({code}): {reason}")
            for receipt, _ in self._pending(number, count):
                receipt.reject(error)
        self._quiet_since = now
        self._patience_s = RESEND_AFTER_S
        self._forget()
        if self._spool is not None:
            with self._lock:
                self._spool.receipted(self._receipted_to)

    def give_up(self, error: MeshError) -> None:
        """Resolve whatever is left as rejected: nobody will send it any more."""
        self.reject_ephemeral()
        for framed in chain(self._out, self._waiting):
            reject_all([receipt for receipt in framed.receipts if not receipt.done], error)
        reject_all(self._fresh, error)
        if self._spool is not None:
            with self._lock:
                self._spool.close()

    def reject_ephemeral(self) -> None:
        """No node is attached: what cannot be sent now is refused."""
        error = EventRejected(NOT_ATTACHED)
        with self._lock:
            refused = list(self._express)
            self._express.clear()
            self._express_gone += len(refused)
        reject_all(refused, error)
        self._tell_flushes()

    def _note_frame(self, spool: Spool, receipts: list[Receipt]) -> None:
        try:
            with self._lock:
                spool.frame(self._framed_to + 1, len(receipts))
        except SpoolError:
            self._fresh.extendleft(reversed(receipts))
            raise

    def _frame(self, receipts: list[Receipt], number: int, flags: int) -> Framed:
        events = b"".join([receipt.record for receipt in receipts])
        for receipt in receipts:
            receipt.record = b""
        frame = Frame(receipts[0].topic, flags, 0, self.publisher, number, 0, len(receipts), "", events)
        return Framed(number, encode(frame), receipts, len(events))

    def _pending(self, number: int, count: int) -> Iterator[tuple[Receipt, int]]:
        """The receipts without an answer among `count` numbers from `number` on; the caller resolves each."""
        for framed, start, stop in self._covering(number, number + count):
            for index in range(start, stop):
                receipt = framed.receipts[index]
                if not receipt.done:
                    framed.left -= 1
                    yield receipt, framed.number + index

    def _covering(self, number: int, end: int) -> Iterator[tuple[Framed, int, int]]:
        """The kept frames that hold numbers from `number` up to but not `end`, with the indexes inside each."""
        for framed in chain(self._out, self._waiting):
            if framed.number >= end:
                return
            if framed.number + framed.count > number:
                yield framed, max(0, number - framed.number), min(framed.count, end - framed.number)

    def _forget(self) -> None:
        for frames in (self._out, self._waiting):
            while frames and not frames[0].left:
                framed = frames.popleft()
                self._receipted_to = framed.number + framed.count - 1
                self._bytes_gone += framed.record_bytes
            if frames:
                break
        self._tell_flushes()

    def _tell_flushes(self) -> None:
        for flush in [flush for flush in self._flushes if self._reached(flush)]:
            flush[2].set()
            self._flushes.remove(flush)

    def _reached(self, flush: tuple[int, int, threading.Event]) -> bool:
        return self._receipted_to >= flush[0] and self._express_gone >= flush[1]


def take_run(fresh: deque[Receipt]) -> list[Receipt]:
    """Take from the left what goes into one frame: one topic, bounded in events and bytes, at least one event."""
    first = fresh.popleft()
    taken, topic, size = [first], first.topic, len(first.record)
    while fresh and len(taken) < BATCH_EVENTS_MAX:
        receipt = fresh[0]
        size += len(receipt.record)
        if receipt.topic != topic or size > BATCH_BYTES_MAX:
            break
        taken.append(fresh.popleft())
    return taken


def reject_all(receipts: Iterable[Receipt], error: MeshError) -> None:
    """The events behind these receipts will not be sent."""
    for receipt in receipts:
        receipt.reject(error)
