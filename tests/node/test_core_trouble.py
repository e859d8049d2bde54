"""`Node.turn` when the disk refuses: nothing leaves, everything is asked for again, and nothing comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.frame import decode
from mesh.requests import Json, unpack_beacon, unpack_control
from mesh.streams import Range
from node.changes import Changes
from node.store import Store, StoreError
from node.turn import Turn
from tests.node.workbench import (
    Author,
    Bench,
    Program,
    answer,
    control,
    directed,
    failure,
    forwarded,
    interest,
    live,
    runs,
    sent,
    values,
)


class FragileStore(Store):
    """A store whose disk can be full, and whose file can be unreadable."""

    full = False
    nearly_full = False
    """It takes what is tried whether it takes anything, and nothing else."""
    unreadable = False

    def commit(self, changes: Changes) -> None:
        if self.full or self.nearly_full:
            raise StoreError("Full", "database or disk is full")
        super().commit(changes)

    def write_meta(self, values: dict[str, str]) -> None:
        if self.full:
            raise StoreError("Full", "database or disk is full")
        super().write_meta(values)

    def rows(self, sql: str, values: Iterable[Any] = ()) -> Iterator[Any]:
        if self.unreadable:
            raise StoreError("IO", "disk I/O error")
        return super().rows(sql, values)


@pytest.fixture
def store(tmp_path: Path) -> FragileStore:
    return FragileStore(tmp_path / "a.db")


@pytest.fixture
def bench(tmp_path: Path, store: FragileStore) -> Bench:
    return Bench(tmp_path, store=store)


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


def in_log(bench: Bench) -> list[object]:
    return [value for row in bench.state.log.rows_since(0) for value in values(decode(row.frame))]


def left(turn: Turn) -> tuple[list[list[bytes]], list[object]]:
    return turn.out, turn.links


def test_nothing_of_a_turn_that_was_not_written_leaves_the_node(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    bench.peer("b", "A")
    store.full = True
    turn = bench.turn(author.frame("A", "x"))
    assert left(turn) == ([], [])
    assert bench.node.trouble is not None
    assert bench.node.counts["store Full"] == 1


def test_requests_of_such_a_turn_are_refused_with_the_reason(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    store.full = True
    reply = answer(bench.turn(author.frame("A", "x"), requests=[bench.request("dlq.discard", ids=[1])]))
    assert (reply["ok"], reply["code"]) == (False, "disk")
    assert "full" in reply["message"]


@pytest.mark.parametrize("do", ["status", "peers", "consumers", "audit", "dlq.list", "log.stats"])
def test_questions_in_such_a_turn_are_answered_with_what_the_disk_says(
    bench: Bench, store: FragileStore, author: Author, program: Program, do: str
) -> None:
    bench.turn(author.frame("A", "x"))
    before = {key: value for key, value in bench.ask(do).items() if key != "id"}
    store.full = True
    reply = answer(bench.turn(author.frame("A", "y"), requests=[bench.request(do)]))
    assert reply["ok"]
    if do == "status":
        assert "full" in reply["node"]["trouble"]
    else:
        assert {key: value for key, value in reply.items() if key != "id"} == before


def test_what_needs_no_disk_goes_on(bench: Bench, store: FragileStore, author: Author, program: Program) -> None:
    link = bench.peer("b", "A")
    store.full = True
    bench.turn(author.frame("A", "x"))
    turn = bench.turn(author.ephemeral("A", "y"), requests=[bench.request("peers")], later_s=2)
    assert answer(turn)["ok"]
    assert [values(decode(parts[0][:-8])) for parts in turn.passing_out] == [["y"]]
    assert "ping" in [message["t"] for message in sent(turn, link)]


def test_events_in_trouble_get_no_receipt_and_are_admitted_once_when_sent_again(
    bench: Bench, store: FragileStore, author: Author
) -> None:
    frames = [author.frame("A", "x"), author.frame("A", "y")]
    bench.turn(frames[0])
    store.full = True
    for _ in range(3):
        assert left(bench.turn(*frames, later_s=0.1)) == ([], [])
    store.full = False
    assert left(bench.turn(*frames, later_s=0.1)) == ([], [])
    turn = bench.turn(*frames, later_s=1.5)
    assert runs(turn, author) == [[1, 2, "A", 1]]
    assert (in_log(bench), bench.node.trouble) == (["x", "y"], None)
    assert bench.ask("audit")["balanced"]


def test_a_disk_that_stays_full_is_tried_once_a_second(bench: Bench, store: FragileStore, author: Author) -> None:
    store.full = True
    bench.turn(author.frame("A", "x"))
    for _ in range(40):
        bench.turn(later_s=0.1)
    assert 3 <= bench.node.counts["store Full"] <= 6


def test_a_first_frame_that_could_not_be_written_is_taken_when_sent_again(
    bench: Bench, store: FragileStore, author: Author
) -> None:
    frame = author.frame("A", "x")
    store.full = True
    bench.turn(frame)
    store.full = False
    bench.turn(later_s=2)
    assert bench.node.trouble is None
    assert runs(bench.turn(frame), author) == [[1, 1, "A", 1]]


def test_sequences_and_positions_are_not_used_up_by_a_failed_turn(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    program.subscribe("c", "*")
    bench.turn(author.frame("A", "x"))
    store.full = True
    lost = [author.frame("A", "y"), author.frame("B", "z")]
    bench.turn(*lost)
    store.full = False
    bench.turn(later_s=2)
    turn = bench.turn(*lost)
    assert runs(turn, author) == [[2, 1, "A", 2], [3, 1, "B", 1]]
    assert [row.position for row in bench.state.log.rows_since(0)] == [1, 2, 3]


def test_content_of_a_failed_turn_is_no_duplicate_later(bench: Bench, store: FragileStore, author: Author) -> None:
    other = Author("other")
    bench.greet(other)
    store.full = True
    bench.turn(author.frame("A", "x"))
    store.full = False
    bench.turn(later_s=2)
    assert runs(bench.turn(other.frame("A", "x")), other) == [[1, 1, "A", 1]]


def test_no_head_is_announced_that_is_not_on_disk(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    bench.turn(author.frame("A", "x"))
    bench.turn(later_s=2)
    store.full = True
    bench.turn(author.frame("A", "y"))
    store.full = False
    said = [parts[0] for _ in range(30) for parts in bench.turn(later_s=0.1).out if parts[0][:1] == b"~"]
    assert [head for beacon in said for _, _, head in unpack_beacon(beacon) if head > 1] == []


def test_what_is_not_on_disk_is_not_called_gone(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    bench.turn(author.frame("A", "x"))
    store.full = True
    bench.turn(author.frame("A", "y"))
    reply = answer(bench.turn(requests=[program.request("replay", ranges=[[bench.origin, "A", 1, 2]], bytes_max=9999)]))
    assert (reply["rows"], reply["gone"]) == ([1], [])


def test_a_forwarded_event_of_a_failed_turn_is_taken_when_it_comes_again(
    bench: Bench, store: FragileStore, program: Program
) -> None:
    program.subscribe("c", "A")
    link = bench.peer("b", "A")
    data = forwarded(Author("far").at(1, "A", "x"), "b.1", 1)
    store.full = True
    assert left(bench.turn(links=[(link, data)])) == ([], [])
    store.full = False
    bench.turn(later_s=2)
    assert [frame.origin for frame in live(bench.turn(links=[(link, data)]))] == ["b.1"]


def test_a_registration_that_could_not_be_written_leaves_no_interest_and_can_be_tried_again(
    bench: Bench, store: FragileStore, program: Program
) -> None:
    store.full = True
    assert program.subscribe("c", "A")[1]["code"] == "disk"
    assert bench.state.interest.patterns == ()
    store.full = False
    bench.turn(later_s=2)
    sub, reply = program.subscribe("c", "A")
    assert reply["ok"]
    bench.turn(requests=[program.request("unsubscribe", sub=sub)])
    assert bench.state.interest.patterns == ()


def test_a_report_that_could_not_be_written_counts_once_when_repeated(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A", durable=True)
    bench.turn(author.frame("A", 1, 2, 3))
    move = [bench.origin, "A", 0, 3, [failure(2)], []]
    store.full = True
    assert program.report(sub, move)["code"] == "disk"
    store.full = False
    bench.turn(later_s=2)
    assert program.report(sub, move)["ok"]
    (books,) = bench.ask("audit")["consumers"]
    assert (books["published"], books["settled"], books["waiting"], books["balanced"]) == (3, 2, 1, True)


def redelivered(turn: Turn, program: Program) -> list[Json]:
    return [message for message in directed(turn, program.session) if message["t"] == "redeliver"]


def test_a_redelivery_that_did_not_leave_is_sent_after_the_recovery(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    sub, _ = program.subscribe("c", "A")
    bench.turn(author.frame("A", 1))
    program.report(sub, [bench.origin, "A", 0, 1, [failure(1)], []])
    store.full = True
    assert redelivered(bench.turn(author.frame("A", 2), later_s=0.6), program) == []
    store.full = False
    found = [each for _ in range(30) for each in redelivered(bench.turn(later_s=0.1), program)]
    assert [(each["letter"], each["attempt"]) for each in found] == [(1, 2)]


@pytest.mark.parametrize("do", ["resend", "subscribe", "status", "replay", "report", "redeliver"])
def test_a_file_that_cannot_be_read_never_ends_the_node(
    bench: Bench, store: FragileStore, author: Author, program: Program, do: str
) -> None:
    sub, _ = program.subscribe("c", "A")
    frame = author.frame("A", 1, 2)
    bench.turn(frame)
    program.report(sub, [bench.origin, "A", 0, 1, [failure(1)], []])
    other, subscribing = program.subscribing("d", "A", since="earliest")
    requests = {
        "subscribe": [subscribing],
        "status": [bench.request("status")],
        "replay": [program.request("replay", ranges=[[bench.origin, "A", 1, 2]], bytes_max=99)],
        "report": [program.reporting(sub, [bench.origin, "A", 1, 2, [failure(2)], []], letters=[[1, 2, None]])],
    }
    store.unreadable = True
    turn = bench.turn(
        *([frame] if do == "resend" else []),
        requests=requests.get(do, []),
        subscriptions=[program.marker(other)],
        later_s=1,
    )
    assert [unpack_control(parts[0])["code"] for _, parts in turn.replies] == ["disk"] * len(requests.get(do, []))
    store.unreadable = False
    bench.turn(later_s=2)
    bench.turn(later_s=2)
    assert bench.node.trouble is None
    assert bench.ask("status")["ok"]
    assert runs(bench.turn(frame), author) == [[1, 2, "A", 1]]


def test_members_that_could_not_be_written_down_are_when_the_disk_takes_it(bench: Bench, store: FragileStore) -> None:
    def kept() -> list[str]:
        return sorted(row.name for row in bench.state.tables.members())

    bench.peer("b")
    bench.turn()
    store.full = True
    bench.peer("c")
    assert kept() == ["b"]
    store.full = False
    for _ in range(3):
        bench.turn(later_s=2.0)
    assert kept() == ["b", "c"]


@pytest.mark.parametrize(("finds", "mended_s"), [("full", 0.0), ("full", 5.0), ("closed", 0.0), ("closed", 5.0)])
def test_what_a_neighbour_answers_to_a_full_disk_is_placed_when_there_is_room(
    bench: Bench, store: FragileStore, author: Author, program: Program, finds: str, mended_s: float
) -> None:
    """The answer's own turn finds the disk full, or that is known; asked again, the neighbour has gone on since."""
    program.subscribe("c", "A", durable=True)
    link = bench.peer("b")
    store.full = True
    if finds == "closed":
        bench.turn(author.frame("B", 1))
    bench.turn(links=[(link, answer_to_interest(bench, link, 40))])
    assert ("b.1", "A") not in bench.state.relay.streams
    turns = [bench.turn(later_s=0.1) for _ in range(int(10 * mended_s))]
    asked = [each for turn in turns for each in sent(turn, link) if each["t"] == "interest"]
    assert [each["whole"] for each in asked] == [True] * (mended_s > 0)
    if asked:
        bench.turn(links=[(link, answer_to_interest(bench, link, 50))])
    store.full = False
    far = Author("far")
    bench.turn(links=[(link, forwarded(far.at(51, "A", "x"), "b.1", 51))], later_s=2.0)
    stream = bench.state.relay.streams["b.1", "A"]
    assert (stream.base, bench.state.relay.missing(stream)) == (40, [Range(41, 50)])
    assert bench.state.informed[link] == bench.state.interest.version
    assert [each["t"] for _ in range(50) for each in sent(bench.turn(later_s=0.1), link)].count("interest") == 0


