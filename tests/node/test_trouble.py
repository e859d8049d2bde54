from __future__ import annotations

from collections import Counter

import pytest

from node.clock import Now
from node.store import StoreError
from node.trouble import DRAIN_BYTES_MAX, PROBE_MAX_S, QUIET_S, Trouble
from tests.node.workbench import START, after

FULL = StoreError("Full", "database or disk is full")
UNREADABLE = StoreError("Corrupt", "database disk image is malformed")


@pytest.fixture
def trouble() -> Trouble:
    return Trouble(Counter())


def waits_s(trouble: Trouble, now: Now) -> float:
    """How long it is until the next probe, to a tenth of a second."""
    return next(tenths for tenths in range(1000) if trouble.probe_due(after(now, tenths / 10))) / 10


def test_a_disk_that_never_refused_is_open_and_there_is_nothing_to_say(trouble: Trouble) -> None:
    assert (trouble.closed, trouble.lately(START), trouble.probe_due(START)) == (False, None, False)


def test_a_refused_write_closes_until_the_probe_succeeds(trouble: Trouble) -> None:
    trouble.refused(FULL, START)
    assert (trouble.closed, trouble.error) == (True, FULL)
    assert waits_s(trouble, START) == 0
    trouble.mended()
    assert (trouble.closed, trouble.error, trouble.probe_due(after(START, 100))) == (False, None, False)


def test_a_probe_that_fails_is_repeated_every_second(trouble: Trouble) -> None:
    trouble.refused(FULL, START)
    for seconds in range(5):
        trouble.refused(FULL, after(START, seconds))
        assert waits_s(trouble, after(START, seconds)) == 1.0


def test_whoever_relapses_is_probed_less_and_less_often_up_to_a_bound(trouble: Trouble) -> None:
    now, waits = START, []
    for _ in range(7):
        trouble.refused(FULL, now)
        waits.append(waits_s(trouble, now))
        now = after(now, waits[-1] + 0.001)
        trouble.mended()
    assert waits == [0, 1.0, 2.0, 4.0, PROBE_MAX_S, PROBE_MAX_S, PROBE_MAX_S]
    trouble.refused(FULL, after(now, QUIET_S))
    assert waits_s(trouble, after(now, QUIET_S)) == 0


def test_whoever_took_something_since_is_probed_at_once(trouble: Trouble) -> None:
    for seconds in range(5):
        trouble.refused(FULL, after(START, seconds))
        assert waits_s(trouble, after(START, seconds)) == 0
        trouble.mended()
        trouble.took()


def test_the_turns_become_small_when_the_disk_refuses_and_large_again_when_it_takes_them(trouble: Trouble) -> None:
    sizes = [trouble.drain_bytes]
    for seconds in range(5):
        trouble.refused(FULL, after(START, seconds))
        trouble.mended()
        sizes.append(trouble.drain_bytes)
    assert sizes == [4 << 20, 1 << 20, 256 << 10, 64 << 10, 64 << 10, 64 << 10]
    for _ in range(6):
        trouble.took()
    assert trouble.drain_bytes == DRAIN_BYTES_MAX


def test_the_next_turn_comes_in_time_for_the_probe(trouble: Trouble) -> None:
    trouble.refused(FULL, START)
    trouble.refused(FULL, START)
    assert [trouble.idle_ms(after(START, seconds), 500) for seconds in (0, 0.75, 1, 2)] == [500, 251, 1, 0]


def test_people_are_told_until_it_has_been_quiet_for_a_while(trouble: Trouble) -> None:
    trouble.refused(FULL, START)
    assert trouble.lately(after(START, 1000)) == FULL
    trouble.mended()
    assert trouble.lately(after(START, QUIET_S - 0.001)) == FULL
    assert trouble.lately(after(START, QUIET_S)) is None


def test_what_could_not_be_read_is_told_and_closes_nothing(trouble: Trouble) -> None:
    trouble.noticed(UNREADABLE, START)
    assert (trouble.closed, trouble.lately(START)) == (False, UNREADABLE)
    assert trouble.lately(after(START, QUIET_S)) is None
