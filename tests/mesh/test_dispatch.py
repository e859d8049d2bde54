"""Plain handlers on worker threads: order, bounds, timeouts, and one word on every event."""

import threading
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.dispatch import Workers
from mesh.jobs import Marker
from mesh.marks import Marks
from tests.conditions import eventually
from tests.mesh.batches import Told, marker, piece

FOREVER_S = 3600.0


@pytest.fixture
def told():
    return Told()


def workers(handler, told, tmp_path, concurrency=1, timeout_s=FOREVER_S, durable=False) -> Workers:
    marks, reading = marker(tmp_path, durable), threading.Lock()
    return Workers(handler, "x", concurrency, timeout_s, told.finished, told.passed, marks, reading)


class Gate:
    """A handler that says what it began with, and waits until it is let on."""

    def __init__(self, *held: int) -> None:
        self.began: list[int] = []
        self.held = held
        self.open = threading.Event()

    def __call__(self, event) -> None:
        self.began.append(event.sequence)
        if event.sequence in self.held:
            self.open.wait(10.0)


def test_no_thread_is_started_before_there_is_work(told, tmp_path):
    before = threading.active_count()
    runner = workers(print, told, tmp_path)
    assert threading.active_count() == before
    assert runner.close() == 0


def test_events_are_handled_in_order_and_told_by_the_run(told, tmp_path):
    handled = []
    runner = workers(lambda event: handled.append(event.sequence), told, tmp_path)
    for first in (1, 101, 201):
        runner.put(piece(first, 100))
    eventually(lambda: len(told.words) == 300)
    assert handled == list(range(1, 301))
    assert told.words == [("ok", sequence) for sequence in range(1, 301)]
    assert len(told.runs) < 300


def test_of_a_durable_consumer_every_success_is_told_before_the_next_event_begins(told, tmp_path):
    gate = Gate(3)
    runner = workers(gate, told, tmp_path, durable=True)
    runner.put(piece(1, 5))
    eventually(lambda: gate.began == [1, 2, 3])
    assert told.words == [("ok", 1), ("ok", 2)]
    gate.open.set()
    eventually(lambda: len(told.words) == 5)


def test_nothing_is_begun_while_the_io_thread_reads(told, tmp_path):
    gate, reading = Gate(), threading.Lock()
    runner = Workers(gate, "x", 1, 10.0, told.finished, told.passed, marker(tmp_path), reading)
    with reading:
        runner.put(piece(1, 2))
        eventually(lambda: runner.queued_bytes == 0)
        assert gate.began == []
        runner.overdue(monotonic() + 11.0)
    eventually(lambda: told.words == [("ok", 1), ("ok", 2)])


def test_successes_before_a_failure_are_told_before_it(told, tmp_path):
    def handler(event):
        if event.sequence in (3, 4):
            raise KeyError(event.sequence)

    workers(handler, told, tmp_path).put(piece(1, 6))
    eventually(lambda: len(told.words) == 6)
    assert told.words == [
        ("ok", 1),
        ("ok", 2),
        ("failed", 3, "KeyError"),
        ("failed", 4, "KeyError"),
        ("ok", 5),
        ("ok", 6),
    ]


def test_a_redelivery_is_told_by_its_letter(told, tmp_path):
    attempts = []
    runner = workers(lambda event: attempts.append(event.attempt), told, tmp_path)
    runner.put(piece(9, letter=77, attempt=4))
    eventually(lambda: told.words == [("ok", 77)])
    assert attempts == [4]


def test_a_coroutine_that_a_plain_function_returns_is_a_failure(told, tmp_path):
    async def forgotten(event):
        pass

    workers(lambda event: (forgotten(event),)[0], told, tmp_path).put(piece(1))
    eventually(lambda: told.words == [("failed", 1, "TypeError")])


def test_as_many_run_at_once_as_allowed_and_no_more(told, tmp_path):
    gate = Gate(*range(1, 7))
    runner = workers(gate, told, tmp_path, concurrency=3)
    runner.put(piece(1, 6))
    eventually(lambda: len(gate.began) == 3)
    gate.open.set()
    eventually(lambda: len(told.words) == 6)
    assert sorted(gate.began[:3]) == [1, 2, 3]


