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
from itertools import chain
from typing import Any

from mesh.errors import EventRejected, MeshError
from mesh.outgoing import Outgoing
from mesh.receipt import Answer

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
        self._waiting: deque[Outgoing] = deque()
        self._out: deque[Outgoing] = deque()
        self._quiet_since = self._sent_at = 0.0
        self._patience_s = RESEND_AFTER_S
        self._asked_first, self._asked_at = 0, 0.0

    # ---- sending

    def add(self, run: Outgoing) -> None:
        """A new frame, to be sent after all others."""
        self._waiting.append(run)

    @property
    def next(self) -> Outgoing | None:
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
            self._accept(number, number + count, f"{message['origin']}/{topic}/", sequence)
        for number, first_id in message.get("duplicates", ()):
            self._answer(number, number + 1, Answer("duplicate", first_id))
        for number, count, code, reason in message.get("rejected", ()):
            error = EventRejected(f"the node refused the event ({code}): {reason}")
            self._answer(number, number + count, Answer("rejected", error=error))
        self._quiet_since = now
        self._patience_s = RESEND_AFTER_S

    def give_up(self, error: MeshError) -> None:
        """What has no answer will get none any more."""
        answer = Answer("rejected", error=error)
        for run in chain(self._out, self._waiting):
            run.answers.say(0, run.count, answer)

    def _accept(self, number: int, end: int, name: str, sequence: int) -> None:
        """The events from `number` up to `end` are on disk, the first as `sequence`.

        Answers come for whole frames from the oldest on, as a rule: then each is one store and a `popleft`.
        """
        out = self._out
        while out and (run := out[0]).number == number and run.left == run.count <= end - number:
            run.answers.say_all(Answer("accepted", name, sequence))
            self._gone(out.popleft())
            number += run.count
            sequence += run.count
        if number < end:
            self._answer(number, end, Answer("accepted", name, sequence))

    def _answer(self, number: int, end: int, answer: Answer) -> None:
        """The same is true of the events from `number` up to `end`, as far as they have no answer."""
        for run in chain(self._out, self._waiting):
            if run.number >= end:
                break
            start, stop = max(0, number - run.number), min(run.count, end - run.number)
            if start < stop:
                run.left -= run.answers.say(start, stop, answer.behind(run.number + start - number))
        self._forget()

    def _forget(self) -> None:
        for runs in (self._out, self._waiting):
            while runs and not runs[0].left:
                self._gone(runs.popleft())
            if runs:
                break

    def _gone(self, run: Outgoing) -> None:
        self.receipted_to = run.last
        self.bytes_gone += run.size_bytes
