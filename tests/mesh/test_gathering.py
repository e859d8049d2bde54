"""What gathers before it is sent: runs, bounds, and calls that interrupt each other."""

from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BufferFull, BusClosed, SpoolError
from mesh.gathering import Gathering
from mesh.limits import BATCH_EVENTS_MAX
from mesh.receipt import Answer


def gathering(events_max=10_000, bytes_max=1 << 30, keep=None, filled=None) -> Gathering:
    return Gathering(events_max, bytes_max, lambda: None, "{} are too many".format, keep, filled)


def taken(box: Gathering) -> list[tuple[str, bytes, int]]:
    return [(run.topic, bytes(run.records), run.count) for run in box.take()]


class Interrupted(str):
    """A topic whose comparison is the moment at which a signal handler publishes."""

    def interrupted_by(self, handler):
        self.handler = handler
        return self

    def __eq__(self, other):
        self.handler()
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@given(st.lists(st.one_of(st.sampled_from("AB"), st.none()), max_size=40))
def test_runs_are_of_one_topic_in_the_order_of_the_calls_and_each_receipt_has_the_place_of_its_event(steps):
    box, runs, receipts, records = gathering(), [], [], []
    for step in steps:
        if step is None:
            runs += box.take()
        else:
            records.append(b"%03d" % len(records))
            receipts.append(box.put(step, records[-1]))
    runs += box.take()
    assert b"".join(run.records for run in runs) == b"".join(records)
    assert [run.topic for run in runs for _ in range(run.count)] == [step for step in steps if step is not None]
    for run in runs:
        run.answers.say_all(Answer("accepted", run.topic, int(run.records[:3]) + 1))
    assert [int(receipt.event_id[1:]) - 1 for receipt in receipts] == list(range(len(records)))


def test_a_run_ends_where_it_has_as_many_events_as_a_frame_may_hold():
    box = gathering()
    for _ in range(BATCH_EVENTS_MAX + 1):
        box.put("A", b"x")
    assert [count for _, _, count in taken(box)] == [BATCH_EVENTS_MAX, 1]


def test_what_was_taken_does_not_grow():
    box = gathering()
    box.put("A", b"1")
    first = taken(box)
    box.put("A", b"2")
    assert (first, taken(box), taken(box)) == ([("A", b"1", 1)], [("A", b"2", 1)], [])


def test_there_is_room_for_as_much_as_has_left():
    box = gathering(events_max=2, bytes_max=10)
    box.put("A", b"12345")
    with pytest.raises(BufferFull, match="10 bytes are too many"):
        box.put("A", b"123456")
    box.put("A", b"12345")
    with pytest.raises(BufferFull, match="2 events are too many"):
        box.put("A", b"")
    box.left(1, 5)
    box.put("A", b"12345")
    with pytest.raises(BufferFull, match="2 events are too many"):
        box.put("A", b"")


def test_a_run_that_the_bounds_cut_short_goes_on_as_another_where_there_is_room_again():
    box = gathering(events_max=2)
    for record in (b"1", b"2"):
        box.put("A", record)
    box.left(2, 2)
    for record in (b"3", b"4"):
        box.put("A", record)
    with pytest.raises(BufferFull):
        box.put("A", b"5")
    assert taken(box) == [("A", b"12", 2), ("A", b"34", 2)]


def test_a_run_that_grows_ends_with_the_whole():
    box = gathering()
    box.put("A", b"1")
    for topic in (Interrupted("A").interrupted_by(lambda: box.close("closed")), "A"):
        with pytest.raises(BusClosed):
            box.put(topic, b"2")
    assert taken(box) == [("A", b"1", 1)]


def test_who_has_filled_a_run_is_told_so_and_nobody_else_is():
    told = []
    box = gathering(filled=lambda: told.append(box.count))
    for topic in "ABAB":
        box.put(topic, b"x")
    box.take()
    for _ in range(BATCH_EVENTS_MAX):
        box.put("A", b"x")
    assert told == []
    box.put("A", b"x")
    assert told == [4 + BATCH_EVENTS_MAX + 1]


def test_what_leaves_after_the_end_makes_no_room():
    box = gathering()
    box.close("closed")
    box.left(1, 1)
    with pytest.raises(BusClosed, match="closed"):
        box.put("A", b"1")


def test_whoever_sleeps_is_woken_by_a_put_and_who_does_not_is_not():
    woken = []
    box = Gathering(10, 100, lambda: woken.append(box.count), str)
    box.put("A", b"1")
    box.asleep = True
    box.put("A", b"2")
    assert woken == [2]


def test_from_a_moment_on_what_nothing_waits_in_front_of_wakes_all_the_same():
    woken = []
    box = Gathering(10, 100, lambda: woken.append(box.count), str)
    box.alone_from = monotonic() + 60
    box.put("A", b"1")
    box.take()
    box.alone_from = monotonic()
    for topic in ("A", "A", "B"):
        box.put(topic, b"2")
    assert woken == [2]
    box.take()
    box.put("B", b"3")
    assert woken == [2, 5]


@pytest.mark.parametrize("inner", ["A", "B"])
def test_a_signal_handler_that_publishes_inside_a_put_begins_a_run_and_what_follows_comes_behind(inner):
    box, receipts = gathering(), {}

    def put(topic, record):
        receipts[record] = box.put(topic, record)

    put("A", b"1")
    put(Interrupted("A").interrupted_by(lambda: put(inner, b"3")), b"2")
    put(inner, b"4")
    put("A", b"5")
    runs = box.take()
    assert b"".join(run.records for run in runs) == b"12345"
    for run in runs:
        run.answers.say_all(Answer("accepted", "", int(run.records[:1])))
    assert {record: receipt.event_id for record, receipt in receipts.items()} == {
        b"%d" % n: str(n) for n in range(1, 6)
    }
    assert box.count == 5


def test_an_event_is_written_down_before_it_is_taken_in_and_one_that_cannot_be_is_not():
    kept = []

    def keep(number, topic, record):
        if record == b"bad":
            raise SpoolError("full")
        kept.append((number, topic, record))

    box = gathering(keep=keep)
    box.put_kept("A", b"1")
    with pytest.raises(SpoolError):
        box.put_kept("A", b"bad")
    box.put_kept("A", b"2")
    assert kept == [(1, "A", b"1"), (2, "A", b"2")]
    assert taken(box) == [("A", b"12", 2)]


@pytest.mark.parametrize(("outer_fails", "inner_fails"), [(False, False), (False, True), (True, False), (True, True)])
def test_what_is_published_while_another_event_is_written_is_written_after_it(outer_fails, inner_fails):
    kept, inner = [], []

    def keep(number, topic, record):
        if record == b"outer":
            inner.append(box.put_kept("A", b"inner"))
        if outer_fails if record == b"outer" else inner_fails:
            raise SpoolError("full")
        kept.append((number, record))

    box = gathering(keep=keep)
    if outer_fails:
        with pytest.raises(SpoolError):
            box.put_kept("A", b"outer")
    else:
        box.put_kept("A", b"outer")
    expected = [] if outer_fails else [b"outer"]
    expected += [] if inner_fails else [b"inner"]
    assert kept == list(enumerate(expected, 1))
    assert [records for _, records, _ in taken(box)] == expected
    assert box.count == len(expected)
    assert inner[0].status == ("rejected" if inner_fails else "pending")
