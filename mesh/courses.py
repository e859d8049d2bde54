"""All subscriptions of one session, as the I/O thread sees them.

    frame ──decode──▶ Batch ──by topic──▶ every course whose pattern takes it in
    beacon ──────────────────────────────▶ every course that follows the stream
    outcomes (any thread) ──collect──▶ settlement ──report──▶ node      one report on its way at a time
    behind? ──ask──▶ replay request ──▶ frames of the log, through the same door as live ones

The courses outlive attachments: `attached` registers each of them again with what it has settled, `detached` forgets
what was asked of the node that is gone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from mesh.errors import MalformedFrame, RequestRefused
from mesh.following import Batch, Key, replay_rows
from mesh.frame import decode
from mesh.jobs import Job, Verdict
from mesh.limits import REPLAY_BYTES_MAX
from mesh.link import Link
from mesh.reports import Reports
from mesh.requests import POSITION, Json, marker_topic, refusal, unpack_beacon
from mesh.streams import Range
from mesh.subscription import Course

_log = logging.getLogger("mesh")

COLLECT_EVERY_S = 0.005
"""Handlers that finish one event after the other are looked after this often, not at every one."""

REGISTER_AGAIN_S = 1.0
"""A name that is held elsewhere after a re-attachment is tried again at this interval."""

TOPICS_CACHED_MAX = 10_000

Outcome = tuple[Course, Callable[[], object]]
"""What a handler has to say of a subscription: to be called on the I/O thread."""


class Courses:
    """The subscriptions of one session. All methods but `finished` and `passed` belong to the I/O thread."""

    def __init__(self, session: bytes, stir: Callable[[], object]) -> None:
        self.malformed = 0
        self._session = session.hex()
        self._stir = stir
        self._stirred = False
        self._link: Link | None = None
        self._courses: dict[int, Course] = {}
        self._leaving: dict[int, Course] = {}
        self._by_topic: dict[str, tuple[Course, ...]] = {}
        self._outcomes: deque[Outcome] = deque()
        self._reports = Reports()
        self._collect_at = 0.0
        self._markers = 0

    # ---- any thread

    def finished(self, course: Course, job: Job, verdict: Verdict) -> None:
        """A handler is done with one event."""
        self._outcome(course, partial(course.finished, job, verdict))

    def passed(self, course: Course, key: Key | None, first: int, count: int) -> None:
        """A handler is done with a run of events, all of them well."""
        self._outcome(course, partial(course.passed, key, first, count))

    def _outcome(self, course: Course, take_in: Callable[[], object]) -> None:
        self._outcomes.append((course, take_in))
        if not self._stirred:
            self._stirred = True
            self._stir()

    # ---- coming and going

    def add(self, course: Course) -> None:
        """A new subscription; it is registered when a node is attached."""
        self._courses[course.sub] = course
        self._by_topic.clear()

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
        fields = course.subscribe_fields(marker)
        link.request("subscribe", fields, partial(self._registered, link, course, marker), now)

    def _registered(self, link: Link, course: Course, marker: str, reply: Json, _: list[bytes], now: float) -> None:
        link.out.unsubscribe(marker_topic(marker))
        if reply.get("ok"):
            course.registered(reply, now)
            self._reports.note(course)
        else:
            self._deafen(course)
            self._refused(course, refusal(reply), now)

    def _refused(self, course: Course, error: RequestRefused, now: float) -> None:
        if course.resuming and error.code == "held":
            course.state, course.register_at = "new", now + REGISTER_AGAIN_S
            if not course.warned:
                course.warned = True
                _log.warning("subscription %s waits for its name: %s", course.options.consumer, error)
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
        self._by_topic.clear()
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
        self._by_topic.clear()

    @property
    def empty(self) -> bool:
        """Whether every subscription has ended."""
        return not self._courses and not self._leaving

    # ---- what arrives

    def frame(self, data: bytes, now: float) -> None:
        """A frame from `out`, followed by its position."""
        try:
            frame = decode(data[: -POSITION.size])
        except MalformedFrame as error:
            self._count_malformed(error)
            return
        batch = Batch(frame, POSITION.unpack_from(data, len(data) - POSITION.size)[0])
        for course in self._taking(frame.topic):
            course.take_in(batch, now)

    def beacon(self, part: bytes, now: float) -> None:
        """Heads that moved."""
        for origin, topic, head in unpack_beacon(part):
            for course in self._taking(topic):
                course.learn((origin, topic), head, now)

    def redeliver(self, message: Json, blobs: list[bytes]) -> None:
        """A failed event, to be tried again by one subscription."""
        course = self._courses.get(message["sub"])
        if course is not None and blobs:
            course.redeliver(Batch(decode(blobs[0]), replayed=True, attempt=message["attempt"]), message["letter"])

    def _taking(self, topic: str) -> tuple[Course, ...]:
        found = self._by_topic.get(topic)
        if found is None:
            if len(self._by_topic) >= TOPICS_CACHED_MAX:
                self._by_topic.clear()
            courses = self._courses.values()
            found = tuple(c for c in courses if not c.ending and c.options.pattern.matches(topic))
            self._by_topic[topic] = found
        return found

    def _count_malformed(self, error: MalformedFrame) -> None:
        self.malformed += 1
        _log.error("a frame was dropped and will be asked for again: %s", error)

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
        batches = []
        for position, blob in zip(reply["rows"], blobs, strict=True):
            try:
                batches.append(Batch(decode(blob), position, replayed=True))
            except MalformedFrame as error:
                self._count_malformed(error)
        gone = [_gone(*row) for row in reply["gone"]]
        course.replayed(batches, gone, now)
        self._reports.note(course)

    # ---- what is reported

    def collect(self, now: float) -> None:
        """Take in what handlers have finished.

        As long as there is something each time, handlers do not wake this thread: it comes back by itself.
        """
        self._stirred = bool(self._outcomes)
        self._collect_at = now + COLLECT_EVERY_S
        while self._outcomes:
            course, take_in = self._outcomes.popleft()
            take_in()
            self._reports.note(course)

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
        times = []
        if self._stirred or self._outcomes:
            times.append(self._collect_at)
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


def _gone(origin: str, topic: str, first: int, last: int) -> tuple[Key, Range]:
    return (origin, topic), Range(first, last)
