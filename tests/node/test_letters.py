"""Letters on their way back to the consumer that failed them, and what operators may ask of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import decode
from mesh.marks import LETTER, Mark
from mesh.requests import Json
from node.clock import Now
from node.letters import GRACE_S, OUT_MAX
from node.retention import Limits
from node.turn import Turn
from tests.node.workbench import Author, Bench, Program, answer, directed, failure, values


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


def fail(bench: Bench, author: Author, program: Program, sub: int, count: int = 1, attempt: int = 1) -> None:
    """Publish `count` events, and have the program fail all of them."""
    stream = bench.state.relay.streams.get((bench.origin, "A"))
    head = stream.head if stream else 0
    bench.turn(author.frame("A", *range(head, head + count)))
    failures = [failure(head + index + 1, attempt) for index in range(count)]
    assert program.report(sub, [bench.origin, "A", head, head + count, failures, []])["ok"]


def redelivered(turn: Turn, program: Program) -> list[tuple[int, int, int]]:
    """sub, letter, attempt of every redelivery to a program."""
    found = [each for each in directed(turn, program.session) if each["t"] == "redeliver"]
    return [(each["sub"], each["letter"], each["attempt"]) for each in found]


def act(bench: Bench, do: str, **fields: object) -> tuple[list[int], list[int]]:
    """Ask for something; the letters for which it was accepted, and those for which it was refused."""
    reply = bench.ask(do, actor="me", **fields)
    return reply["accepted"], [id_ for id_, _ in reply["refused"]]


def balanced(bench: Bench) -> Json:
    audit = bench.ask("audit")
    assert audit["balanced"], audit
    (row,) = audit["consumers"]
    return {key: row[key] for key in ("settled", "waiting", "dead", "expired") if row[key]}


# ── redelivery ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_letter_goes_out_when_its_backoff_is_over_and_only_then(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub)
    bench.turn()
    assert 490 < bench.node.idle_ms(bench.now) <= 500
    assert redelivered(bench.turn(later_s=0.49), program) == []
    assert bench.node.idle_ms(bench.now) <= 10
    turn = bench.turn(later_s=0.02)
    assert redelivered(turn, program) == [(sub, 1, 2)]
    (parts,) = [parts for parts in turn.out if parts[0].startswith(b"!" + program.session.hex().encode())]
    assert values(decode(parts[1])) == [0]
    assert redelivered(bench.turn(later_s=5), program) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_is_set_back_delays_no_letter_by_more_than_the_longest_backoff(
    bench: Bench, author: Author, program: Program, restarted: bool
) -> None:
    sub, _ = program.subscribe("c", "A", backoff=[1.0, 20.0])
    fail(bench, author, program, sub)
    bench.turn()
    bench.now = Now(bench.now.wall_us - 3_600_000_000, bench.now.mono_us)
    if restarted:
        bench.restart()
        program.attach()
        sub, request = program.subscribing("c", "A", backoff=[1.0, 20.0])
        bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    assert redelivered(bench.turn(), program) == [(sub, 1, 2)]


def test_a_clock_set_back_by_less_than_the_longest_backoff_delays_a_letter_by_as_much(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", backoff=[1.0, 20.0])
    fail(bench, author, program, sub)
    bench.turn()
    bench.now = Now(bench.now.wall_us - 5_000_000, bench.now.mono_us)
    assert redelivered(bench.turn(later_s=5), program) == []
    assert redelivered(bench.turn(later_s=0.51), program) == [(sub, 1, 2)]


def test_a_letter_goes_to_the_consumer_that_failed_and_to_nobody_else(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    other = Program(bench, "other")
    other.attach()
    other.subscribe("d", "A")
    fail(bench, author, program, sub)
    turn = bench.turn(later_s=1)
    assert (redelivered(turn, program), redelivered(turn, other)) == ([(sub, 1, 2)], [])


def test_a_letter_waits_for_its_consumer_to_come_back_also_over_a_restart(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub)
    program.leave()
    bench.restart(60)
    assert bench.turn(later_s=60).out == []
    program.attach()
    request = program.subscribing("c", "A")
    found = [bench.turn(requests=[request[1]], subscriptions=[program.marker(request[0])]), bench.turn()]
    assert [each for turn in found for each in redelivered(turn, program)] == [(request[0], 1, 2)]


def test_what_a_program_had_out_when_it_went_is_given_to_the_next(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub)
    assert redelivered(bench.turn(later_s=1), program) == [(sub, 1, 2)]
    program.leave()
    other = Program(bench, "other")
    other.attach()
    other_sub, request = other.subscribing("c", "A")
    turns = [bench.turn(requests=[request], subscriptions=[other.marker(other_sub)]), bench.turn()]
    assert [each for turn in turns for each in redelivered(turn, other)] == [(other_sub, 1, 2)]


def test_an_outcome_that_never_comes_is_not_waited_for_for_ever(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A", timeout_s=5.0)
    fail(bench, author, program, sub)
    assert redelivered(bench.turn(later_s=1), program) == [(sub, 1, 2)]
    assert redelivered(bench.turn(later_s=5 + GRACE_S - 0.1), program) == []
    assert redelivered(bench.turn(later_s=0.2), program) == [(sub, 1, 2)]
    assert program.report(sub, letters=[[1, 2, None]])["ok"]
    assert program.report(sub, letters=[[1, 2, None]])["ok"]
    assert balanced(bench) == {"settled": 1}


def test_no_more_than_a_bound_is_out_at_one_consumer_and_the_rest_follows(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub, OUT_MAX + 6)
    assert len(redelivered(bench.turn(later_s=1), program)) == OUT_MAX
    assert redelivered(bench.turn(later_s=1), program) == []
    request = program.reporting(sub, letters=[[id_, 2, None] for id_ in range(1, 11)])
    turns = [bench.turn(requests=[request]), bench.turn()]
    more = [letter for turn in turns for _, letter, _ in redelivered(turn, program)]
    assert sorted(more) == list(range(OUT_MAX + 1, OUT_MAX + 7))


def test_letters_of_topics_nobody_follows_any_more_do_not_hold_up_the_others(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub, OUT_MAX + 1)
    bench.turn(requests=[program.request("unsubscribe", sub=sub)])
    sub, _ = program.subscribe("c", "B")
    bench.turn(author.frame("B", "x"))
    program.report(sub, [bench.origin, "B", 0, 1, [failure(1)], []])
    found = [each for _ in range(3) for each in redelivered(bench.turn(later_s=1), program)]
    assert found == [(sub, OUT_MAX + 2, 2)]


# ── operators ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sub(bench: Bench, author: Author, program: Program) -> int:
    """A subscription with a dead letter, number 1."""
    made, _ = program.subscribe("c", "A")
    fail(bench, author, program, made, attempt=3)
    assert balanced(bench) == {"dead": 1}
    return made


def test_a_retry_is_one_more_attempt_at_once(bench: Bench, program: Program, sub: int) -> None:
    assert act(bench, "dlq.retry", ids=[1]) == ([1], [])
    assert redelivered(bench.turn(), program) == [(sub, 1, 4)]
    program.report(sub, letters=[[1, 4, None]])
    assert balanced(bench) == {"settled": 1}


def test_a_retry_that_fails_again_is_dead_again(bench: Bench, program: Program, sub: int) -> None:
    act(bench, "dlq.retry", ids=[1])
    bench.turn()
    program.report(sub, letters=[[1, 4, failure(1, 4)]])
    assert balanced(bench) == {"dead": 1}
    assert act(bench, "dlq.retry", ids=[1]) == ([1], [])


def test_pressing_twice_runs_the_handler_once(bench: Bench, program: Program, sub: int) -> None:
    requests = [bench.request("dlq.retry", ids=[1], actor="me"), bench.request("dlq.retry", ids=[1], actor="you")]
    turns = [bench.turn(requests=requests), bench.turn()]
    assert [each for turn in turns for each in redelivered(turn, program)] == [(sub, 1, 4)]
    assert act(bench, "dlq.retry", ids=[1]) == ([], [1])
    assert act(bench, "dlq.discard", ids=[1]) == ([], [1])


def test_a_waiting_letter_can_be_hurried(bench: Bench, author: Author, program: Program) -> None:
    sub, _ = program.subscribe("c", "A", backoff=[60.0, 60.0])
    fail(bench, author, program, sub)
    assert act(bench, "dlq.retry", ids=[1]) == ([1], [])
    assert redelivered(bench.turn(), program) == [(sub, 1, 2)]


def test_a_retry_with_nobody_there_is_refused_and_says_so(bench: Bench, program: Program, sub: int) -> None:
    program.leave()
    reply = bench.ask("dlq.retry", ids=[1], actor="me")
    assert reply["accepted"] == []
    ((_, reason),) = reply["refused"]
    assert "'c'" in reason
    assert "attached" in reason


def test_a_discard_ends_the_letter_and_the_books_call_it_expired(bench: Bench, program: Program, sub: int) -> None:
    requests = [bench.request("dlq.discard", ids=[1], actor="me"), bench.request("dlq.discard", ids=[1], actor="you")]
    bench.turn(requests=requests)
    assert balanced(bench) == {"expired": 1}
    assert bench.ask("dlq.list")["rows"] == []


def test_a_retry_and_a_discard_in_one_turn_end_the_letter_unsent(bench: Bench, program: Program, sub: int) -> None:
    requests = [bench.request("dlq.retry", ids=[1], actor="me"), bench.request("dlq.discard", ids=[1], actor="you")]
    turns = [bench.turn(requests=requests), bench.turn()]
    assert [each for turn in turns for each in redelivered(turn, program)] == []
    assert balanced(bench) == {"expired": 1}


def test_a_letter_that_is_discarded_when_it_falls_due_does_not_go_out(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub)
    turn = bench.turn(requests=[bench.request("dlq.discard", ids=[1], actor="me")], later_s=1)
    assert answer(turn)["accepted"] == [1]
    assert redelivered(turn, program) == []
    assert balanced(bench)["expired"] == 1


def failed_and_sent(bench: Bench, author: Author, program: Program) -> int:
    """An event failed and is out again. The subscription's number."""
    sub, _ = program.subscribe("c", "A")
    fail(bench, author, program, sub)
    bench.turn(later_s=1)
    return sub


