"""Marks: what the node finds when a process died, and what it does not find while the process lives."""

import os

import pytest

from mesh.marks import EVENT, LETTER, SLOTS, Mark, Marks, marks_path, take_marks

SESSION = b"12345678"


@pytest.fixture
def path(tmp_path):
    return marks_path(tmp_path, SESSION)


@pytest.fixture
def marks(path):
    made = Marks(path)
    made.attached()
    return made


def test_nothing_is_written_before_there_is_something_to_mark(marks, path):
    assert not path.parent.exists()
    assert take_marks(path) == []


def test_the_node_finds_what_was_under_way_and_not_what_had_ended(marks, path):
    marks.begin(EVENT, 1, 100)
    ended = marks.begin(EVENT, 1, 101)
    marks.begin(LETTER, 2, 7)
    marks.end(ended)
    assert sorted(take_marks(path)) == [Mark(EVENT, 1, 100), Mark(LETTER, 2, 7)]
    assert not path.exists()


def test_the_file_is_its_owners_only(marks, path):
    marks.begin(EVENT, 1, 100)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_is_under_way_beyond_the_last_slot_is_not_marked(marks, path):
    slots = [marks.begin(EVENT, 1, 100 + n) for n in range(SLOTS)]
    assert sorted(slots) == list(range(SLOTS))
    assert marks.begin(EVENT, 1, 999) is None
    marks.end(slots[3])
    assert marks.begin(EVENT, 1, 200) == slots[3]
    assert sorted(mark.value for mark in take_marks(path)) == [100, 101, 102, *range(104, 100 + SLOTS), 200]


def test_a_process_that_only_loses_its_attachment_leaves_no_marks(marks, path):
    slot = marks.begin(EVENT, 1, 100)
    marks.detached()
    assert list(path.parent.iterdir()) == []
    marks.end(slot)
    marks.begin(EVENT, 1, 101)
    assert list(path.parent.iterdir()) == []


def test_after_a_new_attachment_what_still_runs_is_marked_again(marks, path):
    ended, running = marks.begin(EVENT, 1, 100), marks.begin(LETTER, 1, 9)
    marks.detached()
    marks.end(ended)
    marks.attached()
    assert take_marks(path) == [Mark(LETTER, 1, 9)]
    marks.detached()
    marks.end(running)
    marks.attached()
    assert not path.exists()


def test_an_old_file_of_the_same_session_does_not_shine_through(marks, path):
    path.parent.mkdir()
    path.write_bytes(b"\x01" * 16 * SLOTS)
    marks.begin(EVENT, 1, 100)
    assert take_marks(path) == [Mark(EVENT, 1, 100)]


def test_a_file_that_cannot_be_made_costs_the_marks_and_nothing_else(marks, path, caplog):
    path.parent.write_text("in the way")
    slot = marks.begin(EVENT, 1, 100)
    marks.end(slot)
    marks.begin(EVENT, 1, 101)
    assert caplog.text.count("cannot be marked") == 1


def test_a_child_process_leaves_the_file_of_its_parent_alone(marks, path):
    slot = marks.begin(EVENT, 1, 100)
    child = os.fork()
    if child == 0:
        marks.forked()
        marks.end(slot)
        marks.begin(EVENT, 1, 200)
        marks.detached()
        os._exit(0)
    os.waitpid(child, 0)
    assert take_marks(path) == [Mark(EVENT, 1, 100)]
