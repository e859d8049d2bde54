"""Coroutine handlers as tasks: order, bounds, cancellation, and what becomes of those that do not end."""

import asyncio
import threading
import time

import pytest

import mesh.pumps
from mesh.pumps import CANCEL_S, LoopThread, Pumps
from tests.conditions import eventually
from tests.mesh.batches import Told, marker, piece

FOREVER_S = 3600.0


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def loop():
    thread = LoopThread("test")
    yield thread.loop
    if not thread.loop.is_closed():
        thread.close(10.0)


def pumps(handler, told, tmp_path, loop, concurrency=1, timeout_s=FOREVER_S) -> Pumps:
    return Pumps(handler, concurrency, timeout_s, told.finished, marker(tmp_path), loop)


class Held:
    """A coroutine handler that says what it began with, and waits where its sequence is held."""

    def __init__(self, *held: int, stubborn: bool = False) -> None:
        self.began: list[int] = []
        self.cancelled: list[int] = []
        self.held = held
        self.stubborn = stubborn
        self.open = threading.Event()

    async def __call__(self, event) -> None:
        self.began.append(event.sequence)
        while event.sequence in self.held and not self.open.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                self.cancelled.append(event.sequence)
                if not self.stubborn:
                    raise


def test_events_are_handled_one_after_the_other_and_in_order(told, tmp_path, loop):
    running, handled = [], []

    async def handler(event):
        running.append(event.sequence)
        await asyncio.sleep(0)
        handled.append((event.sequence, len(running)))
        running.remove(event.sequence)

    runner = pumps(handler, told, tmp_path, loop)
    for first in (1, 51):
        runner.put(piece(first, 50))
    eventually(lambda: len(told.words) == 100)
    assert handled == [(sequence, 1) for sequence in range(1, 101)]
    assert told.words == [("ok", sequence) for sequence in range(1, 101)]


def test_as_many_run_at_once_as_allowed_and_no_more(told, tmp_path, loop):
    held = Held(*range(1, 7))
    runner = pumps(held, told, tmp_path, loop, concurrency=3)
    runner.put(piece(1, 6))
    eventually(lambda: len(held.began) == 3)
    held.open.set()
    eventually(lambda: len(told.words) == 6)
    assert held.began[:3] == [1, 2, 3]


def test_a_handler_that_never_waits_lets_its_loop_run_others(told, tmp_path, loop):
    handled, seen = [], []

    async def handler(event):
        handled.append(event.sequence)
        if event.sequence == 1:
            loop.call_soon(lambda: seen.append(len(handled)))

    pumps(handler, told, tmp_path, loop).put(piece(1, 200))
    eventually(lambda: len(told.words) == 200)
    assert seen == [mesh.pumps.EVENTS_PER_STEP]


def test_what_takes_too_long_is_cancelled_and_fails(told, tmp_path, loop):
    held = Held(1)
    pumps(held, told, tmp_path, loop, timeout_s=0.05).put(piece(1, 2))
    eventually(lambda: told.words == [("failed", 1, "TimeoutError"), ("ok", 2)])
    assert held.cancelled == [1]


def test_a_handler_that_swallows_its_cancellation_is_given_up_and_the_next_event_goes_on(told, tmp_path, loop):
    held = Held(1, stubborn=True)
    runner = pumps(held, told, tmp_path, loop, timeout_s=0.05)
    runner.put(piece(1, 3))
    eventually(lambda: held.cancelled == [1])
    runner.overdue(time.monotonic())
    assert told.words == []
    runner.overdue(time.monotonic() + CANCEL_S + 0.1)
    eventually(lambda: len(told.words) == 3)
    assert told.words == [("failed", 1, "TimeoutError"), ("ok", 2), ("ok", 3)]
    assert runner.late == 0
    held.open.set()
    eventually(lambda: runner.late == 1)
    assert len(told.words) == 3


