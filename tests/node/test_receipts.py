"""Receipts: gathered per publisher, melted into runs, and given again as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.dedup import Sighting
from mesh.frame import encode
from mesh.requests import Json
from node.changes import Changes
from node.receipts import Receipts
from node.store import Store
from node.turn import Turn
from tests.node.workbench import START, Author, Bench, directed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_consecutive_frames_of_one_topic_melt_into_one_run(bench: Bench) -> None:
    receipts, turn = Receipts(bench.state), Turn(START)
    for topic, run in [("A", (1, 2, 5)), ("A", (3, 1, 7)), ("A", (4, 1, 9)), ("B", (5, 1, 10)), ("A", (7, 1, 10))]:
        receipts.accepted(b"p" * 8, topic, [run])
    receipts.send(turn)
    (message,) = directed(turn, b"p" * 8)
    assert message["runs"] == [[1, 3, "A", 5], [4, 1, "A", 9], [5, 1, "B", 10], [7, 1, "A", 10]]


def test_everything_about_one_publisher_is_one_message_and_nothing_is_said_twice(bench: Bench) -> None:
    receipts = Receipts(bench.state)
    receipts.accepted(b"p" * 8, "A", [(1, 1, 1)])
    receipts.duplicates(b"p" * 8, [(2, Sighting("b.1", "A", 9, 0))])
    receipts.rejected(b"p" * 8, 3, 2, "hash", "wrong")
    receipts.resend(b"p" * 8, 5)
    receipts.resend(b"q" * 8, 1)
    first, second = Turn(START), Turn(START)
    receipts.send(first)
    receipts.send(second)
    assert directed(first, b"p" * 8) == [
        {
            "t": "receipts",
            "origin": bench.origin,
            "runs": [[1, 1, "A", 1]],
            "duplicates": [[2, "b.1/A/9"]],
            "rejected": [[3, 2, "hash", "wrong"]],
        },
        {"t": "resend", "first": 5},
    ]
    assert directed(first, b"q" * 8) == [{"t": "resend", "first": 1}]
    assert second.out == []


def said(bench: Bench, author: Author, *frames: bytes) -> dict[int, str]:
    """What a turn with these frames says about each number: its event's id, or the id of what it repeats."""
    told: dict[int, str] = {}
    for message in directed(bench.turn(*frames), author.id):
        for number, count, topic, sequence in message["runs"]:
            told |= {number + i: f"{message['origin']}/{topic}/{sequence + i}" for i in range(count)}
        told |= {number: f"= {first}" for number, first in message["duplicates"]}
    return told


frames_of = st.lists(
    st.tuples(st.sampled_from("AB"), st.lists(st.integers(0, 6), min_size=1, max_size=4)), min_size=1, max_size=8
)


@given(frames_of, st.booleans(), st.booleans(), st.integers(0, 7), st.integers(1, 9))
def test_a_resend_says_the_same_about_every_event(
    plan: list[tuple[str, list[int]]], one_turn: bool, reload: bool, resent_from: int, facts: int
) -> None:
    def key(payload: int) -> bytes | None:
        return f"fact {payload % facts}".encode().ljust(16) if payload % 2 else None

    bench = Bench(Path("unused"), store=Store(":memory:"))
    author, other = Author(), Author("other")
    bench.greet(author)
    bench.greet(other)
    frames = [author.frame(topic, *payloads, key=key) for topic, payloads in plan]
    first: dict[int, str] = {}
    for index, frame in enumerate(frames if not one_turn else [b""]):
        first |= said(bench, author, *(frames if one_turn else [frame]))
        bench.turn(other.frame("A", f"other {index}"))
    if reload:
        bench.state.load(bench.now)
    from_ = resent_from % len(frames)
    again = said(bench, author, *frames[from_:])
    numbers = sum(len(payloads) for _, payloads in plan[:from_])
    assert again == {number: what for number, what in first.items() if number > numbers}
    bench.store.close()


def test_a_resend_is_looked_up_in_the_log_once_and_not_once_per_frame(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author()
    bench.greet(author)
    frames = [author.frame("A", value) for value in range(50)]
    bench.turn(*frames)
    asked: list[Any] = []
    ask = bench.state.log.receipts
    monkeypatch.setattr(bench.state.log, "receipts", lambda *args: asked.append(args) or ask(*args))
    assert len(said(bench, author, *frames)) == 50
    assert len(asked) == 1


def test_a_frame_that_melted_into_others_is_receipted_by_itself_as_it_was(bench: Bench) -> None:
    author = Author()
    bench.greet(author)
    frames = [author.frame("A", value, -value) for value in (1, 2, 3)]
    first = said(bench, author, *frames)
    assert list(bench.store.rows("SELECT number, count FROM log")) == [(1, 6)]
    assert said(bench, author, frames[1]) == {number: first[number] for number in (3, 4)}
    assert first == {number: f"{bench.origin}/A/{number}" for number in range(1, 7)}


def test_an_event_whose_row_was_deleted_is_still_receipted(bench: Bench) -> None:
    author = Author()
    bench.greet(author)
    frames = [author.frame("A", value) for value in range(3)]
    for frame in frames:
        bench.turn(frame)
    bench.store.commit(Changes(trim_before=3))
    told: Json = said(bench, author, *frames)
    assert sorted(told) == [1, 2, 3]
    assert told[3] == f"{bench.origin}/A/3"


def test_a_rejected_frame_that_is_sent_again_is_rejected_again(bench: Bench) -> None:
    author = Author()
    bench.greet(author)
    frame = author.at(1, "A", "x")
    wrong = encode(frame._replace(events=frame.events[:8] + b"w" * 16 + frame.events[24:]))
    first, again = (directed(bench.turn(wrong), author.id) for _ in range(2))
    assert first[0]["rejected"]
    assert again == first
