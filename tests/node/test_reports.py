"""Reports: cursors, letters, losses and books, each thing counted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.frame import DIRECTED, decode, unseal
from mesh.requests import Json
from node.changes import Changes
from node.report_reader import REFUSED_MAX
from node.store import StoreError
from tests.node.workbench import Author, Bench, Program, answer, failure, forwarded, live, values


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


def test_handled_events_are_settled(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2, 3))
    assert books(bench) == {"published": 3, "in_flight": 3}
    assert program.report(sub, move(bench, 0, 2))["ok"]
    assert books(bench) == {"published": 3, "settled": 2, "in_flight": 1}


def test_a_failed_event_becomes_a_letter_with_the_event_in_it(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", "x", "y", "z"))
    program.report(sub, move(bench, 0, 3, [failure(2, error="broken")]))
    assert books(bench) == {"published": 3, "settled": 2, "waiting": 1}
    letter = bench.state.letters.one(1)
    assert letter is not None
    assert (letter.topic, letter.sequence, letter.error, letter.payload) == ("A", 2, "broken", '{"v":"y"}')
    frame = decode(letter.frame)
    assert (values(frame), frame.sequence, frame.count, frame.flags) == (["y"], 2, 1, DIRECTED)


def test_a_failure_is_announced_and_a_timeout_too(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    program.subscribe("watch", "HANDLER_*")
    bench.turn(author.frame("A", 1, 2))
    request = program.reporting(sub, move(bench, 0, 2, [failure(1), failure(2, kind="timeout")]))
    turn = bench.turn(requests=[request])
    assert [frame.topic for frame in live(turn)] == ["HANDLER_FAILED", "HANDLER_TIMEOUT"]


def test_a_report_said_twice_counts_once(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2, 3))
    report = move(bench, 0, 3, [failure(2)])
    assert program.report(sub, report)["ok"]
    assert program.report(sub, report)["ok"]
    assert books(bench) == {"published": 3, "settled": 2, "waiting": 1}


def test_reports_in_one_turn_follow_each_other_and_count_once(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    first, second = move(bench, 0, 2, [failure(2)]), move(bench, 2, 3)
    turn = bench.turn(requests=[program.reporting(sub, first), program.reporting(sub, first, second)])
    assert [b'"ok":true' in parts[0] for _, parts in turn.replies] == [True, True]
    assert books(bench) == {"published": 3, "settled": 2, "waiting": 1}


def test_a_merged_report_counts_what_is_new_in_it(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2, 3, 4))
    program.report(sub, move(bench, 0, 2, [failure(1)]))
    program.report(sub, move(bench, 0, 4, [failure(1), failure(4)]))
    assert books(bench) == {"published": 4, "settled": 2, "waiting": 2}


def test_lost_ranges_are_booked_and_named(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2, 3, 4))
    program.report(sub, move(bench, 0, 4, [], [[2, 3]]))
    assert books(bench) == {"published": 4, "settled": 2, "lost": 2}
    (loss,) = bench.ask("audit")["lost_ranges"]
    assert (loss["consumer"], loss["topic"], loss["first"], loss["last"]) == ("c", "A", 2, 3)


def test_a_failed_event_that_left_the_log_is_lost_and_named(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    bench.turn(author.frame("A", 2))
    bench.store.commit(Changes(trim_before=2))
    program.report(sub, move(bench, 0, 2, [failure(1)]))
    assert books(bench) == {"published": 2, "settled": 1, "lost": 1}
    (loss,) = bench.ask("audit")["lost_ranges"]
    assert (loss["first"], loss["last"], loss["reason"]) == (1, 1, "failed, and gone from the log")


def test_what_is_settled_of_a_stream_that_went_with_the_disk_counts_before_the_stream_is_here_again(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True, resume=[["b.1", "A", 3]])
    unheard = ["b.1", "A", 3, 6, [failure(5)], []]
    for _ in range(2):
        assert program.report(sub, unheard)["ok"]
        assert books(bench) == {"published": 3, "settled": 2, "lost": 1}
    link = bench.peer("b")
    frame = author.frame("A", 4, 5, 6, 7, 8)
    bench.turn(links=[(link, forwarded(unseal(frame), "b.1", 4))])
    assert books(bench) == {"published": 5, "settled": 2, "lost": 1, "in_flight": 2}
    assert program.report(sub, ["b.1", "A", 6, 8, [failure(7)], []])["ok"]
    assert books(bench) == {"published": 5, "settled": 3, "lost": 1, "waiting": 1}


def test_a_report_that_cannot_be_true_is_refused_and_changes_nothing(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2))
    wrong = [
        move(bench, 0, 3),
        move(bench, 1, 2),
        move(bench, 0, 2, [failure(1), {**failure(2), "kind": "whim"}]),
        move(bench, 0, 2, [failure(1), {"sequence": 2}]),
    ]
    for each in wrong:
        assert program.report(sub, each)["code"] == "malformed"
        assert books(bench) == {"published": 2, "in_flight": 2}
    assert bench.ask("dlq.list")["rows"] == []


def test_a_report_with_an_untrue_word_is_refused_as_a_whole_and_the_word_is_named(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "*")
    for topic in "ABC":
        bench.turn(author.frame(topic, 1, 2))
    good, late = move(bench, 0, 2), [bench.origin, "C", 0, 1, [], []]
    untrue = [bench.origin, "B", 0, 2, [failure(1, kind="whim")], []]
    reply = program.report(sub, good, untrue, late, letters=[[1, 2, {"kind": "error"}], [1, 2, None]])
    first, second = reply["refused"]
    assert first == {"sub": sub, "move": 1, "why": "a failure of event 1 has a field of a wrong type or range"}
    assert second == {"sub": sub, "letter": 0, "why": "KeyError 'sequence'"}
    assert reply["code"] == "malformed"
    assert books(bench) == {"published": 6, "in_flight": 6}
    assert bench.state.tables.last_report(program.session) == 0
    assert program.report(sub, good, late)["ok"]
    assert books(bench) == {"published": 6, "settled": 3, "in_flight": 3}


def test_a_move_beyond_the_end_of_its_stream_is_refused_with_that_end(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1, 2))
    (refused,) = program.report(sub, move(bench, 0, 1), move(bench, 1, 5))["refused"]
    assert (refused["move"], refused["head"]) == (1, 2)
    assert program.report(sub, move(bench, 0, 2))["ok"]
    assert books(bench) == {"published": 2, "settled": 2}


def test_of_many_untrue_words_one_answer_names_some_and_quotes_little(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    refused = program.report(sub, *[move(bench, 0, 1, [failure("x" * 1000)])] * (REFUSED_MAX + 5))["refused"]  # type: ignore[arg-type]
    assert len(refused) == REFUSED_MAX
    assert max(len(word["why"]) for word in refused) == 300


def test_of_a_program_whose_reports_are_untrue_the_node_says_so_once(
    bench: Bench, author: Author, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    for _ in range(3):
        program.report(sub, move(bench, 0, 1, [failure(1, kind="whim")]))
    assert [record.getMessage() for record in caplog.records] == [
        "program (pid 42) reports what cannot be true: a failure of event 1 has a field of a wrong type or range"
    ]


def test_a_disk_that_cannot_be_read_at_the_second_failure_leaves_nothing_of_the_report_behind(
    bench: Bench, author: Author, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    bench.turn(author.frame("A", 2))
    report, batches = move(bench, 0, 2, [failure(1), failure(2)]), bench.state.log.batches

    def unreadable(stream: int, first: int, last: int) -> Any:
        if first == 2:
            raise StoreError("IOERR", "the disk cannot be read", disk=True)
        return batches(stream, first, last)

    with monkeypatch.context() as patch:
        patch.setattr(bench.state.log, "batches", unreadable)
        assert program.report(sub, report)["code"] == "disk"
    assert books(bench) == {"published": 2, "in_flight": 2}
    assert program.report(sub, report)["ok"]
    assert books(bench) == {"published": 2, "waiting": 2}
    assert len(bench.ask("dlq.list")["rows"]) == 2


def test_a_report_about_a_subscription_that_ended_is_passed_over(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    assert program.report(99, move(bench, 0, 1))["ok"]
    assert books(bench) == {"published": 1, "in_flight": 1}


def test_two_programs_of_one_name_each_have_their_own_copy_and_their_own_letter(
    bench: Bench, author: Author, program: Program
) -> None:
    other = Program(bench, "other")
    other.attach()
    subs = [(program, program.subscribe("c", "A")[0]), (other, other.subscribe("c", "A")[0])]
    bench.turn(author.frame("A", 1))
    for each, sub in subs:
        each.report(sub, move(bench, 0, 1, [failure(1)]))
    assert books(bench) == {"published": 2, "waiting": 2}


def test_books_and_cursors_are_there_after_a_restart(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    program.report(sub, move(bench, 0, 2, [failure(1)]))
    before = books(bench)
    bench.restart()
    assert books(bench) == before == {"published": 3, "settled": 1, "waiting": 1, "in_flight": 1}


# ── outcomes of redeliveries ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def with_letter(bench: Bench, author: Author, program: Program) -> int:
    """A subscription with one waiting letter, which is out for its second attempt."""
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    program.report(sub, move(bench, 0, 1, [failure(1)]))
    bench.turn(later_s=1)
    return sub


def test_success_ends_the_letter(bench: Bench, program: Program, with_letter: int) -> None:
    program.report(with_letter, letters=[[1, 2, None]])
    assert books(bench) == {"published": 1, "settled": 1}
    assert bench.state.letters.one(1) is None


def test_failures_lead_to_the_end_of_the_attempts(bench: Bench, program: Program, with_letter: int) -> None:
    program.report(with_letter, letters=[[1, 2, failure(1, 2)]])
    assert books(bench) == {"published": 1, "waiting": 1}
    program.report(with_letter, letters=[[1, 3, failure(1, 3, error="the last")]])
    assert books(bench) == {"published": 1, "dead": 1}
    letter = bench.state.letters.one(1)
    assert letter is not None
    assert (letter.attempts, letter.error, letter.next_attempt_us) == (3, "the last", None)


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_an_outcome_of_another_attempt_changes_nothing(
    bench: Bench, program: Program, with_letter: int, attempt: int
) -> None:
    program.report(with_letter, letters=[[1, attempt, None], [9, 1, None]])
    assert books(bench) == {"published": 1, "waiting": 1}


@pytest.mark.parametrize("failed", [False, True])
def test_an_outcome_said_twice_counts_once_also_in_one_turn(
    bench: Bench, program: Program, with_letter: int, failed: bool
) -> None:
    outcome = [1, 2, failure(1, 2) if failed else None]
    bench.turn(requests=[program.reporting(with_letter, letters=[outcome, [1, 2, None]])] * 2)
    program.report(with_letter, letters=[outcome])
    assert books(bench) == ({"published": 1, "waiting": 1} if failed else {"published": 1, "settled": 1})


def test_another_consumer_cannot_end_a_letter(bench: Bench, program: Program, with_letter: int) -> None:
    other, _ = program.subscribe("d", "A")
    program.report(other, letters=[[1, 2, None]])
    assert books(bench) == {"published": 1, "waiting": 1}


def test_a_malformed_outcome_is_refused(bench: Bench, program: Program, with_letter: int) -> None:
    reply = answer(bench.turn(requests=[program.reporting(with_letter, letters=[[1, 2, {"kind": "error"}]])]))
    assert reply["code"] == "malformed"
    assert books(bench) == {"published": 1, "waiting": 1}
