from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MalformedFrame
from mesh.retry import RetryPolicy
from mesh.topic import check_pattern
from node.delivery import CRASHES_MAX, Following
from node.moves import Settled, settle
from node.streams import Stream
from tests.node.workbench import failure

POLICY = RetryPolicy(3, 1.0, 60.0)
NOW_US = 1_800_000_000_000_000
STREAM = Stream(1, "a.1", "A", 2, 20)


def following(pattern: str = "A", cursor: int | None = 5, durable: bool = False) -> Following:
    made = Following("c", check_pattern(pattern), durable, POLICY, 600.0, NOW_US)
    if cursor is not None:
        made.cursors[STREAM.id] = cursor
    return made


def move(first: int, last: int, failures: list[Any] | None = None, lost: list[Any] | None = None) -> dict[str, Any]:
    return {"from": first, "to": last, "failures": failures or [], "lost": lost or []}


def test_a_move_settles_what_it_passes() -> None:
    assert settle(following(), STREAM, 5, move(5, 9)) == Settled(STREAM, 9, 4, 0, [], [])


def test_a_move_names_failures_and_losses_and_the_rest_was_handled() -> None:
    found = settle(following(), STREAM, 5, move(5, 12, [failure(7), failure(12)], [[9, 10]]))
    assert found == Settled(STREAM, 12, 3, 0, [failure(7), failure(12)], [(9, 10)])


@pytest.mark.parametrize("last", [3, 5])
def test_a_move_that_ends_at_or_before_the_cursor_says_nothing(last: int) -> None:
    assert settle(following(), STREAM, 5, move(2, last, [failure(3)])) is None


def test_of_a_move_that_overlaps_the_cursor_only_the_new_part_counts() -> None:
    found = settle(following(), STREAM, 5, move(2, 8, [failure(4), failure(7)], [[3, 3], [5, 6]]))
    assert found == Settled(STREAM, 8, 1, 0, [failure(7)], [(6, 6)])


def test_losses_are_cut_to_the_move() -> None:
    assert settle(following(), STREAM, 5, move(5, 8, [], [[8, 12]])) == Settled(STREAM, 8, 2, 0, [], [(8, 8)])


def test_an_event_counts_once_however_often_it_is_reported() -> None:
    assert settle(following(), STREAM, 5, move(5, 9, [failure(7, 1), failure(6), failure(7, 2)])) == Settled(
        STREAM, 9, 2, 0, [failure(6), failure(7, 2)], []
    )
    assert settle(following(), STREAM, 5, move(5, 12, [failure(8)], [[9, 10], [7, 9]])) == Settled(
        STREAM, 12, 3, 0, [], [(7, 9), (10, 10)]
    )


@given(
    st.integers(3, 20),
    st.lists(st.integers(0, 25), max_size=6),
    st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), max_size=4),
    st.sets(st.integers(6, 20), max_size=3),
)
def test_what_a_move_passes_is_handled_failed_lost_or_buried_before_and_nothing_twice(
    last: int, failed: list[int], lost: list[tuple[int, int]], crashed: set[int]
) -> None:
    who = following()
    who.crashes = {(STREAM.id, sequence): CRASHES_MAX for sequence in crashed} | {(STREAM.id, 6): 1}
    crashed -= {6}
    found = settle(who, STREAM, 5, move(5, last, [failure(each) for each in failed], lost))
    passed = set(range(6, last + 1)) - crashed
    gone = {each for first, end in lost for each in range(first, end + 1)} & passed
    if last <= 5:
        assert found is None
        return
    assert found is not None
    assert found.buried == len({each for each in crashed if each <= last})
    assert [each["sequence"] for each in found.failures] == sorted(set(failed) & passed - gone)
    assert [each for first, end in found.lost for each in range(first, end + 1)] == sorted(gone)
    assert found.handled == len(passed) - len(found.failures) - len(gone)


@pytest.mark.parametrize("wrong", [move(5, 21), move(6, 9)], ids=["beyond the head", "leaves a gap"])
def test_a_move_that_cannot_be_true_is_malformed_and_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame, match=r"c .*A"):
        settle(following(), STREAM, 5, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt": 0},
        {"attempt": 2**70},
        {"attempt": "1"},
        {"kind": "oops"},
        {"error_type": None},
        {"error": {}},
        {"traceback": 5},
        {"elapsed_s": "long"},
        {"sequence": 6.5},
    ],
)
def test_a_failure_with_a_wrong_field_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedFrame):
        settle(following(), STREAM, 5, move(5, 9, [failure(7) | wrong]))
