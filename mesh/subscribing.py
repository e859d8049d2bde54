"""Subscribing: how a handler comes to its events and parts from them, as the threads of its user see it.

    handler, options ──▶ Course, with its runner ──add──▶ I/O thread ──▶ node ──▶ registered, or refused with a reason
                                                 ──end──▶ I/O thread ──▶ node ──▶ ended: all that ran is reported

Both are asked of the I/O thread, and the caller waits for the answer. It does not wait for ever: without a node the
registration stays pending. And a handler that ends its own subscription would wait for itself, so it does not.
"""

from __future__ import annotations

import itertools
import logging

from mesh.arguments import qualified_name, unused_name
from mesh.course import Course
from mesh.jobs import Handler
from mesh.mailbox import Mailbox
from mesh.options import CONSUMER_CHARS_MAX, Options
from mesh.runners import Runners
from mesh.session import Session

_log = logging.getLogger("mesh")

REGISTER_S = 5.0
"""How long `subscribe` waits for the node before it returns with the registration pending."""


class Subscribing:
    """The subscriptions of one bus. Its methods are for any thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._runners = Runners(session)
        self._courses: dict[int, Course] = {}
        self._subs = itertools.count(1)

    def default_name(self, handler: Handler | Mailbox) -> str:
        """Process name and the handler's qualified name, with a number when the bus has such a consumer already."""
        name = f"{self._session.name}:{qualified_name(handler)}"[: CONSUMER_CHARS_MAX - 8]
        return unused_name(name, {course.options.consumer for course in list(self._courses.values())})

    def subscribe(self, options: Options, handler: Handler | Mailbox) -> Course:
        """A new subscription, registered or, without a node, about to be. Raises `RequestRefused`, `InvalidOption`."""
        course = Course(next(self._subs), options)
        course.runner = self._runners.make(course, handler)
        self._courses[course.sub] = course
        self._session.call(lambda now: self._session.courses.add(course))
        self._await_registration(course)
        return course

    def _await_registration(self, course: Course) -> None:
        if course.settled.wait(REGISTER_S):
            if course.error is not None:
                self._courses.pop(course.sub, None)
                raise course.error
        else:
            course.warned = True
            _log.warning(
                "no node answers at %s; subscription %s is registered when one does (start it with mesh-node)",
                self._session.place,
                course.options.consumer,
            )

    def end(self, course: Course, timeout: float) -> None:
        """End a subscription, and wait at most `timeout` seconds for what runs; not in a handler of its own."""
        if self._courses.pop(course.sub, None) is None:
            return
        here = course.runner.here()
        self._session.call(lambda now: self._session.courses.end(course, now))
        if not here:
            course.ended.wait(timeout)

    def consumers(self) -> dict[str, list[str]]:
        """Pattern → names of the consumers subscribed to it."""
        found: dict[str, list[str]] = {}
        for course in list(self._courses.values()):
            found.setdefault(course.options.pattern.text, []).append(course.options.consumer)
        return found

    def here(self) -> bool:
        """Whether the caller is in a handler, whose end it must not wait for."""
        return any(course.runner.here() and course.pending for course in list(self._courses.values()))

    def close(self, timeout: float) -> None:
        """End what the handlers ran on, within `timeout` seconds."""
        self._runners.close(timeout)
