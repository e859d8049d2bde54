"""The log's questions against naive models over a real database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from node.changes import LogRow
from node.log_reader import LogReader
from tests.node.logs import P, batches_of, build, stored


@contextmanager
def log_with(rows: list[LogRow]) -> Iterator[LogReader]:
    with stored(rows) as store:
        yield LogReader(store)


def test_an_empty_log_begins_at_position_1() -> None:
    with log_with([]) as log:
        assert (log.next_position(), log.position_at(0), log.position_at(10**18)) == (1, 1, 1)
        assert (list(log.rows_since(0)), list(log.batches(1, 1, 9)), log.first_sequence(1, 0)) == ([], [], None)
        assert (list(log.tail(9, 9)), list(log.after(0, 9))) == ([], [])


@given(batches_of)
def test_positions_and_moments(plan: list[tuple[int, int, int, int, bool, bool]]) -> None:
    rows = build(plan)
    end = rows[-1].position + rows[-1].count if rows else 1
    with log_with(rows) as log:
        assert log.next_position() == end
        for moment in range(999, (rows[-1].appended_us if rows else 1000) + 2):
            wanted = [row for row in rows if row.appended_us >= moment]
            assert list(log.rows_since(moment)) == wanted
            at = log.position_at(moment)
            before = max((row.position for row in rows if row.appended_us < moment), default=0)
            assert before < at <= (wanted[0].position if wanted else end)


@given(batches_of)
def test_batches_of_a_stream(plan: list[tuple[int, int, int, int, bool, bool]]) -> None:
    rows = build(plan)
    with log_with(rows) as log:
        for stream in (1, 2, 3):
            mine = [row for row in rows if row.stream == stream]
            last = mine[-1].sequence + mine[-1].count if mine else 3
            for first in range(last + 2):
                for end in (first, first + 2, last + 1):
                    wanted = [row for row in mine if row.sequence <= end and row.sequence + row.count > first]
                    assert list(log.batches(stream, first, end)) == wanted


@given(batches_of)
def test_which_event_stands_where(plan: list[tuple[int, int, int, int, bool, bool]]) -> None:
    rows = build(plan)
    wanted = {
        (row.stream, row.sequence + index): (row.publisher.hex(), row.number + index, row.position + index)
        for row in rows
        for index in range(row.count)
    }
    with log_with(rows) as log:
        assert log.events_at((stream, sequence) for stream in (1, 2, 3, 4) for sequence in range(-1, 150)) == wanted


@given(batches_of)
def test_the_first_sequence_of_a_stream_from_a_position_on(plan: list[tuple[int, int, int, int, bool, bool]]) -> None:
    rows = build(plan)
    with log_with(rows) as log:
        for stream in (1, 2, 3):
            for position in range(log.next_position() + 2):
                wanted = [row.sequence for row in rows if row.stream == stream and row.position >= position]
                assert log.first_sequence(stream, position) == (wanted[0] if wanted else None)


@given(batches_of)
def test_a_publishers_batches_back_to_a_number(plan: list[tuple[int, int, int, int, bool, bool]]) -> None:
    rows = build(plan)
    mine = [row for row in rows if row.publisher == P]
    with log_with(rows) as log:
        for row in mine:
            for number in (row.number, row.number + row.count - 1):
                wanted = [each for each in mine if each.number >= row.number]
                assert list(log.receipts(P, mine[-1].position, number)) == wanted[::-1]


@given(batches_of, st.integers(1, 5))
def test_pages_forwards_and_backwards(plan: list[tuple[int, int, int, int, bool, bool]], limit: int) -> None:
    rows = build(plan)
    with log_with(rows) as log:
        for position in range(1, log.next_position() + 2):
            before = [row for row in rows if row.position < position]
            assert list(log.tail(position, limit)) == before[::-1][:limit]
            behind = [row for row in rows if row.position + row.count > position]
            assert list(log.after(position, limit)) == behind[:limit]
