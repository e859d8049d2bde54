"""Dispatch: one subscription's queue, and the threads or tasks that run its handler.

    I/O thread ──put──▶ Inbox ──take──▶ worker thread (sync handler) ─┐
                        in order       or pump task  (coroutine)     ├──▶ finished(job, verdict)
    I/O thread ──overdue(now)──▶ gives up what has run too long ──────┘

Events are taken in stream order; with `concurrency` 1 the next begins when the one before has ended. Threads and tasks
are started when there is work and never before.

A worker thread cannot be stopped from outside. One whose handler exceeds its time is given up: the event has failed,
another thread takes its place, and what the old one returns some day is ignored and counted. Whoever removes a job from
`_running` first (the worker when the handler returns, or `overdue`) has the right to speak about it; removing from a
dict is atomic, so there is no lock around handlers. A coroutine is cancelled instead.

Any exception a handler lets out is a failure of that event, also SystemExit and KeyboardInterrupt: what a handler does
must not end the machinery that runs it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from mesh.event import Event
from mesh.following import Batch, Key
from mesh.limits import TRACEBACK_CHARS_MAX
from mesh.requests import Failure

_log = logging.getLogger("mesh")

Handler = Callable[[Event], Any]

ERROR_CHARS_MAX = 2000
"""What is kept of an exception's message."""

EVENTS_PER_STEP = 32
"""A coroutine that never waits still lets its loop run others this often."""


class Job:
    """One event on its way through a handler. `key` is None for what is not settled by sequence."""

    __slots__ = ("event", "key", "letter", "started")

    def __init__(self, event: Event, key: Key | None, letter: int | None) -> None:
        self.event = event
        self.key = key
        self.letter = letter
        self.started = 0.0


class Dropped:
    """The verdict on a job nobody finished: its loop went away. It is neither done nor failed."""


Verdict = Failure | Dropped | None
"""What became of a job; None is success."""

Finished = Callable[[Job, Verdict], object]


class Inbox:
    """Events that wait for one subscription's handler. The owner holds `lock` around every call."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.closed = False
        self._waiting: deque[tuple[list[Event], int, Key | None, int | None]] = deque()
        self._events: list[Event] = []
        self._at = 0
        self._key: Key | None = None
        self._letter: int | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, events: list[Event], offset: int, key: Key | None, letter: int | None) -> None:
        """Append the events from index `offset` on."""
        self._waiting.append((events, offset, key, letter))
        self._count += len(events) - offset

    def take(self) -> Job | None:
        """The next event, or None when there is none or the inbox is closed."""
        if not self._count or self.closed:
            return None
        while self._at >= len(self._events):
            self._events, self._at, self._key, self._letter = self._waiting.popleft()
        job = Job(self._events[self._at], self._key, self._letter)
        self._at += 1
        self._count -= 1
        return job

    def close(self) -> int:
        """Hand out nothing more; returns how many events were still waiting."""
        self.closed = True
        dropped, self._count = self._count, 0
        self._waiting.clear()
        return dropped


class Runner(Protocol):
    """What runs a subscription's handler: `Workers` or `Pumps`."""

    late: int

    def put(self, batch: Batch, offset: int) -> None:
        """Queue the events of a batch from index `offset` on."""

    def put_letter(self, event: Event, letter: int) -> None:
        """Queue one redelivered event."""

    def overdue(self, now: float) -> None:
        """Fail what has run too long. `now`: monotonic seconds."""

    def close(self) -> int:
        """Start nothing more; returns how many queued events will not be handled."""

    def here(self) -> bool:
        """Whether the caller must not wait for the handler, because it runs where the handler does."""


class Workers:
    """Runs a plain function on up to `concurrency` threads of its own."""

    def __init__(self, handler: Handler, name: str, concurrency: int, timeout_s: float, finished: Finished) -> None:
        self.late = 0
        self._handler = handler
        self._name = name
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._inbox = Inbox()
        self._filled = threading.Condition(self._inbox.lock)
        self._idle = self._threads = 0
        self._running: dict[int, Job] = {}

    def put(self, batch: Batch, offset: int) -> None:
        """Queue the events of a batch from index `offset` on."""
        self._put(batch.events, offset, batch.key if batch.first else None, None)

    def put_letter(self, event: Event, letter: int) -> None:
        """Queue one redelivered event."""
        self._put([event], 0, None, letter)

    def overdue(self, now: float) -> None:
        """Fail what has run too long and replace its thread."""
        for thread, job in list(self._running.items()):
            if now - job.started > self._timeout_s and self._running.pop(thread, None) is job:
                with self._filled:
                    self._threads -= 1
                    self._staff()
                self._finished(job, timeout_failure(job, self._timeout_s, _stack_of(thread)))

    def close(self) -> int:
        """Start nothing more; returns how many queued events will not be handled."""
        with self._filled:
            self._filled.notify_all()
            return self._inbox.close()

    def here(self) -> bool:
        """Whether the caller is one of the handler's threads."""
        return threading.get_ident() in self._running

    def _put(self, events: list[Event], offset: int, key: Key | None, letter: int | None) -> None:
        with self._filled:
            self._inbox.put(events, offset, key, letter)
            self._staff()

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
            job.started = monotonic()
            self._running[me] = job
            verdict = self._attempt(job)
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


