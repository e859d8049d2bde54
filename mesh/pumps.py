"""Pumps: coroutine handlers as tasks on the loop they belong to.

    I/O thread ──put──▶ Inbox, call_soon_threadsafe ──▶ pump tasks, up to `concurrency`, until the inbox is empty

A coroutine that exceeds its time is cancelled, and its event has failed. One that goes on all the same, or whose loop
stands still, is given up like a thread (`mesh.dispatch`): its event has failed, another task takes its place, and what
it returns some day is ignored and counted. Whoever removes a job from `_running` first has the right to speak about it.

A pump that is cancelled itself, because its loop ends, drops its event: that is neither done nor failed, and a durable
consumer is given it again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from time import monotonic

from mesh import timeslice
from mesh.failures import failure_of, timeout_failure, traceback_of
from mesh.jobs import (
    Dropped,
    Finished,
    Handler,
    Inbox,
    Job,
    Marker,
    Piece,
    Verdict,
)

_log = logging.getLogger("mesh")

EVENTS_PER_STEP = 32
"""A coroutine that never waits still lets its loop run others this often."""

CANCEL_S = 5.0
"""What a coroutine that was cancelled may take to clean up before it is given up."""

_UNSTOPPABLE = "the coroutine was cancelled, and {:g} s later it had not ended, or its event loop stood still\n"


class Pumps:
    """Runs a coroutine function as up to `concurrency` tasks on one event loop."""

    def __init__(
        self,
        handler: Handler,
        concurrency: int,
        timeout_s: float,
        finished: Finished,
        marker: Marker,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.late = 0
        self._handler = handler
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._finished = finished
        self._marker = marker
        self._durable = marker.durable
        self._loop = loop
        self._inbox = Inbox()
        self._called = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[Job, asyncio.Task[None]] = {}

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
        self._call()

    def overdue(self, now: float) -> None:
        """Give up what has run too long and was not ended by being cancelled, and what no loop runs any more."""
        gone = self._loop.is_closed()
        for job in list(self._running):
            late = now - job.started > self._timeout_s + CANCEL_S
            task = self._running.pop(job, None) if late or gone else None
            if task is not None:
                self._tasks.discard(task)
                self._marker.end(job)
                self._finished(job, Dropped() if gone else self._unstoppable(job))
                self._call()

    def _unstoppable(self, job: Job) -> Verdict:
        return timeout_failure(job, self._timeout_s, _UNSTOPPABLE.format(CANCEL_S))

    def close(self) -> int:
        """Start nothing more; returns how many queued events will not be handled."""
        with self._inbox.lock:
            return self._inbox.close()

    def here(self) -> bool:
        """Whether the caller runs on the handler's loop, or the loop is gone."""
        return self._loop.is_closed() or asyncio._get_running_loop() is self._loop

    def _call(self) -> None:
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
        me = asyncio.current_task()
        assert me is not None  # only tasks run this
        taken = 0
        while (job := self._take()) is not None:
            self._running[job] = me
            verdict = await (self._marked(job) if self._durable or job.letter is not None else self._attempt(job))
            if self._running.pop(job, None) is None:
                self.late += 1
                return
            self._finished(job, verdict)
            if isinstance(verdict, Dropped):
                return
            taken += 1
            if taken % EVENTS_PER_STEP == 0:
                await asyncio.sleep(0)

    def _take(self) -> Job | None:
        with self._inbox.lock:
            piece = self._inbox.take(1)
        return piece.job(piece.start, monotonic()) if piece else None

    async def _marked(self, job: Job) -> Verdict:
        self._marker.begin(job)
        try:
            return await self._attempt(job)
        finally:
            self._marker.end(job)

    async def _attempt(self, job: Job) -> Verdict:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                await self._handler(job.event)
        except GeneratorExit:  # the loop is closed and the task thrown away; there is no task now to ask
            return Dropped()
        except BaseException as error:  # whatever a handler lets out is its event's failure
            if limit.expired():
                return timeout_failure(job, self._timeout_s, traceback_of(error))
            return Dropped() if self._ending() else failure_of(job, error)
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
        timeslice.shorten(passed_on=False)
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
