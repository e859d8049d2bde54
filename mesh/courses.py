"""All subscriptions of one session, as the I/O thread sees them.

    arrivals ──▶ every course that wants them (`mesh.arrivals`)
    handlers ──outcomes──▶ settlement (`mesh.outcomes`) ──report──▶ node (`mesh.reports`)
    behind? ──ask──▶ replay request ──▶ frames of the log, through the same door as live ones

The courses outlive attachments: `attached` registers each of them again with what it has settled, `detached` forgets
what was asked of the node that is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from mesh.arrivals import Arrivals
from mesh.batch import Batch
from mesh.course import Course, subscribe_fields
from mesh.errors import RequestRefused
from mesh.following import replay_rows
from mesh.limits import REPLAY_BYTES_MAX
from mesh.link import Link
from mesh.outcomes import Outcomes
from mesh.reports import Reports
from mesh.requests import Json, marker_topic, refusal
from mesh.streams import Key, Range

_log = logging.getLogger("mesh")

REGISTER_AGAIN_S = 1.0
"""What is refused for a reason that passes is tried again at this interval."""


class Courses:
    """The subscriptions of one session. Belongs to the I/O thread, but for what `outcomes` takes from handlers."""

    def __init__(self, session: bytes, stir: Callable[[], object]) -> None:
        self._session = session.hex()
        self._link: Link | None = None
        self._courses: dict[int, Course] = {}
        self._leaving: dict[int, Course] = {}
        self._reports = Reports()
        self._markers = 0
        self.arrivals = Arrivals(self._courses, self._reports.note)
        self.outcomes = Outcomes(stir, self._reports.note)

    # ---- coming and going

    def add(self, course: Course) -> None:
        """A new subscription; it is registered when a node is attached."""
        self._courses[course.sub] = course
        self.arrivals.changed()

    def attached(self, link: Link, reported: int) -> None:
        """A node is there, which has this session's reports up to serial `reported`; `register` follows."""
        self._link = link
        self._reports.attached(reported)

    def detached(self) -> None:
        """The node is gone; reports on their way are made anew later."""
        self._link = None
        self._reports.detached()
        for course in self._courses.values():
            course.detached()
        for course in list(self._leaving.values()):
            self._left(course)

    def register(self, now: float) -> None:
        """Register every subscription that is not."""
        for course in self._courses.values():
            if self._link is not None and _to_register(course) and now >= course.register_at:
                self._register(course, self._link, now)

    def _register(self, course: Course, link: Link, now: float) -> None:
        self._markers += 1
        marker = f"{self._session}.{self._markers}"
        course.state, course.listening = "registering", True
        link.out.subscribe(course.options.pattern.prefix)
        link.out.subscribe(marker_topic(marker))
        fields = subscribe_fields(course, marker)
        link.request("subscribe", fields, partial(self._registered, link, course, marker), now)

    def _registered(self, link: Link, course: Course, marker: str, reply: Json, _: list[bytes], now: float) -> None:
        link.out.unsubscribe(marker_topic(marker))
        if course.sub not in self._courses:  # it has ended meanwhile, and the node is told so
            course.settled.set()
        elif reply.get("ok"):
            course.registered(reply, now)
            self._reports.note(course)
        else:
            self._deafen(course)
            self._refused(course, refusal(reply), now)

    def _refused(self, course: Course, error: RequestRefused, now: float) -> None:
        if _passes(course, error.code):
            course.state, course.register_at = "new", now + REGISTER_AGAIN_S
            if not course.warned and error.code != "hello":
                course.warned = True
                _log.warning("subscription %s is tried again until it is taken: %s", course.options.consumer, error)
            return
        if course.resuming or course.warned:
            _log.error("subscription %s was refused: %s", course.options.consumer, error)
        course.refused(error)
        self._remove(course)

    def end(self, course: Course, now: float) -> None:
        """Close one subscription: `ended` is set when all that ran is reported and the node has forgotten it."""
        if course.sub not in self._courses:
            course.ended.set()
            return
        course.end()
        self.arrivals.changed()
        self._deafen(course)
        self.sweep(now)

    def _deafen(self, course: Course) -> None:
        if self._link is not None and course.listening:
            self._link.out.unsubscribe(course.options.pattern.prefix)
        course.listening = False

    def end_all(self, now: float) -> None:
        """Close every subscription."""
        for course in list(self._courses.values()):
            self.end(course, now)

    def sweep(self, now: float) -> None:
        """Let go of the ending subscriptions that have nothing more to say."""
        for course in [course for course in self._courses.values() if course.ending and course.quiet]:
            self._deafen(course)
            if self._link is not None and course.state in ("registering", "registered"):
                self._leaving[course.sub] = course
                self._link.request("unsubscribe", {"sub": course.sub}, partial(self._left, course), now)
            else:
                course.ended.set()
            self._remove(course)

    def _left(self, course: Course, *_: object) -> None:
        self._leaving.pop(course.sub, None)
        course.ended.set()

    def _remove(self, course: Course) -> None:
        self._courses.pop(course.sub, None)
        self._reports.forget(course)
        self.arrivals.changed()

    @property
    def empty(self) -> bool:
        """Whether every subscription has ended."""
        return not self._courses and not self._leaving

    def wake(self) -> bool:
        """Have handled what was taken in since the last time; says whether there was any."""
        woken = [course for course in self._courses.values() if course.fresh]
        for course in woken:
            course.wake()
        return bool(woken)

    # ---- what is asked for

    def ask(self, now: float) -> None:
        """Ask the log for what subscriptions miss, where they have room."""
        for course in self._courses.values():
            if _may_ask(course):
                self._ask(course, now)

    def _ask(self, course: Course, now: float) -> None:
        wanted = course.following.ask(course.pending, now, light=course.light)
        if wanted and self._link is not None:
            fields = {"ranges": replay_rows(wanted), "bytes_max": REPLAY_BYTES_MAX}
            self._link.request("replay", fields, partial(self._replayed, course), now)

    def _replayed(self, course: Course, reply: Json, blobs: list[bytes], now: float) -> None:
        if not reply.get("ok"):
            _log.warning("subscription %s: replay refused: %s", course.options.consumer, refusal(reply))
            course.following.answered(False, now)
            return
        frames = [(position, self.arrivals.decoded(blob)) for position, blob in zip(reply["rows"], blobs, strict=True)]
        batches = [Batch(frame, position, replayed=True) for position, frame in frames if frame is not None]
        gone = [_gone(*row) for row in reply["gone"]]
        course.replayed(batches, gone, now)
        self._reports.note(course)

    # ---- what is reported

    def report(self, now: float) -> None:
        """Tell the node what was finished, if it is time."""
        if self._link is not None:
            self._reports.send(self._link, now)

    # ---- time

    def overdue(self, now: float) -> None:
        """Fail what has run too long."""
        for course in self._courses.values():
            if course.pending:
                course.runner.overdue(now)

    def next_at(self, now: float) -> float | None:
        """When there is something to do again without anything arriving; monotonic seconds."""
        times = [at for at in (self.outcomes.due_at,) if at is not None]
        if self._link is not None and (report_at := self._reports.due_at) is not None:
            times.append(report_at)
        for course in self._courses.values():
            if course.pending:
                times.append(now + min(1.0, course.options.timeout_s / 4))
            ask_at = course.following.ask_at
            if ask_at is not None and _may_ask(course):
                times.append(ask_at)
            if self._link is not None and _to_register(course):
                times.append(course.register_at)
        return min(times, default=None)


def _may_ask(course: Course) -> bool:
    room = course.light or 2 * course.pending <= course.options.queue
    return room and course.state == "registered" and course.following.behind and not course.ending


def _to_register(course: Course) -> bool:
    """An ending subscription is registered again too, as long as it has something to report."""
    return course.state == "new" and not (course.ending and course.quiet)


def _passes(course: Course, code: str) -> bool:
    """Whether a refusal is for a reason that passes, and nobody waits for the answer who could try again.

    hello   the node has lost the session, and will ask for a new attachment: no answer to what was asked
    disk    it takes nothing now; as long as `subscribe` waits, that says so
    held    somebody has taken the name since the subscription had it; else it is an error to want it, too
    """
    return code == "hello" or (course.resuming and code in ("held", "disk")) or (course.warned and code == "disk")


def _gone(origin: str, topic: str, first: int, last: int) -> tuple[Key, Range]:
    return (origin, topic), Range(first, last)
