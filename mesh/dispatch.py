"""Dispatch: plain handlers on worker threads.

    I/O thread ─queue─▶ Inbox ──take──▶ worker thread ──▶ passed(key, first, count) │ finished(job, verdict)
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
from mesh.failures import failure_of, timeout_failure
from mesh.jobs import (
    Dropped,
    Finished,
    Handler,
    Inbox,
    Job,
    Marker,
    Passed,
    Piece,
    Verdict,
)

PIECE_EVENTS = 256
"""Events one thread takes at a time when it is the only one: the lock is then paid once for all of them."""

TELL_EVERY_S = 0.005
"""Successes are told together, but not later than this; those of durable consumers at once."""


class Workers:
    """Runs a plain function on up to `concurrency` threads of its own."""

    def __init__(
        self,
        handler: Handler,
        name: str,
        concurrency: int,
        timeout_s: float,
        finished: Finished,
        passed: Passed,
        marker: Marker,
    ) -> None:
        self.late = 0
        self._passed = passed
        self._handler = handler
        self._name = name
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._marker = marker
        self._durable = marker.durable
        self._inbox = Inbox()
        self._filled = threading.Condition(self._inbox.lock)
        self._most = PIECE_EVENTS if concurrency == 1 else 1
        self._idle = self._threads = 0
        self._running: dict[int, tuple[Piece, int, float, Job | None]] = {}

    @property
    def queued_bytes(self) -> int:
        """Bytes of the frames that wait for a handler."""
        return self._inbox.size_bytes

    def put(self, piece: Piece) -> None:
        """Queue events, and have them handled."""
        self.queue(piece)
        self.wake()

    def queue(self, piece: Piece) -> None:
        """Queue events that are handled from the next `wake` on."""
        with self._inbox.lock:
            self._inbox.put(piece)

    def wake(self) -> None:
        """See to it that what was queued is handled."""
        with self._filled:
            self._staff()

    def overdue(self, now: float) -> None:
        """Fail what has run too long and replace its thread."""
        for thread, running in list(self._running.items()):
            piece, index, started, marked = running
            if now - started > self._timeout_s and self._running.pop(thread, None) is running:
                if marked is not None:
                    self._marker.end(marked)
                job = piece.job(index, started)
                self._say(piece, index, job, timeout_failure(job, self._timeout_s, _stack_of(thread)))
                with self._filled:
                    self._threads -= 1
                    self._inbox.put_back(piece.part(index + 1, piece.stop))
                    self._staff()
                if self._inbox.closed:
                    self._drop(piece, index + 1)

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
        while (piece := self._take()) is not None:
            if not self._handle(me, piece):
                self.late += 1
                return

    def _handle(self, me: int, piece: Piece) -> bool:
        """Give the piece's events to the handler one by one; False when this thread was given up meanwhile."""
        marked = self._durable or piece.letter is not None
        inbox, under_way, attempt, events = self._inbox, self._running, self._attempt, piece.batch.events
        now = monotonic()
        tell_at = now + TELL_EVERY_S
        for index in range(piece.start, piece.stop):
            if inbox.closed:
                self._drop(piece, index)
                return True
            job = piece.job(index) if marked else None
            if job is not None:
                self._marker.begin(job)
            under_way[me] = running = (piece, index, now, job)
            error = attempt(events[index])
            if job is not None:
                self._marker.end(job)
            if under_way.pop(me, None) is not running:
                return False
            started, now = now, monotonic()
            if error is not None or piece.letter is not None:
                self._speak(piece, index, started, error)
            elif self._durable or now >= tell_at:  # should the next one kill the process, this one is not repeated
                tell_at = now + TELL_EVERY_S
                self._tell(piece, index + 1)
        self._tell(piece, piece.stop)
        return True

    def _speak(self, piece: Piece, index: int, started: float, error: BaseException | None) -> None:
        """One event of a piece is spoken of by itself, after those before it."""
        job = piece.job(index, started)
        self._say(piece, index, job, None if error is None else failure_of(job, error))

    def _say(self, piece: Piece, index: int, job: Job, verdict: Verdict) -> None:
        self._tell(piece, index)
        piece.told = index + 1
        self._finished(job, verdict)

    def _drop(self, piece: Piece, start: int) -> None:
        """The events from index `start` on will not be handled: nothing more is started."""
        self._tell(piece, start)
        for index in range(start, piece.stop):
            self._finished(piece.job(index), Dropped())

    def _tell(self, piece: Piece, stop: int) -> None:
        """What was not spoken of yet, before index `stop`, was a success."""
        count = stop - piece.told
        if count > 0:
            first = piece.batch.first
            self._passed(piece.key, first + piece.told if first else 0, count)
            piece.told = stop

    def _take(self) -> Piece | None:
        with self._filled:
            while (piece := self._inbox.take(self._most)) is None:
                if self._inbox.closed:
                    return None
                self._idle += 1
                self._filled.wait()
                self._idle -= 1
            return piece

    def _attempt(self, event: Event) -> BaseException | None:
        """Call the handler; whatever it lets out is its event's failure."""
        try:
            result = self._handler(event)
            if result is not None and inspect.iscoroutine(result):
                result.close()
                raise TypeError("the handler returned a coroutine; subscribe the coroutine function itself")
        except BaseException as error:
            return error
        return None


def _stack_of(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame else ""
