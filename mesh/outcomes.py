"""Outcomes: what handlers have to say, on its way to the I/O thread.

    worker threads, tasks ──finished, passed──▶ deque ──collect──▶ course ──▶ settlement

A handler wakes the I/O thread only when that is not coming anyway: as long as there is something each time it looks, it
comes back by itself (`due_at`), and what finishes meanwhile costs an append.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mesh.course import Course
from mesh.jobs import Job, Verdict
from mesh.streams import Key

COLLECT_EVERY_S = 0.005
"""Handlers that finish one event after the other are looked after this often, not at every one."""

_Finished = tuple[Course, Job, Verdict]
_Passed = tuple[Course, Key | None, int, int]
"""Stream, sequence of the first event (0 for what has none), how many."""


class Outcomes:
    """`finished` and `passed` are for any thread. `stir` wakes the I/O thread; `note` is told of every course heard."""

    def __init__(self, stir: Callable[[], object], note: Callable[[Course], object]) -> None:
        self._stir = stir
        self._note = note
        self._stirred = False
        self._said: deque[_Finished | _Passed] = deque()
        self._collect_at = 0.0

    def finished(self, course: Course, job: Job, verdict: Verdict) -> None:
        """A handler is done with one event."""
        self._say((course, job, verdict))

    def passed(self, course: Course, key: Key | None, first: int, count: int) -> None:
        """A handler is done with a run of events, all of them well."""
        self._say((course, key, first, count))

    def _say(self, word: _Finished | _Passed) -> None:
        self._said.append(word)
        if not self._stirred:
            self._stirred = True
            self._stir()

    def collect(self, now: float) -> None:
        """Take in what handlers have said. `now`: monotonic seconds.

        Runs of successes that follow each other in their stream are settled as one, also where several streams were
        handled in turn: of events in frames of their own that spares a third of a microsecond each.
        """
        self._stirred = bool(self._said)
        self._collect_at = now + COLLECT_EVERY_S
        runs: dict[tuple[Course, Key | None], tuple[int, int]] = {}
        while self._said:
            word = self._said.popleft()
            if len(word) == 3:
                self._pass(runs)
                course, job, verdict = word
                course.finished(job, verdict)
                self._note(course)
                continue
            course, key, first, count = word
            begun, so_far = runs.get((course, key), (first, 0))
            if key is not None and begun + so_far != first:
                self._pass({(course, key): (begun, so_far)})
                begun, so_far = first, 0
            runs[course, key] = begun, so_far + count
        self._pass(runs)

    def _pass(self, runs: dict[tuple[Course, Key | None], tuple[int, int]]) -> None:
        for (course, key), (first, count) in runs.items():
            course.passed(key, first, count)
            self._note(course)
        runs.clear()

    @property
    def due_at(self) -> float | None:
        """When to collect again; None when whoever has something to say will wake the I/O thread."""
        return self._collect_at if self._stirred or self._said else None
