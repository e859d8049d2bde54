"""Reports: telling the node what became of events, for all subscriptions of a session in one message.

    finished ──note──▶ dirty courses ──send, at most every 20 ms──▶ on its way ──answered──▶ confirmed
                            ▲                                            │
                            └──────────── refused, or the node went ─────┘      a word of it refused: `mesh.refusals`

One report is on its way at a time: what finishes meanwhile is the next one. What a report says is made by `Settlement`
and stays there until the answer is in, so nothing needs to be put back when there is none. A report that were larger
than a message may be would never be answered, so it has a bound, which the subscriptions use by turns.
"""

from __future__ import annotations

import logging
import math

from mesh.course import Course
from mesh.link import Link
from mesh.refusals import Refusals
from mesh.requests import Json, refusal
from mesh.settlement import FAULTS_MAX, MOVES_MAX

_log = logging.getLogger("mesh")

REPORT_EVERY_S = 0.02
"""Reports are gathered for so long: a write to the node's disk for every event would be waste."""

REPORT_RELAXED_S = 0.25
"""The same, where nothing is at stake."""

REFUSED_AGAIN_S = 1.0
"""When a report that was refused is repeated."""


class Reports:
    """The reports of one session. Times in monotonic seconds."""

    def __init__(self) -> None:
        self._dirty: dict[int, Course] = {}
        self._on_its_way: list[Course] | None = None
        self._unanswered: list[Course] = []
        self._refusals = Refusals()
        self._refused = ""
        self._serial = 0
        self._sent_at = -math.inf
        self._not_before = 0.0

    def note(self, course: Course) -> None:
        """A subscription may have something to report."""
        self._dirty[course.sub] = course

    def forget(self, course: Course) -> None:
        """A subscription is gone."""
        self._dirty.pop(course.sub, None)
        self._refusals.forget(course)

    def detached(self) -> None:
        """The node is gone; what was on its way is made anew for the next one, unless it says that it was taken in."""
        self._unanswered, self._on_its_way = self._on_its_way or self._unanswered, None
        self._sent_at, self._not_before = -math.inf, 0.0
        self._refusals.detached()

    def attached(self, reported: int) -> None:
        """A node is there; `reported` is the serial of the last report it has from this session.

        Counting goes on from there: a process with a spool has its predecessor's session, and reports of its own.
        """
        if reported == self._serial:
            for course in self._unanswered:
                course.settlement.confirmed()
        self._unanswered = []
        self._serial = max(self._serial, reported)

    @property
    def due_at(self) -> float | None:
        """When there is a report to send; None when there is nothing to say or one is on its way."""
        if self._on_its_way is not None:
            return None
        due_at, again_at = self._due_at(self._reportable()), self._refusals.again_at
        return again_at if due_at is None else due_at if again_at is None else min(due_at, again_at)

    def _due_at(self, courses: list[Course]) -> float | None:
        if not courses:
            return None
        every_s = REPORT_EVERY_S if any(course.pressing for course in courses) else REPORT_RELAXED_S
        return max(self._sent_at + every_s, self._not_before)

    def send(self, link: Link, now: float) -> None:
        """Report what there is, if it is time and no report is on its way."""
        if self._on_its_way is not None:
            return
        if self._refusals.again_at is not None and now >= self._refusals.again_at:
            for course in self._refusals.say_again():
                self.note(course)
        courses = self._reportable()
        due_at = self._due_at(courses)
        if due_at is None or now < due_at:
            return
        parts = self._parts(courses)
        self._on_its_way, self._sent_at = courses[: len(parts)], now
        self._serial += 1
        link.request("report", {"serial": self._serial, "subs": parts}, self._answered, now)

    def _parts(self, courses: list[Course]) -> list[Json]:
        """What the first of the courses have to say, as much as one report holds; they come last in the next one."""
        parts: list[Json] = []
        faults, moves = FAULTS_MAX, MOVES_MAX
        for course in courses:
            if faults <= 0 or moves <= 0:
                break
            part = course.settlement.report(faults, moves)
            faults -= len(part["letters"]) + sum(len(failures) + len(lost) for *_, failures, lost in part["moves"])
            moves -= len(part["moves"])
            parts.append({"sub": course.sub, **part})
            self._dirty[course.sub] = self._dirty.pop(course.sub)
        return parts

    def _reportable(self) -> list[Course]:
        for course in [course for course in self._dirty.values() if not course.settlement.unreported]:
            del self._dirty[course.sub]
        return [course for course in self._dirty.values() if course.state == "registered"]

    def _answered(self, reply: Json, _: list[bytes], now: float) -> None:
        courses, self._on_its_way = self._on_its_way or [], None
        if reply.get("ok"):
            for course in courses:
                course.settlement.confirmed()
            self._refused = ""
            self._refusals.taken_in()
        elif not self._refusals.take(courses, reply.get("refused", ()), now):
            self._not_before = now + REFUSED_AGAIN_S
            self._warn(str(refusal(reply)))

    def _warn(self, refused: str) -> None:
        if refused != self._refused:
            _log.warning("the node refused a report, which will be repeated: %s", refused)
        self._refused = refused
