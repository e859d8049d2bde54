"""Trouble: whether the disk takes writes, and what is said about it.

    fine ──a commit failed──▶ closed ──the probe's write succeeded──▶ open again ──quiet for 10 s──▶ fine
                                 ▲  │ every second                        │
                                 │  └─ failed                             │ a commit failed
                                 └────────────────────────────────────────┘

Closed means that nothing is tried but the probe, once a second: no event is admitted, and what needs a write is
refused. A full disk often takes the probe's few bytes and not the next batch, so that the two states alternate; then
the probe is tried less often, because each time every publisher sends again what waits. What people are told (`lately`)
ends only when it has been quiet for a while: one line when trouble begins and one when it is over.
"""

from __future__ import annotations

from node.clock import Now
from node.store import StoreError

PROBE_S = 1.0
PROBE_MAX_S = 8.0
QUIET_S = 10.0


class Trouble:
    """`error` is why the disk refuses at this moment, or None. Nothing here reads a clock."""

    def __init__(self) -> None:
        self.error: StoreError | None = None
        self._last: StoreError | None = None
        self._probe_us = 0
        self._probe_s = PROBE_S
        self._quiet_us = 0

    @property
    def closed(self) -> bool:
        """Whether nothing is to be written."""
        return self.error is not None

    def refused(self, error: StoreError, now: Now) -> None:
        """The disk refused a write: close until a probe succeeds."""
        if not self.closed:
            relapse = self.lately(now) is not None
            self._probe_s = min(2 * self._probe_s, PROBE_MAX_S) if relapse else PROBE_S
        self.error = error
        self._probe_us = now.later(self._probe_s)
        self.noticed(error, now)

    def noticed(self, error: StoreError, now: Now) -> None:
        """Something could not be read: worth telling, but no reason to close."""
        self._last = error
        self._quiet_us = now.later(QUIET_S)

    def probe_due(self, now: Now) -> bool:
        """Whether it is time to try a write again."""
        return self.closed and now.mono_us >= self._probe_us

    def mended(self) -> None:
        """The probe's write succeeded."""
        self.error = None

    def lately(self, now: Now) -> StoreError | None:
        """What people are to be told: the last error, until nothing has failed for a while."""
        return self._last if self.closed or now.mono_us < self._quiet_us else None
