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
