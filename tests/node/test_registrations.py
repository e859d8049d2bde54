"""Subscribing: the barrier, where a subscription begins, who may have a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.requests import session_topic, unpack_control
from node.registrations import INTEREST_WAIT_S, MARKER_WAIT_S
from tests.node.workbench import Author, Bench, Program, answer, control, failure, forwarded, live, sent, values


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


def rows(reply: dict[str, Any]) -> list[list[Any]]:
    assert reply["ok"], reply
    return sorted(reply["streams"])


# ── the barrier ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_subscription_is_answered_when_its_marker_has_arrived(bench: Bench, program: Program) -> None:
    sub, request = program.subscribing("c", "A")
    assert bench.turn(requests=[request]).replies == []
    assert bench.turn(later_s=5).replies == []
    assert answer(bench.turn(subscriptions=[program.marker(sub)]))["ok"]


def test_a_subscription_waits_until_the_linked_peers_know_of_it(bench: Bench, program: Program) -> None:
    link = bench.peer("b")
    sub, request = program.subscribing("c", "A")
    turn = bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    assert turn.replies == []
    (told,) = [message for message in sent(turn, link) if message["t"] == "interest"]
    old = {"t": "interest_ack", "version": told["version"] - 1, "origins": ["b.1"], "heads": []}
    assert bench.turn(links=[(link, control(old))]).replies == []
    new = {"t": "interest_ack", "version": told["version"], "origins": ["b.1"], "heads": []}
    assert answer(bench.turn(links=[(link, control(new))]))["ok"]


def test_a_peer_that_does_not_answer_is_waited_for_three_seconds(bench: Bench, program: Program) -> None:
    bench.peer("b")
    sub, request = program.subscribing("c", "A")
    assert bench.turn(requests=[request], subscriptions=[program.marker(sub)]).replies == []
    assert bench.turn(later_s=2.9).replies == []
    assert answer(bench.turn(later_s=0.2))["ok"]


def test_a_peer_that_goes_is_not_waited_for(bench: Bench, program: Program) -> None:
    link = bench.peer("b")
    sub, request = program.subscribing("c", "A")
    bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    assert answer(bench.turn(link_events=[(link, "disconnected", "gone")]))["ok"]


def test_a_peer_that_is_linked_while_a_subscription_is_on_its_way_is_waited_for(bench: Bench, program: Program) -> None:
    sub, request = program.subscribing("c", "A")
    bench.turn(requests=[request])
    link = bench.peer("b")
    assert bench.turn(subscriptions=[program.marker(sub)]).replies == []
    ack = {"t": "interest_ack", "version": bench.announced[link], "origins": ["b.1"], "heads": []}
    assert answer(bench.turn(links=[(link, control(ack))]))["ok"]


def test_while_a_subscription_is_on_its_way_the_node_looks_often(bench: Bench, program: Program) -> None:
    assert bench.node.idle_ms(bench.now) == 500
    bench.turn(requests=[program.subscribing("c", "A")[1]])
    assert bench.node.idle_ms(bench.now) == 20


def test_events_from_the_reply_on_are_delivered_and_none_before_is_owed(
    bench: Bench, author: Author, program: Program
) -> None:
    bench.turn(author.frame("A", 1))
    _, reply = program.subscribe("c", "A")
    assert rows(reply) == [[bench.origin, "A", 2, 1]]
    assert [values(frame) for frame in live(bench.turn(author.frame("A", 2)))] == [[2]]


# ── where it begins ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_since_says_where_a_new_subscription_begins(bench: Bench, author: Author, program: Program) -> None:
    bench.turn(author.frame("A", 1, 2))
    middle = bench.now.wall_us + 1
    bench.turn(author.frame("A", 3), later_s=10)
    bench.turn(author.frame("A", 4), author.frame("B", 5), later_s=10)
    begins = {
        "now": [[bench.origin, "A", 5, 4], [bench.origin, "B", 2, 1]],
        "earliest": [[bench.origin, "A", 1, 4], [bench.origin, "B", 1, 1]],
    }
    for since, wanted in begins.items():
        assert rows(program.subscribe(since, "*", since=since)[1]) == wanted
    by_time = program.subscribe("t", "*", since={"time_us": middle})[1]
    ago = program.subscribe("g", "*", since={"ago_us": 15_000_000})[1]
    assert rows(by_time) == rows(ago) == [[bench.origin, "A", 3, 4], [bench.origin, "B", 1, 1]]
    assert rows(program.subscribe("f", "A", since={"time_us": middle + 10**12})[1]) == [[bench.origin, "A", 5, 4]]


def test_only_the_patterns_streams_are_told(bench: Bench, author: Author, program: Program) -> None:
    bench.turn(author.frame("gpu.1", 1), author.frame("gpu.2", 2), author.frame("A", 3))
    _, reply = program.subscribe("c", "gpu.*", since="earliest")
    assert [row[1] for row in rows(reply)] == ["gpu.1", "gpu.2"]


def test_a_durable_consumer_continues_where_it_stopped_also_after_a_restart(
    bench: Bench, author: Author, program: Program
) -> None:
    bench.turn(author.frame("A", 1))
    sub, _ = program.subscribe("c", "*", durable=True)
    bench.turn(author.frame("A", 2, 3), author.frame("B", 4))
    program.report(sub, [bench.origin, "A", 1, 2, [], []])
    program.leave()
    for again in ("second", "third"):
        if again == "third":
            bench.restart()
        other = Program(bench, again)
        other.attach()
        _, reply = other.subscribe("c", "*", durable=True, since="now")
        assert rows(reply) == [[bench.origin, "A", 3, 3], [bench.origin, "B", 1, 1]]
        other.leave()


def test_a_durable_consumer_takes_in_streams_that_began_while_it_was_away(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "*", durable=True)
    program.leave()
    bench.turn(author.frame("A", 1, 2))
    other = Program(bench, "other")
    other.attach()
    assert rows(other.subscribe("c", "*", durable=True)[1]) == [[bench.origin, "A", 1, 2]]


def test_a_program_that_attaches_anew_goes_on_where_it_was(bench: Bench, author: Author, program: Program) -> None:
    bench.turn(author.frame("A", 1))
    program.subscribe("c", "*")
    bench.turn(author.frame("A", 2, 3), author.frame("B", 4))
    program.leave()
    program.attach()
    _, reply = program.subscribe("c", "*", resume=[[bench.origin, "A", 2]])
    assert rows(reply) == [[bench.origin, "A", 3, 3], [bench.origin, "B", 1, 1]]


def test_a_resumption_beyond_the_head_or_before_the_base_stays_inside(
    bench: Bench, author: Author, program: Program
) -> None:
    bench.turn(author.frame("A", 1))
    _, reply = program.subscribe("c", "A", resume=[[bench.origin, "A", 99], [bench.origin, "gone", 3]])
    assert rows(reply) == [[bench.origin, "A", 2, 1]]


@pytest.mark.parametrize("durable", [False, True])
def test_what_a_program_has_settled_of_others_streams_counts_also_where_this_node_is_behind_it(
    bench: Bench, program: Program, durable: bool
) -> None:
    far = Author("far")
    sub, reply = program.subscribe("c", "*", durable=durable, resume=[["b.1", "A", 3], ["b.1", "B", 1]])
    assert rows(reply) == []
    link = bench.peer("b")
    bench.turn(links=[(link, forwarded(far.at(1, "A", 1, 2, 3, 4, 5), "b.1", 1))])
    assert bench.ask("audit")["consumers"][0]["in_flight"] == 2
    assert program.report(sub, ["b.1", "A", 3, 5, [], []])["ok"]
    bench.turn(links=[(link, forwarded(far.at(6, "B", 1), "b.1", 1))])
    (row,) = bench.ask("audit")["consumers"]
    assert (row["published"], row["settled"], row["in_flight"], row["balanced"]) == (2, 2, 0, True)


def test_a_cursor_in_a_stream_of_which_nothing_is_here_yet_is_never_taken_for_one_in_another(
    bench: Bench, program: Program
) -> None:
    program.subscribe("d", "*", durable=True)
    link = bench.peer("b")
    ack = {"t": "interest_ack", "version": bench.announced[link], "origins": ["b.1"], "heads": []}
    bench.turn(links=[(link, control(ack))])
    bench.turn(links=[(link, forwarded(Author("far").at(9, "A", 9), "b.1", 9))])  # the first eight are under way
    program.leave()
    program.attach()
    assert rows(program.subscribe("d", "*", durable=True, resume=[["b.1", "A", 8]])[1]) == [["b.1", "A", 9, 0]]
    bench.restart()
    author = Author()
    bench.greet(author)
    bench.turn(author.frame("A", 1))
    program.attach()
    assert rows(program.subscribe("d", "*", durable=True)[1]) == [[bench.origin, "A", 1, 1], ["b.1", "A", 9, 0]]


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_durable_name_is_held_by_one_program_and_free_when_it_goes(bench: Bench, program: Program) -> None:
    program.subscribe("c", "A", durable=True)
    other = Program(bench, "other")
    other.attach()
    refusal = answer(bench.turn(requests=[other.subscribing("c", "A", durable=True)[1]]))
    assert (refusal["ok"], refusal["code"]) == (False, "held")
    assert "program (pid 42)" in refusal["message"]
    program.leave()
    assert other.subscribe("c", "A", durable=True)[1]["ok"]


def test_a_durable_name_that_is_on_its_way_in_is_held_too(bench: Bench, program: Program) -> None:
    other = Program(bench, "other")
    other.attach()
    requests = [program.subscribing("c", "A", durable=True)[1], other.subscribing("c", "A", durable=True)[1]]
    assert answer(bench.turn(requests=requests))["code"] == "held"


def test_a_name_that_is_forgotten_while_it_is_registered_anew_begins_anew(bench: Bench, program: Program) -> None:
    program.subscribe("c", "A", durable=True)
    program.leave()
    program.attach()
    sub, request = program.subscribing("c", "A", durable=True)
    bench.turn(requests=[request])
    forget = bench.request("consumers.forget", consumer="c")
    assert answer(bench.turn(requests=[forget], subscriptions=[program.marker(sub)]))["ok"]
    assert answer(bench.turn())["ok"]
    bench.restart()
    assert bench.state.interest.patterns == ("A",)
    assert [row["consumer"] for row in bench.ask("audit")["consumers"]] == ["c"]


def test_a_name_that_gets_a_letter_with_the_last_word_of_its_program_is_not_forgotten(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1))
    failing = program.reporting(sub, [bench.origin, "A", 0, 1, [failure(1)], []])
    forget = bench.request("consumers.forget", consumer="c")
    turn = bench.turn(requests=[failing, program.request("goodbye"), forget])
    assert unpack_control(turn.replies[-1][1][0])["code"] == "letters"
    assert bench.ask("dlq.discard", ids=[1])["accepted"] == [1]
    assert bench.ask("consumers.forget", consumer="c")["ok"]


def test_a_name_whose_cursor_is_moved_while_it_is_registered_anew_goes_on_where_that_has_come_to(
    bench: Bench, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    other = Program(bench, "other")
    other.attach()
    next_, request = other.subscribing("c", "A", durable=True)
    leaving = [program.reporting(sub, [bench.origin, "A", 0, 2, [], []]), program.request("goodbye")]
    bench.turn(requests=[*leaving, request], subscriptions=[other.marker(next_)])
    assert answer(bench.turn())["streams"] == [[bench.origin, "A", 3, 3]]
    assert other.report(next_, [bench.origin, "A", 2, 3, [], []])["ok"]
    (row,) = bench.ask("audit")["consumers"]
    assert (row["published"], row["settled"]) == (3, 3)


def test_what_a_session_asked_before_it_attached_anew_does_not_hold_its_name(bench: Bench, program: Program) -> None:
    sub, late = program.subscribing("c", "A", durable=True, marker="before")
    program.attach()
    bench.turn(requests=[late])
    again = program.subscribing("c", "A", durable=True, sub=sub)[1]
    turn = bench.turn(requests=[again], subscriptions=[program.marker(2)])
    assert [unpack_control(parts[0])["ok"] for _, parts in turn.replies] == [False, True]
    program.leave()
    assert not bench.sessions.registrations.waiting


def test_a_registration_whose_marker_never_comes_gives_its_name_free(bench: Bench, program: Program) -> None:
    bench.turn(requests=[program.subscribing("c", "A", durable=True)[1]])
    bench.turn(later_s=INTEREST_WAIT_S + MARKER_WAIT_S - 1)
    assert bench.sessions.registrations.waiting
    assert answer(bench.turn(later_s=2))["code"] == "ended"
    assert bench.state.interest.patterns == ()
    other = Program(bench, "other")
    other.attach()
    sub, request = other.subscribing("c", "A", durable=True)
    assert answer(bench.turn(requests=[request], subscriptions=[other.marker(sub)]))["ok"]


def test_a_subscription_that_ends_before_it_is_registered_is_answered(bench: Bench, program: Program) -> None:
    sub, request = program.subscribing("c", "A")
    bench.turn(requests=[request])
    turn = bench.turn(requests=[program.request("unsubscribe", sub=sub)])
    replies = {asked.fields["do"]: unpack_control(parts[0]) for asked, parts in turn.replies}
    assert replies["unsubscribe"]["ok"]
    assert replies["subscribe"]["code"] == "ended"
    assert not bench.sessions.registrations.waiting


def test_a_name_that_is_not_durable_may_be_shared(bench: Bench, program: Program) -> None:
    other = Program(bench, "other")
    other.attach()
    assert program.subscribe("c", "A")[1]["ok"]
    assert other.subscribe("c", "A")[1]["ok"]
    assert [row["consumer"] for row in bench.ask("audit")["consumers"]] == ["c"]


@pytest.mark.parametrize("leave", ["dies", "says goodbye", "unsubscribes"])
@pytest.mark.parametrize("when", ["registered", "on its way"])
def test_interest_ends_with_the_subscription(bench: Bench, program: Program, leave: str, when: str) -> None:
    sub, request = program.subscribing("c", "A")
    bench.turn(requests=[request], subscriptions=[program.marker(sub)] if when == "registered" else [])
    assert bench.state.interest.patterns == ("A",)
    if leave == "dies":
        program.leave()
    else:
        bench.turn(requests=[program.request("goodbye" if "bye" in leave else "unsubscribe", sub=sub)])
    assert bench.state.interest.patterns == ()
    assert not bench.node.sessions.registrations.waiting


def test_a_program_that_dies_in_the_turn_of_its_registration_leaves_its_name_free(
    bench: Bench, program: Program
) -> None:
    sub, request = program.subscribing("c", "A", durable=True)
    bench.turn(requests=[request])
    bench.turn(subscriptions=[program.marker(sub), b"\x00" + session_topic(program.session)])
    other = Program(bench, "other")
    other.attach()
    assert other.subscribe("c", "A", durable=True)[1]["ok"]


def test_a_detached_durable_consumer_keeps_its_interest_also_over_a_restart(bench: Bench, program: Program) -> None:
    program.subscribe("c", "A", durable=True)
    program.leave()
    assert bench.state.interest.patterns == ("A",)
    bench.restart()
    assert bench.state.interest.patterns == ("A",)


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ({"pattern": "a b"}, "white space"),
        ({"pattern": ""}, "pattern"),
        ({"since": "yesterday"}, "since"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 2**40}, "attempts"),
        ({"backoff": [5, 1]}, "backoff"),
        ({"backoff": [0, 1e12]}, "backoff"),
        ({"timeout_s": 0}, "timeout"),
        ({"timeout_s": 1e300}, "timeout"),
        ({"consumer": ""}, "name"),
        ({"consumer": "x" * 201}, "name"),
        ({"consumer": "a\nb"}, "name"),
        ({"resume": [["a", "A", -1]]}, "resume"),
    ],
)
def test_a_wrong_option_is_refused_with_a_sentence(
    bench: Bench, program: Program, option: dict[str, Any], word: str
) -> None:
    refusal = answer(bench.turn(requests=[program.subscribing(**{"consumer": "c", "pattern": "A", **option})[1]]))
    assert (refusal["ok"], refusal["code"]) == (False, "invalid")
    assert word in refusal["message"]
    assert bench.state.interest.patterns == ()


@pytest.mark.parametrize(
    "option",
    [{"resume": 5}, {"resume": [5]}, {"resume": [["a"]]}, {"sub": "x"}, {"sub": 1e300}, {"backoff": [1]}],
)
def test_a_wrong_shape_is_malformed_and_leaves_nothing_behind(
    bench: Bench, program: Program, option: dict[str, Any]
) -> None:
    refusal = answer(bench.turn(requests=[program.subscribing(**{"consumer": "c", "pattern": "A", **option})[1]]))
    assert (refusal["ok"], refusal["code"]) == (False, "malformed")
    assert bench.state.interest.patterns == ()
    assert not bench.node.sessions.registrations.waiting
