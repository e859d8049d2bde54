"""Flight: frames on their way to the node, kept until they are receipted. Go-back-N; no socket, no clock, no lock.

    add ─▶ waiting ──────────▶ out ────────▶ receipted, forgotten
             to be sent          sent, no receipt yet
             ◀───── go_back ──────┘

A frame's bytes are kept and resent exactly as they were, because the node tells a resent frame from a new one by its
numbers. It takes only the number it expects: when a frame or a receipt was lost, everything from there on is sent again
in order; the node receipts what it knows a second time, and a receipt that is already resolved stays as it is. Frames
leave from the left only, so what is kept is always one unbroken run of numbers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from mesh.errors import EventRejected
from mesh.framed import Framed
from mesh.receipt import Receipt, accept_run

RESEND_AFTER_S = 5.0
"""A frame that is out for so long without any receipt coming in is sent again: its receipt may have been dropped."""

RESEND_AFTER_MAX_S = 60.0
"""The same, after several resends without an answer: a node that is stopped must not be buried in copies."""

ASKED_AGAIN_S = 0.5
"""A node that asks again for the same number after this long did not get what was sent for the first time."""


class Flight:
    """The frames of one session. `receipted_to` is a number, `bytes_gone` counts the records of what was receipted.

    Times are monotonic seconds, given as `now`.
    """

    def __init__(self, receipted_to: int = 0) -> None:
        self.receipted_to = receipted_to
        self.bytes_gone = 0
        self._waiting: deque[Framed] = deque()
        self._out: deque[Framed] = deque()
        self._quiet_since = self._sent_at = 0.0
        self._patience_s = RESEND_AFTER_S
        self._asked_first, self._asked_at = 0, 0.0

    # ---- sending

    def add(self, framed: Framed) -> None:
        """A new frame, to be sent after all others."""
        self._waiting.append(framed)

    @property
    def next(self) -> Framed | None:
        """The frame to send now; call `sent` once the socket took it."""
        return self._waiting[0] if self._waiting else None

    def sent(self, now: float) -> None:
        """The socket took what `next` returned."""
        if not self._out:
            self._quiet_since = now
        self._sent_at = now
        self._out.append(self._waiting.popleft())

    @property
    def in_flight_since(self) -> float:
        """When the last frame was sent, if there are frames out; else long ago."""
        return self._sent_at if self._out else -math.inf

    # ---- sending again

    def attach(self) -> None:
        """A node is there: what was out on an earlier attachment is sent again."""
        self.go_back()
        self._patience_s = RESEND_AFTER_S
        self._asked_first = 0

    def go_back(self, first: int = 0) -> None:
        """Send again from the frame that holds number `first` on (default: all that have no receipt)."""
        while self._out and self._out[-1].last >= first:
            self._waiting.appendleft(self._out.pop())

    def resend(self, first: int, now: float) -> None:
        """The node asks for everything from `first` on. It asks for each frame behind the gap; one answer is enough."""
        if first != self._asked_first or now - self._asked_at >= ASKED_AGAIN_S:
            self._asked_first, self._asked_at = first, now
            self.go_back(first)

    @property
    def resend_at(self) -> float | None:
        """When the oldest frame has been out for too long."""
        return self._quiet_since + self._patience_s if self._out else None

    def resend_overdue(self, now: float) -> bool:
        """Go back if nothing was receipted for too long; says whether it did."""
        due = self.resend_at
        if due is None or now < due:
            return False
        self._patience_s = min(2 * self._patience_s, RESEND_AFTER_MAX_S)
        self.go_back()
        return True

    # ---- receipts

    def receipts(self, message: dict[str, Any], now: float) -> None:
        """Resolve what a `receipts` message speaks of; numbers that are already resolved are passed over."""
        for number, count, topic, sequence in message.get("runs", ()):
            prefix, shift = f"{message['origin']}/{topic}/", sequence - number
            for framed, start, stop in self._covering(number, number + count):
                framed.left -= accept_run(framed.receipts[start:stop], prefix, framed.number + start + shift)
            self._forget()  # at once: the next run is then looked for where it begins, not behind all of this
        for number, first_id in message.get("duplicates", ()):
            for receipt in self._pending(number, 1):
                receipt.duplicate(first_id)
        for number, count, code, reason in message.get("rejected", ()):
            error = EventRejected(f"the node refused the event ({code}): {reason}")
            for receipt in self._pending(number, count):
                receipt.reject(error)
        self._quiet_since = now
        self._patience_s = RESEND_AFTER_S
        self._forget()

    def pending(self) -> Iterator[Receipt]:
        """Every receipt the node has not spoken of."""
        return (
            receipt for framed in chain(self._out, self._waiting) for receipt in framed.receipts if not receipt.done
        )

    def _pending(self, number: int, count: int) -> Iterator[Receipt]:
        """The receipts without an answer among `count` numbers from `number` on; the caller resolves each."""
        for framed, start, stop in self._covering(number, number + count):
            for receipt in framed.receipts[start:stop]:
                if not receipt.done:
                    framed.left -= 1
                    yield receipt

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
                self.receipted_to = framed.last
                self.bytes_gone += framed.record_bytes
            if frames:
                break