def second(bench: Bench) -> tuple[Program, int]:
    """Another program of the same consumer, and its subscription's number."""
    other = Program(bench, "other")
    other.attach()
    sub, _ = other.subscribe("c", "A")
    return other, sub


def test_a_letter_whose_outcome_is_the_last_word_of_a_program_does_not_go_to_the_next_one(
    bench: Bench, author: Author, program: Program
) -> None:
    sub = failed_and_sent(bench, author, program)
    other, _ = second(bench)
    outcome = program.reporting(sub, letters=[[1, 2, None]])
    turn = bench.turn(requests=[outcome, program.request("goodbye")])
    assert redelivered(turn, other) == []
    assert balanced(bench)["settled"] == 1


def test_a_letter_over_which_a_program_died_goes_to_the_next_one_as_a_further_attempt(
    bench: Bench, author: Author, program: Program
) -> None:
    sub = failed_and_sent(bench, author, program)
    other, next_ = second(bench)
    bench.marks[program.session] = [Mark(LETTER, sub, 1)]
    turns = [program.leave(), *(bench.turn(later_s=1) for _ in range(5))]
    assert [each for turn in turns for each in redelivered(turn, other)] == [(next_, 1, 3)]


def test_a_dry_run_says_what_would_happen_and_does_nothing(bench: Bench, program: Program, sub: int) -> None:
    for do in ("dlq.retry", "dlq.discard"):
        assert act(bench, do, ids=[1, 77], dry_run=True) == ([1], [77])
    assert redelivered(bench.turn(), program) == []
    assert balanced(bench) == {"dead": 1}