def test_with_several_at_once_the_one_that_is_given_up_makes_room(told, tmp_path, loop):
    held = Held(1, 2, 3, stubborn=True)
    runner = pumps(held, told, tmp_path, loop, concurrency=2, timeout_s=0.05)
    runner.put(piece(1, 4))
    eventually(lambda: held.cancelled == [1, 2])
    runner.overdue(time.monotonic() + CANCEL_S + 0.1)
    eventually(lambda: sorted(told.words) == [("failed", 1, "TimeoutError"), ("failed", 2, "TimeoutError"), ("ok", 4)])
    assert sorted(held.began) == [1, 2, 3, 4]
    held.open.set()
    eventually(lambda: runner.late == 2)


def test_a_handler_that_blocks_its_loop_fails_its_event_and_the_rest_follows_when_the_loop_goes_on(
    told, tmp_path, loop
):
    began, release, handled = threading.Event(), threading.Event(), []

    async def handler(event):
        if event.sequence == 1:
            began.set()
            release.wait(10.0)
        handled.append(event.sequence)

    runner = pumps(handler, told, tmp_path, loop, timeout_s=10.0)
    runner.put(piece(1, 2))
    assert began.wait(10.0)
    runner.overdue(time.monotonic() + 10.0 + CANCEL_S + 0.1)
    assert told.words == [("failed", 1, "TimeoutError")]
    release.set()
    eventually(lambda: told.words[1:] == [("ok", 2)])
    assert handled == [1, 2]
    assert runner.late == 1


def test_a_handler_that_raises_fails_its_event_also_when_what_it_raises_ends_tasks(told, tmp_path, loop):
    async def handler(event):
        raise (ValueError, asyncio.CancelledError, SystemExit)[event.sequence - 1]

    pumps(handler, told, tmp_path, loop).put(piece(1, 3))
    eventually(lambda: len(told.words) == 3)
    assert [word[2] for word in told.words] == ["ValueError", "asyncio.exceptions.CancelledError", "SystemExit"]


def test_when_the_loop_ends_the_event_is_neither_done_nor_failed(told, tmp_path):
    held, runners = Held(1), []

    async def program():
        runner = pumps(held, told, tmp_path, asyncio.get_running_loop())
        runners.append(runner)
        runner.put(piece(1, 3))
        while not held.began:
            await asyncio.sleep(0.001)

    asyncio.run(program())
    assert told.words == [("dropped", 1)]
    runners[0].overdue(time.monotonic() + 2 * FOREVER_S)
    assert told.words == [("dropped", 1)]
    assert held.began == [1]


def test_when_the_loop_is_closed_under_it_the_event_is_neither_done_nor_failed(told, tmp_path):
    held, loop = Held(1), asyncio.new_event_loop()
    runner = pumps(held, told, tmp_path, loop)
    runner.put(piece(1))
    loop.run_until_complete(asyncio.sleep(0.01))
    runner.overdue(time.monotonic())
    assert (held.began, told.words) == ([1], [])
    loop.close()
    runner.overdue(time.monotonic())
    assert told.words == [("dropped", 1)]


def test_events_for_a_loop_that_is_closed_are_a_warning(told, tmp_path, loop, caplog):
    closed = asyncio.new_event_loop()
    closed.close()
    runner = pumps(Held(), told, tmp_path, closed)
    runner.put(piece(1))
    runner.put(piece(2))
    assert caplog.text.count("its subscription stands still") == 1
    assert runner.here()
    assert runner.close() == 2


def test_after_closing_what_runs_may_finish_and_nothing_else_begins(told, tmp_path, loop):
    held = Held(1)
    runner = pumps(held, told, tmp_path, loop)
    runner.put(piece(1, 4))
    eventually(lambda: held.began == [1])
    assert runner.close() == 3
    held.open.set()
    eventually(lambda: told.words == [("ok", 1)])
    assert held.began == [1]
