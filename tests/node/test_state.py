"""What a node knows after a restart, and after the state was read back in the middle of its life."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import encode
from node.assembly import load_state
from node.changes import Changes
from node.config import NodeSettings
from node.identity import Identity
from node.plan import plan_of
from node.store import Store
from node.table_reader import TableReader
from tests.node.workbench import Author, Bench, Program, directed, failure, forwarded, live, runs, values


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def author(bench: Bench) -> Author:
    made = Author()
    bench.greet(made)
    return made


def test_an_empty_store_is_a_node_that_never_saw_anything(bench: Bench) -> None:
    assert (bench.state.relay.streams, bench.state.relay.publishers) == ({}, {})
    assert (bench.state.consumers, bench.state.next_position, bench.state.interest.patterns) == ({}, 1, ())


def test_sequences_and_positions_go_on_after_a_restart(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1, 2), author.frame("B", 3))
    bench.restart()
    bench.greet(author)
    assert runs(bench.turn(author.frame("A", 4), author.frame("B", 5)), author) == [[4, 1, "A", 3], [5, 1, "B", 2]]
    assert [row.position for row in bench.state.log.rows_since(0)] == [1, 3, 4, 5]


def test_a_streams_number_in_the_database_is_never_given_to_another(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1))
    bench.restart()
    bench.greet(author)
    bench.turn(author.frame("B", 2))
    assert {stream.topic: stream.id for stream in bench.state.relay.by_id.values()} == {"A": 1, "B": 2}


def test_a_publisher_is_known_by_its_number_after_a_restart(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1, 2))
    bench.restart()
    bench.greet(author)
    ahead = author.at(4, "A", 4)
    author.number = 3
    assert directed(bench.turn(encode(ahead)), author.id) == [{"t": "resend", "first": 3}]


def test_a_publisher_that_published_only_duplicates_is_known_too(bench: Bench, author: Author) -> None:
    other = Author("other")
    bench.greet(other)
    bench.turn(author.frame("A", 1), other.frame("A", 1))
    bench.restart()
    bench.greet(other)
    assert runs(bench.turn(other.frame("A", 2)), other) == [[2, 1, "A", 2]]


def test_a_forwarded_stream_goes_on_where_it_was(bench: Bench) -> None:
    link, far = bench.peer("b", "A"), Author("far")
    bench.turn(links=[(link, forwarded(far.at(1, "A", 1, 2), "b.1", 5))])
    bench.restart()
    stream = bench.state.relay.streams["b.1", "A"]
    assert (stream.base, stream.head) == (4, 6)
    link = bench.peer("b", "A")
    bench.turn(links=[(link, forwarded(far.at(1, "A", 1, 2), "b.1", 5))])
    assert bench.state.relay.streams["b.1", "A"].head == 6


@pytest.mark.parametrize(("after_s", "known"), [(30.0, True), (90.0, False)])
def test_the_window_is_filled_from_what_the_log_took_in_within_it(
    bench: Bench, author: Author, after_s: float, known: bool
) -> None:
    bench.turn(author.frame("A", "old"))
    bench.turn(author.frame("A", "new"), later_s=30)
    bench.restart(after_s - 30)
    assert len(bench.state.relay.window) == (2 if known else 1)


def test_a_key_beside_a_payload_is_still_known_after_a_restart(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", "seen at 1", key=lambda payload: b"k" * 16))
    bench.restart()
    bench.greet(author)
    (message,) = directed(bench.turn(author.frame("A", "seen at 2", key=lambda payload: b"k" * 16)), author.id)
    assert (message["runs"], message["duplicates"]) == ([], [[2, f"{bench.origin}/A/1"]])


def test_a_damaged_row_does_not_keep_a_node_from_starting(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1))
    bench.turn(author.frame("A", 2))
    list(bench.store.rows("UPDATE log SET frame = x'00' WHERE position = 1"))
    bench.restart()
    assert len(bench.state.relay.window) == 1
    bench.greet(author)
    assert runs(bench.turn(author.frame("A", 3)), author) == [[3, 1, "A", 3]]


def test_durable_cursors_are_read_back_and_others_are_not_kept(bench: Bench, author: Author) -> None:
    program = Program(bench, "reader")
    program.attach()
    durable, _ = program.subscribe("kept", "A", durable=True)
    passing, _ = program.subscribe("passing", "A")
    bench.turn(author.frame("A", 1, 2, 3))
    for sub in (durable, passing):
        program.report(sub, [bench.origin, "A", 0, 2, [failure(1)], []])
    bench.restart()
    (kept,) = bench.state.consumers["kept"].followings
    assert (kept.cursors, kept.durable, kept.attachment) == ({1: 2}, True, None)
    assert (kept.pattern.text, kept.policy, kept.timeout_s) == ("A", (3, 1.0, 60.0), 600.0)
    passing_one = bench.state.consumers["passing"]
    assert (passing_one.followings, passing_one.books.passed, passing_one.books.failed) == ([], 2, 1)


def test_reading_back_while_programs_are_attached_keeps_them(bench: Bench, author: Author) -> None:
    program = Program(bench, "reader")
    program.attach()
    program.subscribe("c", "A")
    program.subscribe("d", "B", durable=True)
    version = bench.state.interest.version
    for _ in range(2):
        bench.state.load(bench.now)
        bench.node.sessions.greet_again()
    assert (bench.state.interest.patterns, bench.state.interest.version) == (("A", "B"), version)
    assert [len(each.followings) for each in bench.state.consumers.values()] == [1, 1]
    assert [values(frame) for frame in live(bench.turn(author.frame("A", 1)))] == [[1]]


def test_a_trimmed_log_still_knows_where_it_was(bench: Bench, author: Author) -> None:
    bench.turn(author.frame("A", 1, 2))
    bench.turn(author.frame("A", 3))
    bench.store.commit(Changes(trim_before=3))
    bench.restart()
    bench.greet(author)
    assert runs(bench.turn(author.frame("A", 4)), author) == [[4, 1, "A", 4]]
    assert bench.state.next_position == 5
    assert bench.ask("audit")["balanced"]


def test_a_second_connection_sees_what_was_receipted(bench: Bench, author: Author) -> None:
    assert runs(bench.turn(author.frame("A", 1)), author) == [[1, 1, "A", 1]]
    other = Store(bench.path)
    assert [row.head for row in TableReader(other).streams()] == [1]
    other.close()


def test_the_windows_hold_together_as_many_events_as_the_operator_says(
    bench: Bench, author: Author, tmp_path: Path
) -> None:
    for frame in (author.frame("A", 1), author.frame("A", 2), author.frame("B", 3)):
        bench.turn(frame)
    settings = NodeSettings(data_dir=tmp_path, dedup_events=2)
    fresh = load_state(bench.state.store, Identity("a", "1"), plan_of(settings), lambda: 0.5, bench.now)
    assert len(fresh.relay.window) == 2