def test_every_act_is_written_down_with_who_did_it(bench: Bench, program: Program, sub: int) -> None:
    act(bench, "dlq.retry", ids=[1])
    bench.turn()
    program.report(sub, letters=[[1, 4, failure(1, 4)]])
    act(bench, "dlq.discard", ids=[1])
    rows = list(bench.store.rows("SELECT actor, action, letter, detail FROM actions"))
    assert [row[:3] for row in rows] == [("me", "retry", 1), ("me", "discard", 1)]
    assert rows[0][3] == f"c {bench.origin}/A/1 after 3 attempts"


def test_all_letters_of_a_filter_are_acted_on(bench: Bench, author: Author, program: Program, sub: int) -> None:
    other, _ = program.subscribe("d", "A")
    bench.turn(author.frame("A", "more"))
    program.report(other, [bench.origin, "A", 1, 2, [failure(2, 3)], []])
    assert act(bench, "dlq.discard", consumer="d") == ([2], [])
    assert answer(bench.turn(requests=[bench.request("dlq.list")]))["rows"][0]["id"] == 1


def test_a_letter_that_is_discarded_when_it_is_too_old_ends_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.limits = Limits(0, 0, 0, 60.0, 0)
    bench.restart()
    author, program = Author(), Program(bench, "reader")
    bench.greet(author)
    program.attach()
    sub, _ = program.subscribe("c", "A", attempts=1)
    fail(bench, author, program, sub)
    turn = bench.turn(requests=[bench.request("dlq.discard", ids=[1], actor="me")], later_s=100)
    assert answer(turn)["accepted"] == [1]
    assert balanced(bench) == {"expired": 1}
