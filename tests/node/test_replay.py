"""Replay: chunks of the log for who has a gap, and the name of what is gone."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.frame import decode, encode
from node.changes import Changes, LogRow
from node.replay import read_ranges
from node.state import State
from node.store import Store
from tests.node.workbench import START, Author

FRAME_BYTES = len(encode(Author().at(1, "A", 0)._replace(origin="a.1", sequence=1)))


def state_with(*batches: tuple[int, int], head: int = 0, damaged: tuple[int, ...] = ()) -> State:
    """A node whose log holds batches (first sequence, count) of one stream; some with a flipped bit."""
    store = Store(":memory:")
    rows, position = [], 1
    for first, count in batches:
        frame = Author().at(first, "A", *range(first, first + count))._replace(origin="a.1", sequence=first)
        data = bytearray(encode(frame))
        data[-3] ^= first in damaged
        rows.append(LogRow(position, 1, first, count, 0, b"p" * 8, first, bytes(data)))
        position += count
    last = max([head, *(first + count - 1 for first, count in batches)])
    store.commit(Changes(streams=[(1, "a.1", "A", 0, last)], log=rows))
    state = State("a", "1", store, lambda topic: 0, 0, lambda: 0.5)
    state.load(START)
    return state


def read(state: State, first: int, last: int, room: int = 10**6) -> tuple[list[int], list[tuple[int, int]]]:
    rows, gone = read_ranges(state, [("a.1", "A", first, last)], room)
    return [row.sequence for row in rows], [(begin, end) for _, _, begin, end in gone]


def test_the_answer_of_the_modules_picture() -> None:
    state = state_with((7, 6), (13, 8), (30, 15))
    assert read(state, 4, 40) == ([7, 13, 30], [(4, 6), (21, 29)])


def test_a_batch_that_holds_the_start_is_given_whole() -> None:
    assert read(state_with((1, 10), (11, 10)), 5, 7) == ([1], [])
    assert read(state_with((1, 10), (11, 10)), 10, 11) == ([1, 11], [])


def test_what_is_beyond_the_head_is_neither_here_nor_gone() -> None:
    assert read(state_with((1, 3)), 3, 99) == ([1], [])
    assert read(state_with((1, 3)), 4, 99) == ([], [])


def test_what_retention_deleted_is_gone() -> None:
    assert read(state_with(head=9), 2, 5) == ([], [(2, 5)])
    assert read(state_with((8, 2)), 1, 9) == ([8], [(1, 7)])


def test_an_unknown_stream_says_nothing() -> None:
    assert read_ranges(state_with((1, 3)), [("b.1", "A", 1, 3), ("a.1", "B", 1, 3)], 999) == ([], [])


def test_a_chunk_ends_when_the_room_is_used_and_says_nothing_about_the_rest() -> None:
    state = state_with((1, 1), (2, 1), (5, 1), (6, 1))
    assert read(state, 1, 9, 1) == ([1], [])
    assert read(state, 1, 9, FRAME_BYTES + 1) == ([1, 2], [])
    assert read(state, 3, 9, 1) == ([5], [(3, 4)])
    rows, gone = read_ranges(state, [("a.1", "A", 1, 1), ("a.1", "A", 5, 6)], 1)
    assert ([row.sequence for row in rows], gone) == ([1], [])


def test_a_damaged_row_is_gone_and_named_and_its_bytes_never_leave(caplog: pytest.LogCaptureFixture) -> None:
    state = state_with((1, 2), (3, 2), (5, 2), damaged=(3,))
    with caplog.at_level(logging.ERROR):
        assert read(state, 1, 6) == ([1, 5], [(3, 4)])
    assert "position 3 is damaged" in caplog.text


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=8),
    st.integers(1, 30),
    st.integers(0, 30),
    st.integers(1, 6 * FRAME_BYTES),
)
def test_asking_again_until_nothing_is_left_gives_every_event_once_or_calls_it_gone(
    plan: list[tuple[int, int, bool]], first: int, length: int, room: int
) -> None:
    batches, broken, at = [], [], 1
    for hole, count, damaged in plan:
        batches.append((at + hole, count))
        broken += [at + hole] if damaged else []
        at += hole + count
    state = state_with(*batches, head=at - 1, damaged=tuple(broken))
    held = {each for begin, n in batches if begin not in broken for each in range(begin, begin + n)}
    last, wanted = min(first + length, at - 1), first
    got: set[int] = set()
    lost: set[int] = set()
    while wanted <= last:
        rows, gone = read_ranges(state, [("a.1", "A", wanted, last)], room)
        assert rows or gone
        for row in rows:
            got |= set(range(row.sequence, row.sequence + decode(row.frame).count))
        lost |= {each for _, _, begin, end in gone for each in range(begin, end + 1)}
        wanted = max([row.sequence + row.count for row in rows] + [end + 1 for *_, end in gone])
    asked = set(range(first, last + 1))
    assert got & asked == held & asked
    assert lost == asked - held
    state.store.close()
