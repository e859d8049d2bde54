"""Arrivals: what comes goes to every course that wants it and to no other, and damage costs only what is damaged."""

import orjson
import pytest

from mesh.arrivals import Arrivals
from mesh.frame import encode
from mesh.requests import POSITION, pack_beacon
from mesh.topic import check_pattern
from tests.mesh.batches import batch


class Options:
    def __init__(self, pattern: str) -> None:
        self.pattern = check_pattern(pattern)


class Course:
    """Notes what it is given."""

    def __init__(self, pattern: str) -> None:
        self.options = Options(pattern)
        self.ending = False
        self.given = []
        self.shared = []

    def take_in(self, batch, now) -> None:
        self.shared.append(batch.shared)
        self.given.append((batch.key[1], batch.first, batch.position, batch.replayed))

    def learn(self, key, head, now) -> None:
        self.given.append((*key, head))

    def redeliver(self, batch, letter) -> None:
        self.given.append((letter, batch.attempt, batch.replayed))


@pytest.fixture
def courses():
    return {sub: Course(pattern) for sub, pattern in enumerate(("A", "*", "B.*"), 1)}


@pytest.fixture
def arrivals(courses):
    return Arrivals(courses, id)


def given(courses) -> list[list]:
    return [course.given for course in courses.values()]


def live(first: int, topic: str, position: int) -> bytes:
    return encode(batch(first, 2, topic).frame) + POSITION.pack(position)


def test_a_frame_goes_to_every_course_whose_pattern_takes_it_in(arrivals, courses):
    arrivals.frame(live(3, "A", 40), 5.0)
    arrivals.frame(live(1, "B.1", 42), 5.0)
    one, other = ("A", 3, 40, False), ("B.1", 1, 42, False)
    assert given(courses) == [[one], [one, other], [other]]


def test_a_frame_says_whether_several_courses_take_it_in(arrivals, courses):
    del courses[3]
    arrivals.frame(live(3, "A", 40), 5.0)
    arrivals.frame(live(1, "B.1", 42), 5.0)
    assert [course.shared for course in courses.values()] == [[True], [True, False]]


def test_a_beacon_tells_of_several_streams_at_once(arrivals, courses):
    arrivals.beacon(pack_beacon([("n.1", "A", 7), ("n.2", "B.1", 8)]), 5.0)
    assert given(courses) == [[("n.1", "A", 7)], [("n.1", "A", 7), ("n.2", "B.1", 8)], [("n.2", "B.1", 8)]]


def test_a_redelivery_goes_to_the_course_it_names(arrivals, courses):
    message, frame = {"sub": 1, "letter": 77, "attempt": 3}, encode(batch(1).frame)
    arrivals.redeliver(message, [frame])
    arrivals.redeliver({**message, "sub": 9}, [frame])
    arrivals.redeliver(message, [])
    assert given(courses) == [[(77, 3, True)], [], []]


def test_courses_that_come_end_or_go_are_seen_once_it_is_said(arrivals, courses):
    arrivals.frame(live(1, "A", 1), 5.0)
    courses[2].ending = True
    courses[4] = Course("A")
    arrivals.changed()
    arrivals.frame(live(3, "A", 3), 5.0)
    assert [len(each) for each in given(courses)] == [2, 1, 0, 1]


@pytest.mark.parametrize("bit", [0, 300, 700])
def test_damage_is_counted_and_costs_nothing_else(arrivals, courses, bit):
    spoiled = bytearray(live(1, "A", 1))
    spoiled[bit // 8] ^= 1 << bit % 8
    arrivals.frame(bytes(spoiled), 5.0)
    arrivals.redeliver({"sub": 1, "letter": 77, "attempt": 3}, [bytes(spoiled)])
    arrivals.frame(orjson.dumps({}), 5.0)
    assert arrivals.malformed == 3
    assert given(courses) == [[], [], []]
