"""How long turns take: counts per upper bound, as a histogram wants them."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import NamedTuple

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""From the decisions of an idle turn to a disk that holds everything up."""
_BOUNDS_US = [int(bound * 1e6) for bound in BOUNDS_S]


class Histogram(NamedTuple):
    """`cumulative[i]` turns took at most `BOUNDS_S[i]`; the last of it is all of them. `sum_s` is their time in all."""

    cumulative: tuple[int, ...]
    sum_s: float


class Durations:
    """Counts durations."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_us = 0

    def note(self, duration_us: int) -> None:
        """Something took so long."""
        self._counts[bisect_left(_BOUNDS_US, duration_us)] += 1
        self._sum_us += duration_us

    def histogram(self) -> Histogram:
        """What was counted so far."""
        return Histogram(tuple(accumulate(self._counts)), self._sum_us / 1e6)
