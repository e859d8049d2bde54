"""Attachment: where a session stands with its node, and when its next step is due. No socket, no clock.

                 node.json read, sockets made      0x01: say hello            reply
    away ─────────────────────────────────▶ connecting ────────▶ greeting ─────────▶ attached
     ▲                                          │ 1 s                │ 2 s               │ 0x00, goodbye,
     └───────────── sockets closed ◀────────────┴────────────────────┴───────────────────┘ no answer for 30 s
       again after 0.05 s, 0.1 s … 1 s

The waits grow with every attempt and begin anew after an attachment that held for longer than the longest of them: a
node that refuses at once, or a defect that ends every attachment, is met once a second and not in a tight loop.
"""

from __future__ import annotations

from typing import Literal

CONNECT_S = 1.0
"""How long to wait for a node at the endpoints of node.json before that file is read again."""

HELLO_S = 2.0
"""How long a node may take to answer a hello."""

BACKOFF_S = (0.05, 1.0)
"""Waits between attempts to attach: the first, and the longest."""

Phase = Literal["away", "connecting", "greeting", "attached"]


class Attachment:
    """One session's standing. `deadline` is when the phase is over unless something happens; monotonic seconds."""

    def __init__(self) -> None:
        self.phase: Phase = "away"
        self.deadline = 0.0
        self._backoff_s = BACKOFF_S[0]
        self._attached_at = 0.0

    def step(self, now: float) -> Literal["connect", "give up"] | None:
        """What to do now that time has passed: begin an attempt, end one that had no answer, or nothing."""
        if self.phase == "attached" or now < self.deadline:
            return None
        return "connect" if self.phase == "away" else "give up"

    def connecting(self, now: float) -> None:
        """The sockets are made."""
        self.phase, self.deadline = "connecting", now + CONNECT_S

    def greeting(self, now: float) -> None:
        """The node is there, and hello is said."""
        self.phase, self.deadline = "greeting", now + HELLO_S

    def attached(self, now: float) -> None:
        """The node has answered."""
        self.phase, self._attached_at = "attached", now

    def away(self, now: float) -> None:
        """There is no node, or none any more: wait before the next attempt."""
        if self.phase == "attached" and now - self._attached_at > BACKOFF_S[1]:
            self._backoff_s = BACKOFF_S[0]
        self.phase, self.deadline = "away", now + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])
