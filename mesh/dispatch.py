"""Dispatch: plain handlers on worker threads.

    I/O thread ─queue─▶ Inbox ──take──▶ worker thread ──▶ passed(key, first, count) │ finished(job, verdict)
    I/O thread ──overdue(now)──▶ gives up what has run too long ──▶ finished(job, timeout)

Events are taken in stream order; with `concurrency` 1 the next begins when the one before has ended. Threads are
started when there is work and never before. Coroutine handlers are run by `mesh.pumps` under the same rules.

A worker thread cannot be stopped from outside. One whose handler exceeds its time is given up: the event has failed,
another thread takes its place, and what the old one returns some day is ignored and counted. Who has the right to speak
about an event is decided without a lock around handlers:

    turn  [ (index, since, job) ]     worker: `turn[0] = …` after each event; an IndexError says that it was given up
                                      overdue: `turn.remove(what it saw)`; a ValueError: the worker has gone on

Each of the two is one step of the interpreter, so one of them comes first, and the other finds it out.

While the I/O thread reads (`reading` is held) no piece is begun. Every read from a socket lets go of the interpreter
for a moment, and a thread that waits for it is woken each time, in vain: for frames of one event that came to 0.3
switches of threads an event, now 0.03, and to a quarter of a subscriber's processor time.

Any exception a handler lets out is a failure of that event, also SystemExit and KeyboardInterrupt: what a handler does
must not end the machinery that runs it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Coroutine, Iterable
from time import monotonic
from typing import Any

from mesh import timeslice
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
from mesh.limits import BATCH_EVENTS_MAX
from mesh.stacks import stack_of

TELL_EVERY_S = 0.005
"""Successes are told together, but not later than this; those of durable consumers at once."""


Turn = list[tuple[int, float, Job | None]]
"""What a worker is at: index into its piece (the end: at none), since when (monotonic s), its job if it is marked."""


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
        reading: threading.Lock,
    ) -> None:
        self.late = 0
        self._passed = passed
        self._handler = handler
        self._name = name
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._marker = marker
        self._reading = reading
        self._durable = marker.durable
        self._inbox = Inbox()
        self._filled = threading.Condition(self._inbox.lock)
        self._most = BATCH_EVENTS_MAX if concurrency == 1 else 1
        self._idle = self._threads = 0
        self._running: dict[int, tuple[Piece, Turn]] = {}

    @property
    def queued_bytes(self) -> int:
        """Bytes of the frames that wait for a handler."""
        return self._inbox.size_bytes

    def put(self, piece: Piece) -> None:
        """Queue events, and have them handled."""
        self.queue([piece])
        self.wake()

    def queue(self, pieces: Iterable[Piece]) -> None:
        """Queue events that are handled from the next `wake` on."""
        with self._inbox.lock:
            for piece in pieces:
                self._inbox.put(piece)

    def wake(self) -> None:
        """See to it that what was queued is handled."""
        with self._filled:
            self._staff()

    def overdue(self, now: float) -> None:
        """Fail what has run too long and replace its thread."""
        for thread, (piece, turn) in list(self._running.items()):
            for under_way in tuple(turn):
                index, started, marked = under_way
                if index < piece.stop and now - started > self._timeout_s and _gone(turn, under_way):
                    if marked is not None:
                        self._marker.end(marked)
                    self._give_up(thread, piece, index, started)

    def _give_up(self, thread: int, piece: Piece, index: int, started: float) -> None:
        del self._running[thread]
        job = piece.job(index, started)
        self._say(piece, index, job, timeout_failure(job, self._timeout_s, stack_of(thread)))
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
        timeslice.shorten(passed_on=False)
        me = threading.get_ident()
        while (piece := self._take()) is not None:
            if self._reading.locked():
                with self._reading:
                    pass
            now = monotonic()
            turn: Turn = [(piece.start, now, None)]
            self._running[me] = (piece, turn)
            if not self._handle(piece, turn, now):
                self.late += 1
                return
            del self._running[me]

    def _handle(self, piece: Piece, turn: Turn, now: float) -> bool:
        """Give the piece's events to the handler one by one; False when this thread was given up meanwhile.

        The handler is called right here, because a function around it would cost as much as all the rest.
        """
        alone = piece.letter is not None
        marked = self._durable or alone
        events = piece.events(kept=marked or self._concurrency > 1)
        inbox, handler, job = self._inbox, self._handler, None
        tell_at = now + TELL_EVERY_S
        for index, event in enumerate(events, piece.start):
            if inbox.closed:
                return self._leave(piece, index, turn)
            if marked and (job := self._mark(piece, index, now, turn)) is None:
                return False
            error: BaseException | None = None
            try:
                result = handler(event)
                if result is not None and inspect.iscoroutine(result):
                    error = _forgotten(result)
            except BaseException as raised:  # whatever a handler lets out is its event's failure
                error = raised
            started, now = now, monotonic()
            telling = error is not None or marked or now >= tell_at
            try:
                turn[0] = (piece.stop if telling else index + 1, now, None)
            except IndexError:
                return False
            if not telling:
                continue
            if job is not None:
                self._marker.end(job)
            if error is not None or alone:
                self._speak(piece, index, started, error)
                error = None  # its traceback holds this frame
            else:  # should the next one kill the process, this one is not repeated
                self._tell(piece, index + 1)
                tell_at = now + TELL_EVERY_S
            turn[0] = (index + 1, now, None)
        self._tell(piece, piece.stop)
        return True

    def _leave(self, piece: Piece, index: int, turn: Turn) -> bool:
        """Begin with no more events, from `index` on; False when this thread was given up."""
        try:
            turn[0] = (piece.stop, 0.0, None)
        except IndexError:
            return False
        self._drop(piece, index)
        return True

    def _mark(self, piece: Piece, index: int, since: float, turn: Turn) -> Job | None:
        """Mark an event before its handler is called; None when this thread was given up."""
        job = piece.job(index)
        self._marker.begin(job)
        try:
            turn[0] = (index, since, job)
        except IndexError:
            self._marker.end(job)
            return None
        return job

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


def _gone(turn: Turn, under_way: tuple[int, float, Job | None]) -> bool:
    """Take from a worker the right to speak about what it has under way; False when it was faster."""
    try:
        turn.remove(under_way)
    except ValueError:
        return False
    return True


def _forgotten(coroutine: Coroutine[Any, Any, Any]) -> TypeError:
    coroutine.close()
    return TypeError("the handler returned a coroutine; subscribe the coroutine function itself")
