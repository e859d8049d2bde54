"""The log's sizes against naive models over a real database."""

from __future__ import annotations

from hypothesis import given

from node.changes import Changes, LogRow
from node.log_reader import LogReader
from node.log_sizes import LogSizes
from node.store import Store
from tests.node.logs import P, batches_of, build, stored


def test_an_empty_log_has_nothing() -> None:
    with stored([]) as store:
        sizes = LogSizes(store, LogReader(store))
        size = sizes.size()
        assert (size["batches"], size["events"], size["first_position"], size["last_position"]) == (0, 0, 0, 0)
        assert (sizes.streams(), list(sizes.oldest(9))) == ({}, [])


@given(batches_of)
def test_sizes(plan: list[tuple[int, int, int, int, bool, bool]]) -> None:
    rows = build(plan)
    with stored(rows) as store:
        log = LogReader(store)
        sizes = LogSizes(store, log)
        size = sizes.size()
        assert (size["batches"], size["events"]) == (len(rows), sum(row.count for row in rows))
        assert size["first_position"] == (rows[0].position if rows else 0)
        assert size["last_position"] == log.next_position() - 1
        wanted = {}
        for row in rows:
            first, _, held = wanted.get(row.stream, (row.sequence, 0, 0))
            wanted[row.stream] = (first, row.sequence + row.count - 1, held + row.count)
        assert sizes.streams() == wanted
        oldest = [(row.position, row.count, row.appended_us, len(row.frame)) for row in rows]
        assert list(sizes.oldest(3)) == oldest[:3]


def test_what_stands_before_a_streams_base_is_not_counted() -> None:
    store = Store(":memory:")
    rows = [LogRow(1, 7, 1, 3, 0, P, 1, b""), LogRow(4, 7, 10, 2, 0, P, 4, b"")]
    store.commit(Changes(log=rows, streams=[(7, "b.1", "A", 9, 11)]))
    assert LogSizes(store, LogReader(store)).streams() == {7: (10, 11, 2)}
    store.close()
