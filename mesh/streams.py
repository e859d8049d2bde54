"""Streams: how a receiver gets every event of a stream, in order, once, over a transport that may drop.

A stream is one origin's events of one topic, numbered 1, 2, 3 … The receiver keeps one `StreamTracker` per stream:

    sequences   1  2  3  4  5  6  7  8  9 10 11 12 13
               ██████████████          ████████
                            ▲  └──────┘   ▲    └─────┘
                         head=5 missing  held  missing  known=13

`offer` takes whatever arrives and returns what may be handed on now: the runs that continue the head, in order. What
comes too early is held (bounded), what was there before is dropped. `learn` takes news of how far the stream reaches
(a beacon, the heads at registration), so a gap shows even when nothing follows it. `missing` says what to ask for, and
`skip` accepts that a range is gone for good.

It is the same rule between a node and its programs as between two nodes, so it is one piece of code. Nothing here
knows what an item is, where it came from or what time it is.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

Key = tuple[str, str]
"""Which stream: origin, topic."""

HELD_FRAMES_MAX = 256
"""Frames kept ahead of a gap, per stream. More are dropped and asked for again: memory is bounded, nothing is lost."""


class Run(NamedTuple, Generic[Item]):
    """Something to hand on: `item`, without its first `offset` events."""

    item: Item
    offset: int


class Range(NamedTuple):
    """Sequences `first` to `last`, both included."""

    first: int
    last: int

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count, which means nothing for a range
        """How many sequences the range holds."""
        return self.last - self.first + 1


class StreamTracker(Generic[Item]):
    """One stream at one receiver. `head` is the highest gap-free sequence, `known` the highest heard of."""

    __slots__ = ("_held", "head", "held_max", "known")

    def __init__(self, head: int, held_max: int = HELD_FRAMES_MAX) -> None:
        self.head = head
        self.known = head
        self.held_max = held_max
        self._held: dict[int, tuple[int, Item]] = {}

    def offer(self, first: int, count: int, item: Item) -> list[Run[Item]]:
        """Take `count` events from sequence `first`; return what can be handed on, in order (often nothing)."""
        last = first + count - 1
        if last <= self.head:
            return []
        self.known = max(self.known, last)
        if first > self.head + 1:
            self._hold(first, count, item)
            return []
        runs = [Run(item, self.head + 1 - first)]
        self.head = last
        if self._held:
            runs += self._release()
        return runs

    def learn(self, head: int) -> None:
        """The stream reaches at least to `head`."""
        self.known = max(self.known, head)

    def skip(self, last: int) -> list[Run[Item]]:
        """Everything up to `last` will never come; return what was held behind it."""
        if last <= self.head:
            return []
        self.head = last
        self.known = max(self.known, last)
        return self._release()

    def missing(self) -> list[Range]:
        """The ranges between `head` and `known` that have not arrived, in order."""
        if self.known == self.head:
            return []
        ranges, wanted = [], self.head + 1
        for first in sorted(self._held):
            count, _ = self._held[first]
            if first > wanted:
                ranges.append(Range(wanted, first - 1))
            wanted = max(wanted, first + count)
        if wanted <= self.known:
            ranges.append(Range(wanted, self.known))
        return ranges

    def held(self, first: int) -> Item | None:
        """What is kept ahead of the gap and begins at that sequence."""
        _, item = self._held.get(first, (0, None))
        return item

    def _hold(self, first: int, count: int, item: Item) -> None:
        there = self._held.get(first)
        if there is not None:
            if there[0] < count:
                self._held[first] = (count, item)
        elif len(self._held) < self.held_max:
            self._held[first] = (count, item)

    def _release(self) -> list[Run[Item]]:
        runs = []
        for first in sorted(self._held):
            if first > self.head + 1:
                break
            count, item = self._held.pop(first)
            if first + count - 1 > self.head:
                runs.append(Run(item, self.head + 1 - first))
                self.head = first + count - 1
        return runs


def without(range_: Range, holes: Collection[int]) -> list[Range]:
    """The parts of a range that are left when single sequences are taken out, in order."""
    parts, first = [], range_.first
    for hole in sorted(hole for hole in holes if range_.first <= hole <= range_.last):
        if hole > first:
            parts.append(Range(first, hole - 1))
        first = hole + 1
    return [*parts, Range(first, range_.last)] if first <= range_.last else parts
