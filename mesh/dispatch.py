"""Dispatch: plain handlers on worker threads.

    I/O thread ──put──▶ Inbox ──take──▶ worker thread ──▶ finished(job, verdict)
    I/O thread ──overdue(now)──▶ gives up what has run too long ──▶ finished(job, timeout)

Events are taken in stream order; with `concurrency` 1 the next begins when the one before has ended. Threads are
started when there is work and never before. Coroutine handlers are run by `mesh.pumps` under the same rules.

A worker thread cannot be stopped from outside. One whose handler exceeds its time is given up: the event has failed,
another thread takes its place, and what the old one returns some day is ignored and counted. Whoever removes a job from
`_running` first (the worker when the handler returns, or `overdue`) has the right to speak about it; removing from a
dict is atomic, so there is no lock around handlers.

Any exception a handler lets out is a failure of that event, also SystemExit and KeyboardInterrupt: what a handler does
must not end the machinery that runs it.
"""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
from time import monotonic

from mesh.event import Event
from mesh.following import Key
from mesh.jobs import Finished, Handler, Inbox, Job, Marker, Verdict, failure_of, timeout_failure


class Workers:
    """Runs a plain function on up to `concurrency` threads of its own."""

    def __init__(
        self,
        handler: Handler,
        name: str,
        concurrency: int,
        timeout_s: float,
        finished: Finished,
        marker: Marker,
    ) -> None:
        self.late = 0
        self._handler = handler
        self._name = name
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._marker = marker
        self._durable = marker.durable
        self._inbox = Inbox()
        self._filled = threading.Condition(self._inbox.lock)
        self._idle = self._threads = 0
        self._running: dict[int, Job] = {}

    def put(self, events: list[Event], offset: int, key: Key | None, letter: int | None) -> None:
        """Queue the events from index `offset` on; `letter` is the id of the letter when they are a redelivery."""
        with self._filled:
            self._inbox.put(events, offset, key, letter)
            self._staff()

    def overdue(self, now: float) -> None:
        """Fail what has run too long and replace its thread."""
        for thread, job in list(self._running.items()):
            if now - job.started > self._timeout_s and self._running.pop(thread, None) is job:
                with self._filled:
                    self._threads -= 1
                    self._staff()
                self._marker.end(job)
                self._finished(job, timeout_failure(job, self._timeout_s, _stack_of(thread)))

    def close(self) -> int:
        """Start nothing more; returns how many queued events will not be handled."""
        with self._filled:
            self._filled.notify_all()
            return self._inbox.close()

    def here(self) -> bool:
        """Whether the caller is one of the handler's threads."""
        return threading.get_ident() in self._running

    def _staff(self) -> None:
        """Wake or start as many threads as there is work for; the lock is held."""
        wanted = min(len(self._inbox), self._concurrency)
        if self._idle:
            self._filled.notify(wanted)
        for _ in range(min(wanted - self._idle, self._concurrency - self._threads)):
            self._threads += 1
            threading.Thread(target=self._work, name=f"mesh {self._name}", daemon=True).start()

    def _work(self) -> None:
        me = threading.get_ident()
        while (job := self._take()) is not None:
            marked = self._durable or job.letter is not None
            if marked:
                self._marker.begin(job)
            job.started = monotonic()
            self._running[me] = job
            verdict = self._attempt(job)
            if marked:
                self._marker.end(job)
            if self._running.pop(me, None) is not job:
                self.late += 1
                return
            self._finished(job, verdict)

    def _take(self) -> Job | None:
        with self._filled:
            while (job := self._inbox.take()) is None:
                if self._inbox.closed:
                    return None
                self._idle += 1
                self._filled.wait()
                self._idle -= 1
            return job

    def _attempt(self, job: Job) -> Verdict:
        try:
            result = self._handler(job.event)
            if result is not None and inspect.iscoroutine(result):
                result.close()
                raise TypeError("the handler returned a coroutine; subscribe the coroutine function itself")
        except BaseException as error:  # whatever a handler lets out is its event's failure
            return failure_of(job, error)
        return None


def _stack_of(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame else ""
