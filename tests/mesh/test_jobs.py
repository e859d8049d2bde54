"""The inbox: what waits for a handler, in order, counted in events and bytes; and what is marked of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.jobs import Inbox, Job, Marker, Piece
from mesh.marks import EVENT, LETTER
from tests.mesh.batches import batch, piece


def sequences(taken: Piece) -> list[int]:
    return [taken.batch.first + index for index in range(taken.start, taken.stop)]


def test_events_are_taken_in_order_and_never_of_two_batches_at_once():
    inbox = Inbox()
    for first, count in ((1, 3), (4, 1), (5, 4)):
        inbox.put(piece(first, count))
    taken = []
    while (part := inbox.take(2)) is not None:
        taken.append(sequences(part))
    assert taken == [[1, 2], [3], [4], [5, 6], [7, 8]]
    assert len(inbox) == 0


def test_what_is_put_back_is_next():
    inbox = Inbox()
    inbox.put(piece(1, 5))
    inbox.put(piece(6))
    first = inbox.take(5)
    inbox.put_back(first.part(2, 5))
    assert len(inbox) == 4
    assert [sequences(inbox.take(9)), sequences(inbox.take(9))] == [[3, 4, 5], [6]]


def test_a_batch_counts_with_all_its_bytes_until_its_last_event_is_taken():
    inbox, one = Inbox(), piece(1, 4)
    inbox.put(one)
    size = len(one.batch.frame.events)
    sizes = [(inbox.take(1), inbox.size_bytes)[1] for _ in range(4)]
    assert sizes == [size, size, size, 0]


def test_a_closed_inbox_says_how_much_it_held_and_gives_nothing():
    inbox = Inbox()
    inbox.put(piece(1, 5))
    part = inbox.take(2)
    assert inbox.close() == 3
    inbox.put_back(part)
    assert (inbox.take(1), len(inbox), inbox.size_bytes) == (None, 0, 0)


@given(st.lists(st.integers(1, 5), max_size=8), st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), max_size=30))
def test_whatever_is_taken_and_put_back_nothing_is_lost_doubled_or_moved(counts, steps):
    inbox, first, taken = Inbox(), 1, []
    for count in counts:
        inbox.put(piece(first, count))
        first += count
    for most, back in [*steps, *[(4, 0)] * first]:
        part = inbox.take(most)
        if part is None:
            break
        kept = max(part.start, part.stop - back)
        inbox.put_back(part.part(kept, part.stop))
        taken += sequences(part.part(part.start, kept))
        assert len(inbox) == first - 1 - len(taken)
    assert taken == list(range(1, len(taken) + 1))
    assert len(taken) + len(inbox) == first - 1


class Marks:
    """Two slots, and what is in them."""

    def __init__(self) -> None:
        self.free = [0, 1]
        self.slots: dict[int, tuple[int, int, int]] = {}

    def begin(self, kind, sub, value):
        if not self.free:
            return None
        slot = self.free.pop()
        self.slots[slot] = (kind, sub, value)
        return slot

    def end(self, slot) -> None:
        del self.slots[slot]
        self.free.append(slot)


def job(position: int = 0, letter: int | None = None) -> Job:
    return Job(batch(1, position=position).events[0], None, letter)


@pytest.mark.parametrize(
    ("one", "mark"),
    [
        (job(position=40), (EVENT, 5, 40)),
        (job(letter=77), (LETTER, 5, 77)),
        (job(position=40, letter=77), (LETTER, 5, 77)),
    ],
)
def test_an_event_is_marked_by_its_place_in_the_log_and_a_redelivery_by_its_letter(one, mark):
    marks = Marks()
    marker = Marker(marks, 5, durable=True)
    marker.begin(one)
    assert list(marks.slots.values()) == [mark]
    marker.end(one)
    marker.end(one)
    assert marks.slots == {}
    assert len(marks.free) == 2


def test_what_is_in_no_log_or_finds_no_slot_is_not_marked():
    marks = Marks()
    marker, jobs = Marker(marks, 5, durable=True), [job(position=40 + n) for n in range(3)]
    marker.begin(job())
    assert marks.slots == {}
    for each in jobs:
        marker.begin(each)
    assert sorted(value for _, _, value in marks.slots.values()) == [40, 41]
    marker.end(jobs[2])
    assert len(marks.slots) == 2
