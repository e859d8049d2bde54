"""The world: virtual time, one heap of what is due, and seeded draws. Nothing here or above reads a clock.

    at(12.3 s, act) ──▶ heap ──earliest first──▶ act() ──▶ at(…)        time jumps from one act to the next

Acts due at the same moment run in the order in which they were asked for, so a seed has one course of events. Every
part draws from a source of its own (`draw("link", "n1", "n2")`), so one more draw in one part moves nothing in another.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush

NEVER = 1 << 62
NOTES_KEPT = 20_000

Note = tuple[object, ...]


class World:
    """One run's time and chance. `now_us`: virtual microseconds since the beginning.

    `notes` holds the latest things that happened, as (moment, what, whom …); all of them make up `digest`.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_us = 0
        self.notes: deque[Note] = deque(maxlen=NOTES_KEPT)
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._asked = 0
        self._digest = blake2b(digest_size=16)

    @property
    def now_s(self) -> float:
        """Virtual seconds since the beginning."""
        return self.now_us / 1e6

    def draw(self, *of: object) -> random.Random:
        """A source of chance that belongs to whatever is named."""
        return random.Random(repr((self.seed, *of)))

    def at(self, us: int, act: Callable[[], object]) -> None:
        """Have something happen at a moment, or now if that is past."""
        self._asked += 1
        heappush(self._heap, (max(us, self.now_us), self._asked, act))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Have something happen `seconds` from now."""
        self.at(self.now_us + int(seconds * 1e6), act)

    def run(self, until_us: int) -> None:
        """Let time pass up to a moment."""
        heap = self._heap
        while heap and heap[0][0] <= until_us:
            self.now_us, _, act = heappop(heap)
            act()
        self.now_us = until_us

    def note(self, *what: object) -> None:
        """Something happened that makes this run differ from another."""
        note = (self.now_us, *what)
        self.notes.append(note)
        self._digest.update(repr(note).encode())

    @property
    def digest(self) -> str:
        """The whole course of events in 32 hex digits: the same seed gives the same."""
        return self._digest.hexdigest()


class Sleeper:
    """Somebody who acts once when woken, however often: at the earliest moment that was asked for."""

    def __init__(self, world: World, act: Callable[[], object]) -> None:
        self._world = world
        self._act = act
        self.due_us = NEVER

    def wake(self, at_us: int) -> None:
        """Act at a moment, unless that happens earlier anyway."""
        if at_us < self.due_us:
            self.due_us = max(at_us, self._world.now_us)
            self._world.at(self.due_us, self._rise)

    def _rise(self) -> None:
        if self._world.now_us == self.due_us:
            self.due_us = NEVER
            self._act()