def test_what_runs_too_long_fails_and_the_rest_of_its_piece_goes_on_in_order(told, tmp_path):
    gate = Gate(2)
    runner = workers(gate, told, tmp_path, timeout_s=10.0)
    runner.put(piece(1, 4))
    runner.put(piece(5, 2))
    eventually(lambda: gate.began == [1, 2])
    runner.overdue(monotonic() + 9.0)
    assert told.words in ([], [("ok", 1)])
    runner.overdue(monotonic() + 11.0)
    eventually(lambda: len(told.words) == 6)
    assert told.words == [("ok", 1), ("failed", 2, "TimeoutError"), ("ok", 3), ("ok", 4), ("ok", 5), ("ok", 6)]
    assert gate.began == [1, 2, 3, 4, 5, 6]
    gate.open.set()
    eventually(lambda: runner.late == 1)
    assert len(told.words) == 6


@pytest.mark.parametrize("durable", [False, True])
def test_of_events_that_end_just_when_they_are_given_up_each_is_spoken_of_once_and_in_order(durable, told, tmp_path):
    timeout_s, count = 0.0005, 600

    def handler(event):
        until = monotonic() + (timeout_s if event.sequence % 3 == 0 else 0.0)
        while monotonic() < until:
            pass
        if event.sequence % 7 == 0:
            raise KeyError

    runner = workers(handler, told, tmp_path, timeout_s=timeout_s, durable=durable)
    for first in range(1, count, 30):
        runner.put(piece(first, 30))
    while len(told.words) < count:
        runner.overdue(monotonic())
    assert [word[1] for word in told.words] == list(range(1, count + 1))
    assert {word[0] for word in told.words if word[1] % 7} <= {"ok", "failed"}


def test_a_handler_that_runs_too_long_is_no_longer_marked(told, tmp_path):
    marks, gate = Marks(tmp_path / "running" / "session"), Gate(1)
    marks.attached()
    runner = Workers(gate, "x", 1, 10.0, told.finished, told.passed, Marker(marks, 1, durable=False), threading.Lock())
    runner.put(piece(1, letter=77))
    eventually(lambda: gate.began == [1])
    assert (tmp_path / "running" / "session").read_bytes().strip(b"\0")
    runner.overdue(monotonic() + 11.0)
    assert not (tmp_path / "running" / "session").read_bytes().strip(b"\0")
    gate.open.set()
    marks.detached()


def test_after_closing_what_runs_may_finish_and_nothing_else_begins(told, tmp_path):
    gate = Gate(2)
    runner = workers(gate, told, tmp_path)
    runner.put(piece(1, 4))
    runner.put(piece(5, 3))
    eventually(lambda: gate.began == [1, 2])
    assert runner.close() == 3
    gate.open.set()
    eventually(lambda: len(told.words) == 4)
    assert told.words == [("ok", 1), ("ok", 2), ("dropped", 3), ("dropped", 4)]
    assert gate.began == [1, 2]


def test_only_the_handlers_own_threads_are_here(told, tmp_path):
    seen = []
    runner = workers(lambda event: seen.append(runner.here()), told, tmp_path)
    runner.put(piece(1))
    eventually(lambda: seen == [True])
    assert not runner.here()


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12),
    st.sets(st.integers(1, 60)),
    st.booleans(),
    st.integers(1, 3),
)
def test_every_event_is_spoken_of_once_and_in_order_when_one_runs_at_a_time(pieces, bad, durable, concurrency):
    told, first = Told(), 1

    def handler(event):
        if event.sequence in bad:
            raise ValueError

    marks = Marker(Marks("unused"), 1, durable)  # type: ignore[arg-type]
    runner = Workers(handler, "x", concurrency, FOREVER_S, told.finished, told.passed, marks, threading.Lock())
    for count, late in pieces:
        runner.put(piece(first, count))
        first += count
        if late:
            eventually(lambda first=first: len(told.words) == first - 1)
    eventually(lambda: len(told.words) == first - 1)
    runner.close()
    words = told.words if concurrency == 1 else sorted(told.words, key=lambda word: word[1])
    assert words == [("failed", n, "ValueError") if n in bad else ("ok", n) for n in range(1, first)]
