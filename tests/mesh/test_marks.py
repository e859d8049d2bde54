"""Marks: what the node finds when a process died, and what it does not find while the process lives."""

import asyncio
import struct
import threading
from pathlib import Path

import pytest

from mesh.marks import EVENT, LETTER, SLOTS, Mark, Marks, marks_path, take_marks
from tests import forking
from tests.mesh.fake_node import eventually

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

    def act():
        marks.forked()
        marks.end(slot)
        marks.begin(EVENT, 1, 200)
        marks.detached()

    assert forking.end(forking.begin(act)) == 0
    assert take_marks(path) == [Mark(EVENT, 1, 100)]


def marked(bus):
    """What the node would find now, if the process died."""
    path = marks_path(Path(bus.place), bus._session.id)
    data = path.read_bytes() if path.exists() else b""
    slots = [struct.unpack_from("!BIQ", data, at) for at in range(0, len(data), 16)]
    return [slot for slot in slots if slot[0]]


class Held:
    """A handler that holds its event until it is let go, then ends as it is told."""

    def __init__(self, ends):
        self.entered, self.release, self.ends = threading.Event(), threading.Event(), ends

    def end(self):
        if self.ends == "error":
            raise ValueError("no")

    def plain(self, event):
        self.entered.set()
        self.release.wait(10.0)
        self.end()

    async def coroutine(self, event):
        self.entered.set()
        while not self.release.is_set():
            await asyncio.sleep(0.001)
        self.end()


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("ends", ["well", "error", "timeout"])
def test_a_durable_event_is_marked_while_its_handler_runs_however_it_ends(node, bus, kind, ends):
    held = Held(ends)
    timeout = 0.3 if ends == "timeout" else 60.0
    bus.subscribe("A", getattr(held, kind), durable=True, timeout=timeout)
    bus.publish("B").wait(10.0)
    bus.publish("A").wait(10.0)
    assert held.entered.wait(10.0)
    assert marked(bus) == [(EVENT, 1, 2)]
    if ends != "timeout":
        held.release.set()
    eventually(lambda: not marked(bus))
    held.release.set()
    eventually(lambda: node.settled("A") == 1)


def test_each_of_several_handlers_at_once_is_marked(node, bus):
    both, release = threading.Barrier(3), threading.Event()

    def handler(event):
        both.wait(10.0)
        release.wait(10.0)

    bus.subscribe("A", handler, durable=True, concurrency=2)
    bus.publish("A", {"n": 1}).wait(10.0)
    bus.publish("A", {"n": 2}).wait(10.0)
    both.wait(10.0)
    assert sorted(marked(bus)) == [(EVENT, 1, 1), (EVENT, 1, 2)]
    release.set()
    eventually(lambda: not marked(bus))


def test_of_other_consumers_only_redeliveries_are_marked(node, bus):
    held = Held("well")
    bus.subscribe("A", held.plain)
    bus.publish("A").wait(10.0)
    assert held.entered.wait(10.0)
    assert not marks_path(Path(bus.place), bus._session.id).exists()
    held.release.set()
    eventually(lambda: node.settled("A") == 1)
    held.entered.clear()
    held.release.clear()
    node.redeliver(bus._session.id, 1, 77, 2, node.log[0])
    assert held.entered.wait(10.0)
    assert marked(bus) == [(LETTER, 1, 77)]
    held.release.set()
    eventually(lambda: not marked(bus))


def test_an_event_that_is_in_no_log_is_not_marked(node, bus):
    held = Held("well")
    bus.subscribe("A", held.plain, durable=True)
    bus.publish("A", ephemeral=True).wait(10.0)
    assert held.entered.wait(10.0)
    assert marked(bus) == []
    held.release.set()


def test_what_runs_is_marked_anew_at_the_node_that_comes_back_and_unmarked_when_the_bus_closes(node, bus):
    held = Held("well")
    bus.subscribe("A", held.plain, durable=True)
    bus.publish("A").wait(10.0)
    assert held.entered.wait(10.0)
    node.stop()
    eventually(lambda: not bus.attached)
    assert marked(bus) == []
    node.start()
    assert bus.wait_attached(10.0)
    assert marked(bus) == [(EVENT, 1, 1)]
    bus.close(0.2)
    assert list((Path(bus.place) / "running").iterdir()) == []
    held.release.set()
