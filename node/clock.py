"""The only place that reads a clock. Everything else is given a `Now`.

Two clocks that never mix: `wall_us` is for people and for what is written down, `mono_us` for deadlines and windows.
"""

from __future__ import annotations

import time
from typing import NamedTuple


class Now(NamedTuple):
    """One moment. `wall_us`: microseconds since 1970; `mono_us`: microseconds of a clock that never jumps."""

    wall_us: int
    mono_us: int

    def later(self, seconds: float) -> int:
        """The monotonic moment `seconds` from now, in microseconds."""
        return self.mono_us + int(seconds * 1e6)

    def beat(self, period_us: int) -> int:
        """The monotonic moment of the next whole multiple of a period on the wall clock, in microseconds.

        Who does something once a period does it with everybody whose clock agrees, and wakes for all of them at once.
        It is never further away than one period, however the wall clock jumps.
        """
        return self.mono_us + period_us - self.wall_us % period_us


class Clock:
    """The machine's clocks."""

    def now(self) -> Now:
        """Read both clocks."""
        return Now(time.time_ns() // 1000, time.monotonic_ns() // 1000)