@pytest.mark.parametrize("closed", [False, True])
def test_of_the_answers_to_two_announcements_that_a_full_disk_did_not_take_each_is_placed_in_its_turn(
    bench: Bench, store: FragileStore, author: Author, program: Program, closed: bool
) -> None:
    """Both come in the turn that fails, or waited, and fail together when the disk seems to take something again."""
    program.subscribe("c", "A", durable=True)
    link = bench.peer("b")
    first = answer_to_interest(bench, link, 40)
    sub, request = program.subscribing("d", "B", durable=True)
    bench.turn(requests=[request], subscriptions=[program.marker(sub)])
    second = answer_to_interest(bench, link, 0)
    store.full = True
    if closed:
        bench.turn(author.frame("Z", 1))
    bench.turn(links=[(link, first), (link, second)])
    store.full, store.nearly_full = False, closed
    bench.turn(later_s=2)
    store.nearly_full = False
    bench.turn(later_s=2)
    assert bench.state.relay.streams["b.1", "A"].base == 40


def test_what_was_answered_to_a_full_disk_goes_with_its_link_that_moves_in_the_same_turn(
    bench: Bench, store: FragileStore, program: Program
) -> None:
    program.subscribe("c", "A", durable=True)
    link, spare = bench.peer("b"), "tcp://b:7271"
    bench.links.dial([spare])
    hello = {"t": "hello", "answer": True, "spare": True, "protocol": 1, "name": "b", "origin": "b.1", "version": "1.0"}
    bench.turn(link_events=[(spare, "connected", "")])
    bench.turn(links=[(spare, control(hello))])
    store.full = True
    bench.turn(links=[(link, answer_to_interest(bench, link, 40)), (spare, control({"t": "use"}))])
    assert bench.links.up() == {spare}
    store.full = False
    bench.turn(later_s=2)
    bench.turn(later_s=2)
    assert bench.state.relay.streams["b.1", "A"].base == 40


