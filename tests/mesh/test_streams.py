from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mesh.streams import Range, Run, StreamTracker, without

HELD_MAX = 4
REACH = 60

sequences = st.integers(1, REACH)
counts = st.integers(1, 9)


def batch(first: int, count: int) -> tuple[int, int, range]:
    """What `offer` takes. The item is the sequences themselves, so that what is handed on can be counted."""
    return first, count, range(first, first + count)


def handed(runs: list[Run[range]]) -> list[int]:
    return [sequence for run in runs for sequence in run.item[run.offset :]]


def test_the_picture_at_the_top_of_the_module_is_true():
    tracker = StreamTracker[range](0)
    assert handed(tracker.offer(*batch(1, 5))) == [1, 2, 3, 4, 5]
    assert tracker.offer(*batch(9, 3)) == []
    tracker.learn(13)
    assert (tracker.head, tracker.known) == (5, 13)
    assert tracker.missing() == [Range(6, 8), Range(12, 13)]
    assert handed(tracker.offer(*batch(6, 3))) == [6, 7, 8, 9, 10, 11]
    assert handed(tracker.offer(*batch(12, 2))) == [12, 13]
    assert (tracker.head, tracker.known, tracker.missing()) == (13, 13, [])


@pytest.mark.parametrize(
    ("first", "count", "offsets"),
    [
        (6, 2, [0]),  # continues the head
        (5, 2, [1]),  # overlaps it
        (1, 9, [5]),  # begins long before it
        (1, 5, []),  # ends at it
        (3, 1, []),  # lies before it
        (7, 2, []),  # leaves a gap
    ],
)
def test_a_batch_is_handed_on_from_where_the_head_ends(first, count, offsets):
    assert [run.offset for run in StreamTracker[str](5).offer(first, count, "item")] == offsets


def test_a_duplicate_changes_nothing():
    tracker = StreamTracker[range](0)
    tracker.offer(*batch(1, 3))
    tracker.offer(*batch(5, 2))
    before = (tracker.head, tracker.known, tracker.missing())
    assert tracker.offer(*batch(1, 3)) == []
    assert tracker.offer(*batch(5, 2)) == []
    assert (tracker.head, tracker.known, tracker.missing()) == before


def test_of_two_held_batches_with_one_start_the_longer_is_kept():
    tracker = StreamTracker[range](0)
    for count in (2, 4, 3):
        tracker.offer(*batch(3, count))
    assert tracker.missing() == [Range(1, 2)]
    assert handed(tracker.offer(*batch(1, 2))) == [1, 2, 3, 4, 5, 6]


def test_a_gap_shows_although_nothing_follows_it():
    tracker = StreamTracker[range](7)
    assert tracker.missing() == []
    tracker.learn(9)
    assert tracker.missing() == [Range(8, 9)]
    tracker.learn(8)
    assert tracker.missing() == [Range(8, 9)]


def test_what_does_not_fit_is_dropped_and_asked_for_again():
    tracker = StreamTracker[range](0, held_max=1)
    tracker.offer(*batch(3, 1))
    tracker.offer(*batch(5, 1))
    assert tracker.missing() == [Range(1, 2), Range(4, 5)]


@pytest.mark.parametrize(
    ("last", "released", "head"),
    [(1, [], 2), (2, [], 2), (3, [], 3), (4, [5, 6], 6), (5, [6], 6), (6, [], 6), (9, [], 9)],
)
def test_a_range_that_is_gone_is_passed_over_and_what_stands_behind_it_follows(last, released, head):
    tracker = StreamTracker[range](2)
    tracker.offer(*batch(5, 2))
    assert handed(tracker.skip(last)) == released
    assert tracker.head == head
    assert tracker.known == max(6, head)


def test_a_range_knows_how_many_sequences_it_holds():
    assert [Range(4, 4).count, Range(4, 9).count, Range(4, 3).count] == [1, 6, 0]


@given(st.lists(st.tuples(sequences, counts), max_size=60), st.integers(1, HELD_MAX), st.data())
def test_whatever_is_dropped_doubled_or_reordered_a_replay_of_what_is_missing_completes_it_once_and_in_order(
    arrivals, held_max, data
):
    tracker, seen = StreamTracker[range](0, held_max), []
    for first, count in arrivals:
        seen += handed(tracker.offer(*batch(first, count)))
        assert len(tracker._held) <= held_max
    reach = max((first + count - 1 for first, count in arrivals), default=0) + 1
    tracker.learn(reach)
    while ranges := tracker.missing():
        head = tracker.head
        for wanted in ranges:
            first = max(1, wanted.first - data.draw(st.integers(0, 3)))  # a logged frame may begin earlier
            seen += handed(tracker.offer(*batch(first, wanted.first - first + data.draw(st.integers(1, wanted.count)))))
        assert tracker.head > head
    assert seen == list(range(1, reach + 1))


class Receiver(RuleBasedStateMachine):
    """A tracker under any sequence of calls, beside a plain account of what each may do."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = StreamTracker[range](0, HELD_MAX)
        self.heard = 0
        self.gone: set[int] = set()
        self.seen: list[int] = []

    @rule(first=sequences, count=counts)
    def arrive(self, first: int, count: int) -> None:
        self.seen += handed(self.tracker.offer(*batch(first, count)))
        self.heard = max(self.heard, first + count - 1)

    @rule(count=counts)
    def arrive_next(self, count: int) -> None:
        self.arrive(self.tracker.head + 1, count)

    @rule(head=sequences)
    def hear(self, head: int) -> None:
        self.tracker.learn(head)
        self.heard = max(self.heard, head)

    @rule(last=sequences)
    def lose(self, last: int) -> None:
        self.gone |= set(range(self.tracker.head + 1, last + 1))
        self.seen += handed(self.tracker.skip(last))
        self.heard = max(self.heard, last)

    @rule()
    def replay_the_first_gap(self) -> None:
        for wanted in self.tracker.missing()[:1]:
            self.arrive(wanted.first, wanted.count)
            assert self.tracker.head >= wanted.last

    @invariant()
    def everything_up_to_the_head_was_handed_on_once_and_in_order_or_is_gone(self) -> None:
        assert all(earlier < later for earlier, later in pairwise(self.seen))
        assert set(self.seen) | self.gone == set(range(1, self.tracker.head + 1))
        assert not set(self.seen) & self.gone

    @invariant()
    def what_is_not_held_is_missing_and_nothing_else(self) -> None:
        held = {
            sequence
            for first, (count, _) in self.tracker._held.items()
            for sequence in range(first, first + count)
            if sequence > self.tracker.head
        }
        missing = [sequence for wanted in self.tracker.missing() for sequence in range(wanted.first, wanted.last + 1)]
        assert self.tracker.known == self.heard
        assert missing == sorted(set(range(self.tracker.head + 1, self.heard + 1)) - held)

    @invariant()
    def memory_is_bounded_and_holds_nothing_that_was_handed_on(self) -> None:
        assert len(self.tracker._held) <= HELD_MAX
        assert all(first > self.tracker.head + 1 for first in self.tracker._held)


TestReceiver = Receiver.TestCase


@given(sequences, sequences, st.sets(sequences))
def test_a_range_without_some_sequences_is_the_runs_of_the_others(first, last, holes):
    parts = without(Range(first, last), holes)
    left = [sequence for part in parts for sequence in range(part.first, part.last + 1)]
    assert left == [sequence for sequence in range(first, last + 1) if sequence not in holes]
    assert all(part.first <= part.last for part in parts)
    assert all(part.last + 1 < after.first for part, after in pairwise(parts))
