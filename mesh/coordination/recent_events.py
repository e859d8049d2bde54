"""Recent events: what this process has announced within the last minute, and what the node made of it.

    publish ──▶ receipt ──note──▶ the window: topic, source, when, receipt

The node drops what says the same again, for all programs at once. Here is the view of one process, for whoever wonders
why a handler was called twice, or not at all: a receipt that says `duplicate` names the event it repeats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mesh.limits import DEDUP_WINDOW_S
from mesh.receipt import Receipt

EVENTS_MAX = 10_000
"""Announcements remembered at most; the oldest are forgotten first."""

Clock = Callable[[], float]
"""Monotonic seconds."""


class Recent(NamedTuple):
    """One announcement. `at_s` is monotonic; `receipt` says what the node made of it."""

    topic: str
    source: str
    at_s: float
    receipt: Receipt


class RecentEvents:
    """The announcements of the last `window_s` seconds, oldest first: iterate, or ask for the `len`. Any thread."""

    def __init__(self, clock: Clock, window_s: float = DEDUP_WINDOW_S, events_max: int = EVENTS_MAX) -> None:
        self.window_s = window_s
        self._clock = clock
        self._events: deque[Recent] = deque(maxlen=events_max)

    def note(self, topic: str, source: str, receipt: Receipt) -> None:
        """An event was published just now."""
        self._events.append(Recent(topic, source, self._clock(), receipt))

    def __iter__(self) -> Iterator[Recent]:
        since_s = self._clock() - self.window_s
        return iter([each for each in self._events.copy() if each.at_s > since_s])

    def __len__(self) -> int:
        return sum(1 for _ in self)