def test_what_was_answered_to_a_full_disk_ends_with_its_link(
    bench: Bench, store: FragileStore, program: Program
) -> None:
    program.subscribe("c", "A", durable=True)
    link = bench.peer("b")
    store.full = True
    bench.turn(links=[(link, answer_to_interest(bench, link, 40))])
    bench.turn(link_events=[(link, "disconnected", "")])
    store.full = False
    bench.turn(later_s=2.0)
    bench.turn(links=[(bench.peer("b"), answer_to_interest(bench, link, 50))])
    assert bench.state.relay.streams["b.1", "A"].base == 50


def test_a_leaf_is_told_who_knows_its_wish_only_when_that_answer_is_written(bench: Bench, store: FragileStore) -> None:
    link, leaf = bench.peer("b"), bench.peer("l", role="leaf")
    bench.turn(links=[(link, answer_to_interest(bench, link, 0))])
    bench.turn(links=[(leaf, control(interest("l", "A", version=2)))], later_s=0.5)
    store.full = True
    bench.turn(links=[(link, answer_to_interest(bench, link, 40))])
    turns = [bench.turn(later_s=0.1) for _ in range(20)]
    store.full = False
    turns += [bench.turn(later_s=0.1) for _ in range(20)]
    said = [each for turn in turns for each in sent(turn, leaf) if each["t"] == "interest_ack"]
    assert [(each["origins"], each["heads"]) for each in said] == [
        ([bench.origin], []),
        ([bench.origin, "b.1"], [["b.1", "A", 40]]),
    ]


