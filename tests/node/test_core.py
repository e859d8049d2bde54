"""`Node.turn` with a real store, without sockets: from a publisher's frame to receipts, subscribers and links."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import decode, encode
from mesh.requests import unpack_control
from tests.node.workbench import Author, Bench, Program, control, directed, forwarded, live, runs, sent, values


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


def in_log(bench: Bench, topic: str = "A") -> list[object]:
    """Every value on a topic, as the log has it."""
    frames = [decode(row.frame) for row in bench.state.log.rows_since(0)]
    return [value for frame in frames if frame.topic == topic for value in values(frame)]


# ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_is_logged_receipted_and_given_to_its_subscriber(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    turn = bench.turn(author.frame("A", "x", "y"))
    assert directed(turn, author.id) == [
        {"t": "receipts", "origin": "a.00000001", "runs": [[1, 2, "A", 1]], "duplicates": [], "rejected": []}
    ]
    (frame,) = live(turn)
    assert (frame.origin, frame.topic, frame.sequence, values(frame)) == ("a.00000001", "A", 1, ["x", "y"])
    assert in_log(bench) == ["x", "y"]


def test_what_nobody_here_wants_is_logged_and_not_sent(bench: Bench, author: Author, program: Program) -> None:
    program.subscribe("c", "B")
    turn = bench.turn(author.frame("A", "x"))
    assert (runs(turn, author), live(turn), in_log(bench)) == ([[1, 1, "A", 1]], [], ["x"])


def test_the_position_behind_a_frame_is_its_place_in_the_log(bench: Bench, author: Author, program: Program) -> None:
    program.subscribe("c", "*")
    turn = bench.turn(author.frame("A", 1, 2, 3), author.frame("B", 4), author.frame("A", 5))
    places = [int.from_bytes(parts[0][-8:], "big") for parts in turn.out if parts[0][:1] not in (b"!", b"~")]
    assert places == [1, 4, 5]
    assert [row.position for row in bench.state.log.rows_since(0)] == places


def test_the_receipts_of_a_turn_are_one_message_and_melt_into_runs(bench: Bench, author: Author) -> None:
    turn = bench.turn(author.frame("A", 1), author.frame("A", 2, 3), author.frame("B", 4), author.frame("A", 5))
    assert runs(turn, author) == [[1, 3, "A", 1], [4, 1, "B", 1], [5, 1, "A", 4]]
    assert len(directed(turn, author.id)) == 1


def test_each_publisher_gets_its_own_receipts(bench: Bench, author: Author) -> None:
    other = Author("other")
    bench.greet(other)
    turn = bench.turn(author.frame("A", 1), other.frame("A", 2), author.frame("A", 3))
    assert (runs(turn, author), runs(turn, other)) == ([[1, 1, "A", 1], [2, 1, "A", 3]], [[1, 1, "A", 2]])


def test_an_ephemeral_event_passes_at_once_unlogged_and_unreceipted(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    link = bench.peer("b", "A")
    turn = bench.turn(author.ephemeral("A", "x"))
    (parts,) = turn.passing_out
    assert parts[0][-8:] == bytes(8)
    assert values(decode(parts[0][:-8])) == ["x"]
    assert [(key, decode(data).origin) for key, data in turn.passing_links] == [(link, bench.origin)]
    assert (turn.out, in_log(bench)) == ([], [])


# ── sent twice, out of turn ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_resend_is_receipted_again_as_it_was_and_goes_nowhere(bench: Bench, author: Author, program: Program) -> None:
    program.subscribe("c", "A")
    frames = [author.frame("A", 1, 2), author.frame("B", 3), author.frame("A", 4)]
    first = runs(bench.turn(*frames), author)
    again = bench.turn(*frames)
    assert runs(again, author) == first == [[1, 2, "A", 1], [3, 1, "B", 1], [4, 1, "A", 3]]
    assert (live(again), in_log(bench)) == ([], [1, 2, 4])


def test_a_resend_in_the_same_turn_is_receipted_and_kept_once(bench: Bench, author: Author) -> None:
    frame = author.frame("A", 1)
    assert runs(bench.turn(frame, frame), author) in ([[1, 1, "A", 1]], [[1, 1, "A", 1], [1, 1, "A", 1]])
    assert in_log(bench) == [1]


def test_a_resend_after_a_restart_is_receipted_again(bench: Bench, author: Author) -> None:
    frames = [author.frame("A", 1, 2), author.frame("A", 3)]
    first = runs(bench.turn(*frames), author)
    bench.restart()
    bench.greet(author)
    assert runs(bench.turn(*frames), author) == first
    assert in_log(bench) == [1, 2, 3]


def test_a_frame_out_of_turn_asks_for_the_missing_ones_once(bench: Bench, author: Author) -> None:
    lost, second, third = author.frame("A", 1), author.frame("A", 2), author.frame("A", 3)
    assert directed(bench.turn(second, third), author.id) == [{"t": "resend", "first": 1}]
    assert in_log(bench) == []
    assert runs(bench.turn(lost, second, third), author) == [[1, 3, "A", 1]]


def test_a_publisher_that_never_said_hello_is_not_taken(bench: Bench) -> None:
    bench.turn(Author("ghost").frame("A", 1))
    assert (in_log(bench), bench.node.counts["out of turn"]) == ([], 1)


def test_a_rejected_frame_is_receipted_with_its_reason_also_after_a_restart(bench: Bench, author: Author) -> None:
    good = author.at(1, "A", "x")
    wrong = encode(good._replace(events=good.events[:8] + b"w" * 16 + good.events[24:]))
    (message,) = directed(bench.turn(wrong), author.id)
    assert [row[:3] for row in message["rejected"]] == [[1, 1, "hash"]]
    bench.restart()
    bench.greet(author, first=2)
    author.number = 1
    assert runs(bench.turn(author.frame("A", "y")), author) == [[2, 1, "A", 1]]


# ── duplicates ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_duplicates_in_a_frame_across_frames_and_across_publishers_name_the_first(bench: Bench, author: Author) -> None:
    other = Author("other")
    bench.greet(other)
    turn = bench.turn(author.frame("A", "x", "x", "y"), author.frame("A", "y"), other.frame("A", "x", "z"))
    (mine,), (theirs,) = directed(turn, author.id), directed(turn, other.id)
    origin = bench.origin
    assert mine["runs"] == [[1, 1, "A", 1], [3, 1, "A", 2]]
    assert mine["duplicates"] == [[2, f"{origin}/A/1"], [4, f"{origin}/A/2"]]
    assert (theirs["runs"], theirs["duplicates"]) == ([[2, 1, "A", 3]], [[1, f"{origin}/A/1"]])
    assert in_log(bench) == ["x", "y", "z"]


@pytest.mark.parametrize(("after_s", "known"), [(59, True), (61, False)])
def test_the_window_goes_on_over_a_restart(bench: Bench, author: Author, after_s: float, known: bool) -> None:
    bench.turn(author.frame("A", "x"))
    bench.restart(after_s)
    bench.greet(author)
    (message,) = directed(bench.turn(author.frame("A", "x"), later_s=0), author.id)
    assert bool(message["duplicates"]) is known
    assert bool(message["runs"]) is not known


def test_a_resend_of_a_frame_with_duplicates_is_receipted_as_it_was(bench: Bench, author: Author) -> None:
    frames = [author.frame("A", "x"), author.frame("A", "y", "x", "z", "y")]
    (first,) = directed(bench.turn(*frames), author.id)
    for restart in (False, True):
        if restart:
            bench.restart()
            bench.greet(author)
        (again,) = directed(bench.turn(*frames), author.id)
        assert (again["runs"], again["duplicates"]) == (first["runs"], first["duplicates"])
    assert in_log(bench) == ["x", "y", "z"]


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_is_forwarded_to_the_links_that_want_it_and_no_others(bench: Bench, author: Author) -> None:
    wants, _ = bench.peer("b", "A"), bench.peer("c", "B")
    turn = bench.turn(author.frame("A", "x"))
    assert [(key, decode(data).sequence) for key, data in turn.links] == [(wants, 1)]
    assert bench.links.links[wants].sent == 1


def test_frames_are_counted_as_sent_and_what_nodes_tell_each_other_is_not(bench: Bench, author: Author) -> None:
    link = bench.peer("b", "A")
    bench.turn(author.frame("A", "x"))
    turn = bench.turn(author.ephemeral("A", "y"), later_s=60.0)
    assert [unpack_control(data[1:])["t"] for _, data in turn.closing_links] == ["digest", "beacon"]
    assert bench.links.links[link].sent == 2


def test_a_peers_event_is_logged_and_delivered_here_and_never_forwarded(
    bench: Bench, author: Author, program: Program
) -> None:
    program.subscribe("c", "A")
    link, _ = bench.peer("b", "A"), bench.peer("c", "A")
    turn = bench.turn(links=[(link, forwarded(Author("far").at(7, "A", "x"), "b.1", 5))])
    assert [(frame.origin, frame.sequence) for frame in live(turn)] == [("b.1", 5)]
    assert (turn.links, in_log(bench)) == ([], ["x"])
    again = bench.turn(links=[(link, forwarded(Author("far").at(7, "A", "x"), "b.1", 5))])
    assert (live(again), in_log(bench)) == ([], ["x"])


@pytest.mark.parametrize(("origin", "hops"), [("a.00000001", 0), ("b.1", 8)])
def test_an_echo_or_a_frame_in_a_loop_is_counted_and_not_taken(bench: Bench, origin: str, hops: int) -> None:
    link = bench.peer("b", "A")
    bench.turn(links=[(link, encode(Author().at(1, "A", 1)._replace(origin=origin, sequence=1, hops=hops)))])
    assert in_log(bench) == []
    assert sum(count for name, count in bench.node.counts.items() if name.startswith("malformed")) == 1


def test_a_program_cannot_publish_in_the_name_of_another_node(bench: Bench, author: Author) -> None:
    bench.turn(forwarded(author.at(1, "A", 1), "b.1", 1))
    assert (in_log(bench), bench.node.counts["malformed origin"]) == ([], 1)


def test_a_change_of_interest_is_announced_to_every_peer(bench: Bench, program: Program) -> None:
    links = [bench.peer("b"), bench.peer("c")]
    _, request = program.subscribing("c", "gpu.*")
    turn = bench.turn(requests=[request])
    for link in links:
        (message,) = [each for each in sent(turn, link) if each["t"] == "interest"]
        assert message["lists"] == {"a": ["gpu.*"]}


# ── idle moments ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_store_rests_in_a_turn_in_which_nothing_came_and_nothing_is_written(
    bench: Bench, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[str] = []
    bench.turn()
    monkeypatch.setattr(bench.state.store, "rest", lambda: rests.append("rest"))
    bench.turn(author.frame("A", "x"))
    assert rests == []
    bench.turn()
    assert rests == ["rest"]


def test_while_nothing_but_frames_comes_what_is_due_by_time_is_looked_at_every_five_milliseconds(
    bench: Bench, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[str] = []
    bench.turn()
    monkeypatch.setattr(bench.membership, "tick", lambda turn: ticks.append("tick"))
    for index in range(10):
        bench.turn(author.frame("A", index), later_s=0.001)
    assert len(ticks) == 2
    bench.turn(later_s=0.001)
    assert len(ticks) == 3


def test_a_turn_to_which_only_signs_of_life_came_leaves_the_rest_alone_until_something_is_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[str] = []
    link = bench.peer("b")
    bench.turn()
    monkeypatch.setattr(bench.membership, "tick", lambda turn: ticks.append("tick"))
    signs = [(link, control({"t": "ping", "at": bench.now.mono_us, "used": True})), (link, control({"t": "pong"}))]
    left_ms = bench.node.idle_ms(bench.now)
    assert [message["t"] for message in sent(bench.turn(links=signs), link)] == ["pong"]
    assert (ticks, bench.node.idle_ms(bench.now)) == ([], left_ms - 1)
    bench.turn(links=signs, later_s=(left_ms - 1) / 1000)
    assert ticks == ["tick"]


@pytest.mark.parametrize("message", [{"t": "members", "digest": "?"}, {"t": "who"}, {"t": "nobody knows"}])
def test_whatever_else_a_peer_says_is_followed_by_a_look_at_all_that_may_be_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, message: dict[str, str]
) -> None:
    ticks: list[str] = []
    link = bench.peer("b")
    bench.turn()
    bench.node.idle_ms(bench.now)
    monkeypatch.setattr(bench.membership, "tick", lambda turn: ticks.append("tick"))
    bench.turn(links=[(link, control(message))])
    assert ticks == ["tick"]
