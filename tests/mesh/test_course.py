"""What a course takes in of events that no log has."""

import logging

import pytest

from mesh.batch import Batch
from mesh.course import Course
from mesh.frame import EPHEMERAL, Frame
from mesh.mailbox import Mailbox
from mesh.options import check_options
from tests.mesh.batches import batch


def ephemeral(count: int) -> Batch:
    frame = batch(1, count).frame
    return Batch(Frame("A", EPHEMERAL, 0, frame.publisher, 0, 0, count, "n.1", frame.events))


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def course(mailbox):
    made = Course(1, check_options("A", "reader", False, "now", 5, 60.0, (1.0, 60.0), 1, 10))
    mailbox.bind(made.finished, made.passed)
    made.runner = mailbox
    return made


def test_ephemeral_events_wait_far_beyond_the_queue_of_others(course, mailbox):
    for _ in range(100):
        course.take_in(ephemeral(1000), 0.0)
        course.wake()
    assert (course.pending, course.missed) == (100_000, 0)
    assert len(mailbox.pending(limit=100_000)) == 100_000


@pytest.mark.parametrize(("bound", "value", "fits"), [("EVENTS", 3, 2), ("BYTES", 3 * 37, 2), ("EVENTS", 4, 2)])
def test_what_finds_no_room_is_counted_and_said_once(course, monkeypatch, caplog, bound, value, fits):
    monkeypatch.setattr(f"mesh.course.EPHEMERAL_{bound}", value)
    with caplog.at_level(logging.WARNING, "mesh"):
        for _ in range(fits + 3):
            course.take_in(ephemeral(2), 0.0)
    assert (course.pending, course.missed) == (2 * fits, 6)
    (said,) = caplog.messages
    assert (
        said
        == f"subscription reader misses ephemeral events: {2 * fits} wait for its handler; its `missed` counts them"
    )


def test_there_is_room_again_when_the_handler_has_gone_on(course, mailbox, monkeypatch):
    monkeypatch.setattr("mesh.course.EPHEMERAL_EVENTS", 4)
    for _ in range(3):
        course.take_in(ephemeral(2), 0.0)
    course.wake()
    mailbox.acknowledge(mailbox.pending())
    course.take_in(ephemeral(2), 0.0)
    assert (course.pending, course.missed) == (2, 2)


def redelivered(course, mailbox, letter, attempt, sequence=1) -> int:
    """How many handlers run for a redelivery; they do well."""
    course.redeliver(batch(sequence, attempt=attempt), letter)
    return mailbox.acknowledge(mailbox.pending())


def test_a_redelivery_that_has_ended_already_is_answered_and_not_handled_again(course, mailbox):
    assert [redelivered(course, mailbox, 77, attempt) for attempt in (2, 2, 3)] == [1, 0, 1]
    assert course.settlement.report()["letters"] == [(77, 2, None), (77, 3, None)]
    course.settlement.confirmed()
    assert redelivered(course, mailbox, 77, 3) == 0
    assert course.settlement.report()["letters"] == [(77, 3, None)]
    course.settlement.refused({}, [0])
    assert redelivered(course, mailbox, 77, 3) == 1


def test_a_letter_of_another_event_is_handled_whatever_its_number(course, mailbox):
    assert [redelivered(course, mailbox, 77, 2, sequence) for sequence in (1, 2)] == [1, 1]


def test_of_redeliveries_that_have_ended_the_last_ones_are_known(course, mailbox, monkeypatch):
    monkeypatch.setattr("mesh.settlement.OUTCOMES_KEPT", 2)
    assert [redelivered(course, mailbox, letter, 2) for letter in (1, 2, 3, 3, 2, 1)] == [1, 1, 1, 0, 0, 1]
