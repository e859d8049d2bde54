"""Lags: exact on a node of the usual size, by turns and bounded on a large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.lags import Lag, Lags
from node.status import consumer_rows
from tests.node.workbench import Author, Bench, Program, failure


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def author(bench: Bench) -> Author:
    made = Author()
    bench.greet(made)
    return made


@pytest.fixture
def program(bench: Bench) -> Program:
    made = Program(bench, "reader")
    made.attach()
    return made


def events(lags: Lags, *names: str) -> list[int | None]:
    return [lag.events if (lag := lags.of(name)) else None for name in names]


def test_a_lag_is_what_is_published_and_not_settled(bench: Bench, author: Author, program: Program) -> None:
    exact, _ = program.subscribe("exact", "A")
    program.subscribe("glob", "A*")
    program.subscribe("all", "*")
    lags = Lags(bench.state)
    lags.refresh(1)
    assert events(lags, "exact", "glob", "all", "nobody") == [0, 0, 0, None]
    bench.turn(author.frame("A", 1, 2, 3), author.frame("AB", 1), author.frame("B", 1))
    program.report(exact, [bench.origin, "A", 0, 2, [], []])
    lags.refresh(2)
    assert events(lags, "exact", "glob", "all") == [1, 4, 5]
    assert lags.of("all") == Lag(5, 2)


def test_every_lag_is_the_one_the_status_counts_from_scratch(bench: Bench, author: Author, program: Program) -> None:
    lags = Lags(bench.state)
    for number in range(20):
        sub, _ = program.subscribe(f"c{number}", ["*", "T1*", f"T{number}"][number % 3], durable=number % 2 == 0)
        bench.turn(author.frame(f"T{number}", *range(number)))
        program.report(sub, [bench.origin, f"T{number}", 0, number // 2, [], []])
        lags.refresh(number)
        expected = {row["consumer"]: row["lag"] for row in consumer_rows(bench.state, bench.now)}
        assert {name: lags.of(name).events for name in expected} == expected  # type: ignore[union-attr]


def test_an_event_that_was_buried_ahead_of_the_cursor_is_not_owed(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    (following,) = bench.state.consumers["c"].followings
    following.crashes[1, 2] = 3
    following.crashes[1, 3] = 2
    lags = Lags(bench.state)
    lags.refresh(1)
    assert events(lags, "c") == [2]


def test_a_round_is_bounded_and_the_next_one_goes_on(bench: Bench, author: Author, program: Program) -> None:
    for name in "abcde":
        program.subscribe(name, "*")
    bench.turn(*(author.frame(f"T{number}", 1) for number in range(10)))
    lags = Lags(bench.state, looks_max=22)
    looked = []
    for now_us in range(1, 5):
        lags.refresh(now_us)
        looked.append([lag.counted_us if (lag := lags.of(name)) else None for name in "abcde"])
    assert looked == [[1, 1, None, None, None], [1, 1, 2, 2, None], [3, 1, 2, 2, 3], [3, 4, 4, 2, 3]]
    assert events(lags, *"abcde") == [10] * 5


def test_what_is_gone_is_forgotten_and_what_was_read_back_is_seen(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "*", durable=True)
    bench.turn(author.frame("A", 1))
    lags = Lags(bench.state)
    lags.refresh(1)
    bench.state.load(bench.now)
    bench.turn(author.frame("A", 2))
    lags.refresh(2)
    assert events(lags, "c") == [2]
    program.leave()
    assert bench.ask("consumers.forget", consumer="c")["ok"]
    lags.refresh(3)
    assert events(lags, "c") == [None]


def test_failures_are_settled(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2))
    program.report(sub, [bench.origin, "A", 0, 2, [failure(1)], []])
    lags = Lags(bench.state)
    lags.refresh(1)
    assert events(lags, "c") == [0]
