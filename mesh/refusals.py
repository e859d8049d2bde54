"""Refusals: what the node does not take in of a report, told once and said again a few times.

    report ──refused, words 3 and 7──▶ the other words are said at once
                                       3 and 7 wait 1 s, 2 s, 4 s … 64 s ──still refused──▶ until the next attachment

A word may be untrue for good, by a defect here or at a node that is stricter, or for a while: a node whose disk was set
back does not have yet what its programs have handled, and repairs that from its peers. So it is tried again, but not
for ever. What it is about stays unsettled at the node meanwhile: `mesh audit` shows it as in flight.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from mesh.course import Course
from mesh.requests import Json

_log = logging.getLogger("mesh")

AGAIN_AFTER_S = 1.0
"""The first wait; each next one is twice as long."""
TRIES_MAX = 7
"""So often, within two minutes: a node that lacks something compares notes with its peers every ten seconds."""


class Refusals:
    """The refused words of one session's reports. `again_at`: when to say them again; None when there is nothing to."""

    def __init__(self) -> None:
        self.again_at: float | None = None
        self._courses: dict[int, Course] = {}
        self._told: set[tuple[int, str]] = set()
        self._tries = 0

    def take(self, courses: Collection[Course], words: Collection[Json], now: float) -> bool:
        """A report of these courses was refused because of these words. False when none of them is theirs."""
        meant = False
        for course in courses:
            moves = [word for word in words if word["sub"] == course.sub and "move" in word]
            letters = [word for word in words if word["sub"] == course.sub and "letter" in word]
            if moves or letters:
                meant = True
                ends = {word["move"]: word.get("head") for word in moves}
                about = course.settlement.refused(ends, [word["letter"] for word in letters])
                self._courses[course.sub] = course
                for subject, word in zip(about, [*moves, *letters], strict=True):
                    self._tell(course, subject, word["why"])
        if meant:
            self.again_at = now + AGAIN_AFTER_S * 2.0**self._tries if self._tries < TRIES_MAX else None
        return meant

    def _tell(self, course: Course, subject: str, why: str) -> None:
        if (course.sub, subject) not in self._told:
            self._told.add((course.sub, subject))
            self._tries = 0
            name = course.options.consumer
            _log.error("subscription %s: the node does not take in what is reported of %s: %s", name, subject, why)

    def say_again(self) -> list[Course]:
        """The courses that try again now."""
        self._tries += 1
        self.again_at = None
        for course in self._courses.values():
            course.settlement.say_again()
        return list(self._courses.values())

    def taken_in(self) -> None:
        """The node has taken a report in; if that was all, what is refused later is tried as often again."""
        if self._courses and not any(course.settlement.holding for course in self._courses.values()):
            self._courses.clear()
            self.again_at, self._tries = None, 0

    def forget(self, course: Course) -> None:
        """A subscription is gone."""
        self._courses.pop(course.sub, None)

    def detached(self) -> None:
        """The next node, or the next life of this one, is told everything again."""
        self.say_again()
        self._courses.clear()
        self._told.clear()
        self._tries = 0
