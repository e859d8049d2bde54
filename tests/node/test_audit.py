"""The audit: when the books balance, and that they do not when something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.audit import audit
from node.changes import Changes
from node.store import Store
from tests.node.workbench import Author, Bench, Program, failure, forwarded


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def author(bench: Bench) -> Author:
    made = Author()
    bench.greet(made)
    return made


def stream(bench: Bench) -> dict[str, Any]:
    (row,) = audit(bench.state)["streams"]
    return row


def sql(bench: Bench, statement: str) -> None:
    """Break the books behind the node's back."""
    list(bench.store.rows(statement))


def test_a_node_without_events_is_balanced(bench: Bench) -> None:
    assert audit(bench.state) == {"balanced": True, "streams": [], "consumers": [], "lost_ranges": []}


def test_a_stream_is_its_events_in_the_log(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1, 2), author.frame("A", 3))
    assert stream(bench) == {
        "origin": bench.origin,
        "topic": "A",
        "published": 3,
        "in_log": 3,
        "deleted": 0,
        "missing": 0,
        "lost": 0,
        "behind": 0,
        "balanced": True,
    }


def test_what_retention_deleted_is_counted(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1, 2))
    bench.turn(author.frame("A", 3))
    bench.store.commit(Changes(trim_before=3))
    row = stream(bench)
    assert (row["published"], row["in_log"], row["deleted"], row["balanced"]) == (3, 1, 2, True)
    bench.store.commit(Changes(trim_before=4))
    row = stream(bench)
    assert (row["published"], row["in_log"], row["deleted"], row["balanced"]) == (3, 0, 3, True)


def test_a_stream_that_began_elsewhere_counts_from_its_base(bench: Bench) -> None:
    link = bench.peer("b", "A")
    bench.turn(links=[(link, forwarded(Author("far").at(1, "A", 1, 2), "b.1", 8))])
    row = stream(bench)
    assert (row["published"], row["in_log"], row["balanced"]) == (2, 2, True)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM log WHERE sequence = 2",
        "DELETE FROM log WHERE sequence = 3",
        "UPDATE log SET count = 2 WHERE sequence = 1",
    ],
)
def test_a_batch_that_vanished_is_no_balance(bench: Bench, author: Author, damage: str) -> None:
    for value in (1, 2, 3):
        bench.turn(author.frame("A", value))
    sql(bench, damage)
    assert (stream(bench)["balanced"], audit(bench.state)["balanced"]) == (False, False)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM letters",
        "UPDATE letters SET consumer = 'd'",
        "INSERT INTO letters SELECT 9, consumer, state, origin, topic, sequence, frame, payload, attempts, retries, "
        "kind, error_type, error, traceback, first_failed_us, last_failed_us, next_attempt_us FROM letters",
        "UPDATE consumers SET handled = handled + 1",
    ],
)
def test_a_letter_or_a_count_that_vanished_is_no_balance(bench: Bench, author: Author, damage: str) -> None:
    program = Program(bench, "reader")
    program.attach()
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2))
    program.report(sub, [bench.origin, "A", 0, 2, [failure(1)], []])
    assert audit(bench.state)["balanced"]
    sql(bench, damage)
    bench.restart()
    assert not audit(bench.state)["balanced"]


steps = st.lists(
    st.tuples(
        st.sampled_from(["publish", "report", "outcome", "retry", "discard", "leave", "restart", "wait"]),
        st.integers(0, 3),
        st.sets(st.integers(0, 3)),
    ),
    max_size=25,
)


@given(steps)
def test_the_books_balance_after_whatever_happened(plan: list[tuple[str, int, set[int]]]) -> None:
    story = _Story()
    for do, count, failed in plan:
        getattr(story, do)(count, failed)
        found = story.bench.ask("audit")
        assert found["balanced"], (do, found)
    story.bench.store.close()


class _Story:
    """One durable consumer, one publisher, and what may happen to them."""

    def __init__(self) -> None:
        self.bench = Bench(Path("unused"), store=Store(":memory:"))
        self.author, self.program = Author(), Program(self.bench, "reader")
        self.bench.greet(self.author)
        self._value = 0
        self._attach()

    def _attach(self) -> None:
        self.program.attach()
        self.sub, reply = self.program.subscribe("c", "A", durable=True)
        self.settled = reply["streams"][0][2] - 1 if reply["streams"] else 0

    def publish(self, count: int, _: set[int]) -> None:
        self.bench.turn(self.author.frame("A", *range(self._value, self._value + count + 1)))
        self._value += count + 1

    def report(self, count: int, failed: set[int]) -> None:
        to = min(self.settled + count, self._value)
        failures = [failure(each) for each in range(self.settled + 1, to + 1) if each % 4 in failed]
        lost = [[to, to]] if 3 in failed and to > self.settled and not failures else []
        self.program.report(self.sub, [self.bench.origin, "A", self.settled, to, failures, lost])
        self.settled = to

    def outcome(self, count: int, failed: set[int]) -> None:
        attempts = {row["id"]: row["attempts"] for row in self.bench.ask("dlq.list")["rows"]}
        for id_ in list(attempts)[:count]:
            wrong = failure(1, attempts[id_] + 1) if id_ % 4 in failed else None
            self.program.report(self.sub, letters=[[id_, attempts[id_] + 1, wrong]])

    def retry(self, *_: object) -> None:
        self.bench.ask("dlq.retry", state="dead", actor="me")

    def discard(self, count: int, _: set[int]) -> None:
        self.bench.ask("dlq.discard", limit=count, actor="me")

    def leave(self, *_: object) -> None:
        self.program.leave()
        self._attach()

    def restart(self, *_: object) -> None:
        self.bench.state.load(self.bench.now)

    def wait(self, count: int, _: set[int]) -> None:
        self.bench.turn(later_s=20.0 * count)