def test_a_neighbour_is_not_answered_while_it_is_not_known_what_is_here(
    bench: Bench, store: FragileStore, author: Author
) -> None:
    bench.turn(author.frame("A", 1, 2, 3))
    link = bench.peer("b")
    store.full = store.unreadable = True
    bench.turn(author.frame("A", 4))
    turns = [bench.turn(links=[(link, control(interest("b", "A", version=2)))]), bench.turn(later_s=0.3)]
    assert [each for turn in turns for each in sent(turn, link) if each["t"] == "interest_ack"] == []
    store.full = store.unreadable = False
    turn = bench.turn(later_s=2)
    assert [each["heads"] for each in sent(turn, link) if each["t"] == "interest_ack"] == [[[bench.origin, "A", 3]]]


def test_a_new_generation_whose_first_answer_could_not_be_written_is_owed_what_its_former_one_knew(
    bench: Bench, store: FragileStore, author: Author, program: Program
) -> None:
    program.subscribe("c", "A", durable=True)
    link = bench.peer("b")
    bench.turn(links=[(link, answer_to_interest(bench, link, 0))])
    bench.turn(link_events=[(link, "disconnected", "")])
    bench.peer("b", generation="2")
    store.full = True
    bench.turn(author.frame("Z", "x"), links=[(link, answer_to_interest(bench, link, 0, "b.2"))])
    store.full = False
    bench.turn(later_s=2)
    bench.turn(links=[(link, answer_to_interest(bench, link, 3, "b.2"))], later_s=2)
    stream = bench.state.relay.streams["b.2", "A"]
    assert (stream.base, bench.state.relay.missing(stream)) == (0, [Range(1, 3)])


def answer_to_interest(bench: Bench, link: str, head: int, origin: str = "b.1") -> bytes:
    rows = [(origin, "A", head)] if head else []
    return control({"t": "interest_ack", "version": bench.announced[link], "origins": [origin], "heads": rows})
