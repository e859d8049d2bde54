"""Runners: what runs a handler, chosen by what the handler is.

a function              ──▶ Workers, on threads of its own
a coroutine function    ──▶ Pumps, on the event loop that runs where it is subscribed
  where no loop runs    ──▶ Pumps, on a loop the bus has for that in one thread
a Mailbox               ──▶ itself: it keeps the events until somebody asks for them
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial

from mesh.arguments import is_async
from mesh.course import Course
from mesh.dispatch import Workers
from mesh.jobs import Handler, Marker, Runner
from mesh.mailbox import Mailbox
from mesh.pumps import LoopThread, Pumps
from mesh.session import Session


class Runners:
    """Makes the runners of one bus, and owns its event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._loop_thread: LoopThread | None = None

    def make(self, course: Course, handler: Handler | Mailbox) -> Runner:
        """A runner of a subscription's handler. Raises `InvalidOption` when that cannot be called."""
        options, said = course.options, self._session.courses.outcomes
        finished, passed = partial(said.finished, course), partial(said.passed, course)
        if isinstance(handler, Mailbox):
            handler.bind(finished, passed)
            return handler
        marker = Marker(self._session.marks, course.sub, options.durable)
        if is_async(handler):
            return Pumps(handler, options.concurrency, options.timeout_s, finished, marker, self._loop())
        return Workers(
            handler,
            options.consumer,
            options.concurrency,
            options.timeout_s,
            finished,
            passed,
            marker,
            self._session.reading,
        )

    def close(self, timeout: float) -> None:
        """End the bus's own loop, within `timeout` seconds."""
        if self._loop_thread is not None:
            self._loop_thread.close(timeout)

    def _loop(self) -> asyncio.AbstractEventLoop:
        """The loop that runs here, or the bus's own."""
        running = asyncio._get_running_loop()
        if running is not None:
            return running
        with self._lock:
            if self._loop_thread is None:
                self._loop_thread = LoopThread(self._session.name)
        return self._loop_thread.loop
