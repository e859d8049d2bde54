"""A consumer's process dies over an event: counted, buried the third time, and skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.marks import EVENT, LETTER, Mark
from mesh.requests import Json
from node.changes import Changes
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


def books(bench: Bench, consumer: str = "c") -> Json:
    """One consumer's row of the audit without the zeros; the whole audit must balance."""
    audit = bench.ask("audit")
    assert audit["balanced"], audit
    (row,) = [row for row in audit["consumers"] if row["consumer"] == consumer]
    return {key: value for key, value in row.items() if value and key not in ("consumer", "balanced")}


def move(bench: Bench, first: int, last: int, failures: list[Any] | None = None, lost: list[Any] | None = None) -> Any:
    return [bench.origin, "A", first, last, failures or [], lost or []]


@pytest.fixture
def with_letter(bench: Bench, author: Author, program: Program) -> int:
    """A subscription with one waiting letter, which is out for its second attempt."""
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    program.report(sub, move(bench, 0, 1, [failure(1)]))
    bench.turn(later_s=1)
    return sub


def die_over(bench: Bench, sub: int, kind: int, value: int, program: Program) -> None:
    bench.marks[program.session] = [Mark(kind, sub, value)]
    program.leave()
    program.attach()


def test_the_third_death_over_one_event_buries_it_and_it_is_skipped(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    for skipped in ([], [], [[bench.origin, "A", 2]]):
        die_over(bench, sub, EVENT, 2, program)
        sub, reply = program.subscribe("c", "A", durable=True)
        assert (reply["streams"], reply["skip"]) == ([[bench.origin, "A", 1, 3]], skipped)
    assert books(bench) == {"published": 3, "dead": 1, "in_flight": 2}
    program.report(sub, move(bench, 0, 3))
    assert books(bench) == {"published": 3, "settled": 2, "dead": 1}


def test_deaths_are_remembered_over_a_restart_and_forgotten_behind_the_cursor(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    for _ in range(2):
        die_over(bench, sub, EVENT, 1, program)
        sub, _ = program.subscribe("c", "A", durable=True)
    bench.restart()
    program.attach()
    sub, _ = program.subscribe("c", "A", durable=True)
    die_over(bench, sub, EVENT, 1, program)
    sub, reply = program.subscribe("c", "A", durable=True)
    assert reply["skip"] == [[bench.origin, "A", 1]]
    program.report(sub, move(bench, 0, 2))
    bench.restart()
    assert books(bench) == {"published": 3, "settled": 1, "dead": 1, "in_flight": 1}


def test_a_death_over_an_event_that_left_the_log_blames_no_other(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "*", durable=True)
    for topic, count in (("A", 40), ("B", 20), ("A", 20)):
        bench.turn(author.frame(topic, *range(author.number, author.number + count)))
    bench.store.commit(Changes(trim_before=61))
    die_over(bench, sub, EVENT, 45, program)
    assert [each.crashes for each in bench.state.consumers["c"].followings] == [{}]


def test_an_event_that_is_damaged_on_the_disk_is_lost_and_not_buried(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1))
    bench.store._db.execute("UPDATE log SET frame = zeroblob(length(frame))")
    for _ in range(3):
        die_over(bench, sub, EVENT, 1, program)
        sub, reply = program.subscribe("c", "A", durable=True)
        assert reply["skip"] == []
    program.report(sub, move(bench, 0, 1, lost=[[1, 1]]))
    assert books(bench) == {"published": 1, "lost": 1}


def test_a_goodbye_blames_no_event(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1))
    for _ in range(4):
        bench.marks[program.session] = [Mark(EVENT, sub, 1)]
        bench.turn(requests=[program.request("goodbye")])
        program.attach()
        sub, reply = program.subscribe("c", "A", durable=True)
        assert reply["skip"] == []


def test_a_death_over_a_redelivery_is_a_failed_attempt(bench: Bench, program: Program, with_letter: int) -> None:
    die_over(bench, with_letter, LETTER, 1, program)
    letter = bench.state.letters.one(1)
    assert letter is not None
    assert (letter.attempts, letter.error_type) == (2, "ProcessDied")
    assert books(bench) == {"published": 1, "waiting": 1}


@pytest.mark.parametrize(("pids", "skipped"), [([43, 44, 45], 1), ([42, 42, 42], 0)])
def test_a_hello_in_a_known_sessions_name_is_a_death_when_it_comes_from_another_process(
    bench: Bench, author: Author, program: Program, pids: list[int], skipped: int
) -> None:
    sub, reply = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1))
    for pid in pids:
        bench.marks[program.session] = [Mark(EVENT, sub, 1)]
        bench.turn(requests=[program.request("hello", name="program", pid=pid, first=1)])
        sub, reply = program.subscribe("c", "A", durable=True)
    assert len(reply["skip"]) == skipped
