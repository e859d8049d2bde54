"""Arrivals: what the node sends by itself, and which subscriptions it is for.

    frame ──decode──▶ Batch ──by topic──▶ every course whose pattern takes it in
    beacon ──────────────────────────────▶ every course that follows the stream
    redelivery ──────────────────────────▶ the one course it names

A frame that is damaged is dropped and counted: its stream then has a gap, which is repaired like any other. A damaged
redelivery is dropped too; the node hears nothing of it and sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from mesh.batch import Batch
from mesh.course import Course
from mesh.errors import MalformedFrame
from mesh.frame import Frame, decode
from mesh.requests import POSITION, Json, unpack_beacon

_log = logging.getLogger("mesh")

TOPICS_CACHED_MAX = 10_000


class Arrivals:
    """Hands on what arrives to `courses`; whoever changes these says so with `changed`. `malformed` counts damage.

    `note` is told of a course that may have something to say to the node at once.
    """

    def __init__(self, courses: Mapping[int, Course], note: Callable[[Course], object]) -> None:
        self.malformed = 0
        self._courses = courses
        self._note = note
        self._by_topic: dict[str, tuple[Course, ...]] = {}

    def changed(self) -> None:
        """A course has come, or is ending, or is gone."""
        self._by_topic.clear()

    def frame(self, data: bytes, now: float) -> None:
        """A frame from `out`, followed by its position."""
        frame = self.decoded(data[: -POSITION.size])
        if frame is not None:
            courses = self._taking(frame.topic)
            position = POSITION.unpack_from(data, len(data) - POSITION.size)[0]
            batch = Batch(frame, position, shared=len(courses) > 1)
            for course in courses:
                course.take_in(batch, now)

    def beacon(self, part: bytes, now: float) -> None:
        """Heads that moved."""
        for origin, topic, head in unpack_beacon(part):
            for course in self._taking(topic):
                course.learn((origin, topic), head, now)

    def redeliver(self, message: Json, blobs: list[bytes]) -> None:
        """A failed event, to be tried again by one subscription."""
        course = self._courses.get(message["sub"])
        frame = self.decoded(blobs[0]) if blobs else None
        if course is not None and frame is not None:
            course.redeliver(Batch(frame, replayed=True, attempt=message["attempt"]), message["letter"])
            self._note(course)

    def decoded(self, data: bytes) -> Frame | None:
        """A frame, or None when it is damaged."""
        try:
            return decode(data)
        except MalformedFrame as error:
            self.malformed += 1
            _log.error("a frame was dropped and will be asked for again: %s", error)
            return None

    def _taking(self, topic: str) -> tuple[Course, ...]:
        found = self._by_topic.get(topic)
        if found is None:
            if len(self._by_topic) >= TOPICS_CACHED_MAX:
                self._by_topic.clear()
            courses = self._courses.values()
            found = tuple(c for c in courses if not c.ending and c.options.pattern.matches(topic))
            self._by_topic[topic] = found
        return found
