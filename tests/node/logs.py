"""Logs as a node would write them, drawn at random and put into a real database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

from node.changes import Changes, LogRow
from node.store import Store

P, Q = b"p" * 8, b"q" * 8

batches_of = st.lists(
    st.tuples(
        st.integers(1, 3),  # stream
        st.integers(1, 5),  # events
        st.integers(0, 4),  # holes in the stream before it
        st.integers(0, 3),  # microseconds since the last one was taken in
        st.booleans(),  # whose it is
        st.booleans(),  # whether retention deletes it
    ),
    max_size=14,
)


def build(plan: list[tuple[int, int, int, int, bool, bool]]) -> list[LogRow]:
    """Rows as a node would write them: positions dense, sequences and times ascending; and a trimmed beginning."""
    rows, position, moment, heads, numbers = [], 1, 1000, {1: 0, 2: 0, 3: 0}, {P: 1, Q: 1}
    for stream, count, hole, pause, mine, _ in plan:
        moment += pause
        publisher = P if mine else Q
        sequence = heads[stream] + 1 + hole
        rows.append(LogRow(position, stream, sequence, count, moment, publisher, numbers[publisher], b"f%d" % position))
        heads[stream] = sequence + count - 1
        numbers[publisher] += count
        position += count
    trimmed = 0
    while trimmed < len(plan) and plan[trimmed][5]:
        trimmed += 1
    return rows[trimmed if trimmed < len(plan) else 0 :]


@contextmanager
def stored(rows: list[LogRow]) -> Iterator[Store]:
    store = Store(":memory:")
    try:
        if rows:
            store.commit(Changes(log=rows, streams=[(each, "a.1", f"T{each}", 0, 0) for each in (1, 2, 3)]))
        yield store
    finally:
        store.close()
