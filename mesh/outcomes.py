"""Outcomes: what handlers have to say, on its way to the I/O thread.

    worker threads, tasks ──finished, passed──▶ deque ──collect──▶ course ──▶ settlement

A handler wakes the I/O thread only when that is not coming anyway: as long as there is something each time it looks, it
comes back by itself (`due_at`), and what finishes meanwhile costs an append.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from mesh.following import Key
from mesh.jobs import Job, Verdict
from mesh.subscription import Course

COLLECT_EVERY_S = 0.005
"""Handlers that finish one event after the other are looked after this often, not at every one."""


class Outcomes:
    """`finished` and `passed` are for any thread. `stir` wakes the I/O thread; `note` is told of every course heard."""

    def __init__(self, stir: Callable[[], object], note: Callable[[Course], object]) -> None:
        self._stir = stir
        self._note = note
        self._stirred = False
        self._said: deque[tuple[Course, Callable[[], object]]] = deque()
        self._collect_at = 0.0

    def finished(self, course: Course, job: Job, verdict: Verdict) -> None:
        """A handler is done with one event."""
        self._say(course, partial(course.finished, job, verdict))

    def passed(self, course: Course, key: Key | None, first: int, count: int) -> None:
        """A handler is done with a run of events, all of them well."""
        self._say(course, partial(course.passed, key, first, count))

    def _say(self, course: Course, take_in: Callable[[], object]) -> None:
        self._said.append((course, take_in))
        if not self._stirred:
            self._stirred = True
            self._stir()

    def collect(self, now: float) -> None:
        """Take in what handlers have said. `now`: monotonic seconds."""
        self._stirred = bool(self._said)
        self._collect_at = now + COLLECT_EVERY_S
        while self._said:
            course, take_in = self._said.popleft()
            take_in()
            self._note(course)

    @property
    def due_at(self) -> float | None:
        """When to collect again; None when whoever has something to say will wake the I/O thread."""
        return self._collect_at if self._stirred or self._said else None