class Pumps:
    """Runs a coroutine function as up to `concurrency` tasks on one event loop."""

    def __init__(
        self,
        handler: Handler,
        concurrency: int,
        timeout_s: float,
        finished: Finished,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.late = 0
        self._handler = handler
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._loop = loop
        self._inbox = Inbox()
        self._called = False
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, batch: Batch, offset: int) -> None:
        """Queue the events of a batch from index `offset` on."""
        self._put(batch.events, offset, batch.key if batch.first else None, None)

    def put_letter(self, event: Event, letter: int) -> None:
        """Queue one redelivered event."""
        self._put([event], 0, None, letter)

    def overdue(self, now: float) -> None:
        """Tasks keep their own time; nothing to do."""

    def close(self) -> int:
        """Start nothing more; returns how many queued events will not be handled."""
        with self._inbox.lock:
            return self._inbox.close()

    def here(self) -> bool:
        """Whether the caller runs on the handler's loop, or the loop is gone."""
        return self._loop.is_closed() or asyncio._get_running_loop() is self._loop

    def _put(self, events: list[Event], offset: int, key: Key | None, letter: int | None) -> None:
        with self._inbox.lock:
            self._inbox.put(events, offset, key, letter)
        if not self._called:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._start)
            except RuntimeError:
                _log.warning("the event loop of a handler is closed; its subscription stands still")

    def _start(self) -> None:
        self._called = False
        for _ in range(min(len(self._inbox), self._concurrency - len(self._tasks))):
            task = self._loop.create_task(self._pump())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self) -> None:
        taken = 0
        while (job := self._take()) is not None:
            self._finished(job, await self._attempt(job))
            taken += 1
            if taken % EVENTS_PER_STEP == 0:
                await asyncio.sleep(0)

    def _take(self) -> Job | None:
        with self._inbox.lock:
            return self._inbox.take()

    async def _attempt(self, job: Job) -> Verdict:
        job.started = monotonic()
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                await self._handler(job.event)
        except BaseException as error:  # whatever a handler lets out is its event's failure
            if limit.expired():
                return timeout_failure(job, self._timeout_s, _text_of(error))
            if self._ending():
                self._finished(job, Dropped())
                raise
            return failure_of(job, error)
        return timeout_failure(job, self._timeout_s, "") if limit.expired() else None

    def _ending(self) -> bool:
        """Whether this task itself was cancelled, not something the handler waited for."""
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0


class LoopThread:
    """An event loop in a thread of its own, for coroutine handlers subscribed where no loop runs."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"mesh loop {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def close(self, timeout: float) -> None:
        """Stop the loop; what still runs on it is cancelled."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)


def failure_of(job: Job, error: BaseException) -> Failure:
    """The failure an exception stands for."""
    return _failure(job, "error", _qualified(type(error)), _message(error), _text_of(error))


def timeout_failure(job: Job, timeout_s: float, stack: str) -> Failure:
    """The failure of a handler that exceeded its time. `stack`: where it was at that moment."""
    return _failure(job, "timeout", "TimeoutError", f"the handler ran longer than {timeout_s:g} s", stack)


def _failure(job: Job, kind: Any, error_type: str, error: str, stack: str) -> Failure:
    return Failure(
        sequence=job.event.sequence,
        attempt=job.event.attempt,
        kind=kind,
        error_type=error_type,
        error=error[:ERROR_CHARS_MAX],
        traceback=stack[-TRACEBACK_CHARS_MAX:],
        elapsed_s=round(monotonic() - job.started, 6),
    )


def _qualified(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    """`str(error)`, made fit for JSON; an exception's own `__str__` may fail."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception as second:
        return f"(its message could not be read: {type(second).__name__})"


def _text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace").decode()


def _stack_of(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame else ""
