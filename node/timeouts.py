"""Handler timeouts, counted: how often a handler was given up, in all, per topic and per consumer, since the start.

The names are bounded: what comes after the first thousand is counted together, so a topic per machine costs no memory
without end.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

NAMES_MAX = 1000
OTHERS = "(others)"
"""Whoever came after the first thousand."""


class HandlerTimeouts:
    """Counts that only grow."""

    def __init__(self) -> None:
        self.total = 0
        self._by_topic: Counter[str] = Counter()
        self._by_consumer: Counter[str] = Counter()

    def count(self, topic: str, consumer: str) -> None:
        """A consumer's handler took longer than it may over one event of a topic."""
        self.total += 1
        _add(self._by_topic, topic)
        _add(self._by_consumer, consumer)

    def row(self) -> dict[str, Any]:
        """What `/status` shows."""
        return {"total": self.total, "by_topic": dict(self._by_topic), "by_consumer": dict(self._by_consumer)}


def _add(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < NAMES_MAX else OTHERS] += 1
