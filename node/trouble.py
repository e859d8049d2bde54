"""Trouble: whether the disk takes writes, and what is said about it.

    fine ──a commit failed──▶ closed ──the probe's write succeeded──▶ open again ──quiet for 10 s──▶ fine
                                 ▲  │ at once, then every second          │
                                 │  └─ failed                             │ a commit failed
                                 └────────────────────────────────────────┘

Closed means that nothing is tried but the probe: no event is admitted, and what needs a write is refused. A full disk
often takes the probe's few bytes and not the next batch, so that the two states alternate. Then a turn takes in less
(`drain_bytes`), because a small transaction fits where a large one does not; and if nothing at all was taken meanwhile,
the probe waits 1, 2, 4, 8 s, because each time every publisher sends again what waits. What people are told (`lately`)
ends only when it has been quiet for a while: one line when trouble begins and one when it is over.
"""

from __future__ import annotations

from collections import Counter

from node.clock import Now
from node.store import StoreError

PROBE_S = 1.0
PROBE_MAX_S = 8.0
QUIET_S = 10.0
DRAIN_BYTES_MAX = 4 << 20
"""Bytes of frames taken from a socket in one turn: what one transaction writes stays small beside the disk."""
DRAIN_BYTES_MIN = 64 << 10


class Trouble:
    """`error` is why the disk refuses at this moment, or None; `drain_bytes` is how much a turn may take in.

    `counts` as in `node.core`: each error is counted under its code.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self.error: StoreError | None = None
        self._last: StoreError | None = None
        self._probe_us = 0
        self._probe_s = 0.0
        self._took = False
        self._quiet_us = 0
        self.drain_bytes = DRAIN_BYTES_MAX

    @property
    def closed(self) -> bool:
        """Whether nothing is to be written."""
        return self.error is not None

    def refused(self, error: StoreError, now: Now) -> None:
        """The disk refused a write: close until a probe succeeds."""
        if self.closed:
            self._probe_s = PROBE_S
        else:
            relapse = self.lately(now) is not None and not self._took
            self._probe_s = min(max(2 * self._probe_s, PROBE_S), PROBE_MAX_S) if relapse else 0.0
            self.drain_bytes = max(self.drain_bytes // 4, DRAIN_BYTES_MIN)
        self._took = False
        self.error = error
        self._probe_us = now.later(self._probe_s)
        self.noticed(error, now)

    def noticed(self, error: StoreError, now: Now) -> None:
        """Something could not be read: worth telling, but no reason to close: what needs no reading goes on."""
        self._counts[f"store {error.code}"] += 1
        self._last = error
        self._quiet_us = now.later(QUIET_S)

    def probe_due(self, now: Now) -> bool:
        """Whether it is time to try a write again."""
        return self.closed and now.mono_us >= self._probe_us

    def idle_ms(self, now: Now, longest_ms: int) -> int:
        """How long it is until the next probe, in milliseconds, at most `longest_ms`."""
        return max(0, min(longest_ms, (self._probe_us - now.mono_us) // 1000 + 1))

    def took(self) -> None:
        """The disk took a turn's frames: the next turn may hold more of them."""
        self._took = True
        self.drain_bytes = min(2 * self.drain_bytes, DRAIN_BYTES_MAX)

    def mended(self) -> None:
        """The probe's write succeeded."""
        self.error = None

    def lately(self, now: Now) -> StoreError | None:
        """What people are to be told: the last error, until nothing has failed for a while."""
        return self._last if self.closed or now.mono_us < self._quiet_us else None
