"""Outcomes: every word of a handler is taken in once and in order, and the I/O thread is woken only when it sleeps."""

from mesh.outcomes import COLLECT_EVERY_S, Outcomes


class Course:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told = []

    def finished(self, job, verdict) -> None:
        self.told.append((job, verdict))

    def passed(self, key, first, count) -> None:
        self.told.append((key, first, count))


def test_what_handlers_say_is_taken_in_in_order_and_noted():
    stirred, noted, one, other = [], [], Course(), Course()
    outcomes = Outcomes(lambda: stirred.append(True), noted.append)
    outcomes.passed(one, ("n.1", "A"), 1, 5)
    outcomes.finished(other, "job", None)
    outcomes.finished(one, "job", "failure")
    assert (one.told, other.told) == ([], [])
    outcomes.collect(5.0)
    assert one.told == [(("n.1", "A"), 1, 5), ("job", "failure")]
    assert other.told == [("job", None)]
    assert noted == [one, other, one]


def test_runs_of_successes_that_follow_each_other_are_settled_as_one_whatever_lies_between():
    noted, course, other = [], Course(), Course()
    outcomes = Outcomes(lambda: None, noted.append)
    for first in (1, 2, 3, 9):
        outcomes.passed(course, ("n.1", "A"), first, 1)
        outcomes.passed(course, ("n.1", "B"), 10 * first, 5)
        outcomes.passed(course, None, 0, 1)
        outcomes.passed(other, ("n.1", "A"), first, 1)
    outcomes.collect(5.0)
    assert settled(course, "A") == settled(other, "A") == [1, 2, 3, 9]
    assert settled(course, "B") == [10 * first + index for first in (1, 2, 3, 9) for index in range(5)]
    assert sum(count for key, _, count in course.told if key is None) == 4
    assert len([told for told in other.told if told[0] is not None]) == 2


def settled(course: Course, topic: str) -> list[int]:
    return [first + index for key, first, count in course.told if key == ("n.1", topic) for index in range(count)]


def test_the_thread_is_woken_once_and_then_comes_by_itself_until_it_finds_nothing():
    stirred, course = [], Course()
    outcomes = Outcomes(lambda: stirred.append(True), lambda course: None)
    assert outcomes.due_at is None
    for now in (5.0, 6.0, 7.0):
        outcomes.finished(course, "job", None)
        outcomes.finished(course, "job", None)
        outcomes.collect(now)
        assert outcomes.due_at == now + COLLECT_EVERY_S
    assert len(stirred) == 1
    outcomes.collect(8.0)
    assert outcomes.due_at is None
    outcomes.finished(course, "job", None)
    assert len(stirred) == 2
