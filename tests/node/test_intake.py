"""The intake: what one turn takes in together is what it would be if every frame had come by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.frame import decode, encode
from mesh.records import records
from node.store import Store
from node.table_reader import TableReader
from node.turn import Turn
from tests.node.workbench import Author, Bench, Program, directed, live

Sent = list[bytes]
Act = Callable[[Author, Sent], bytes]
"""Makes what a publisher sends next; given what it has sent before."""


def news(topic: str, *payloads: int, dedup: bool = True) -> Act:
    return lambda author, sent: author.frame(topic, *payloads, dedup=dedup)


def again(back: int) -> Act:
    return lambda author, sent: sent[-1 - back % len(sent)] if sent else b"garbage"


def skipping(count: int) -> Act:
    return lambda author, sent: encode(author.at(author.number + 1 + count, "A", "ahead"))


def ephemeral(payload: int) -> Act:
    return lambda author, sent: author.ephemeral("A", payload)


def with_a_wrong_hash(topic: str) -> Act:
    def make(author: Author, sent: Sent) -> bytes:
        frame = decode(author.frame(topic, "wrong"))
        return encode(frame._replace(events=frame.events[:8] + b"w" * 16 + frame.events[24:]))

    return make


def with_a_wrong_length(author: Author, sent: Sent) -> bytes:
    frame = author.at(author.number + 1, "A", "short")
    return encode(frame._replace(events=frame.events[:-1]))


topics, payloads = st.sampled_from("AAAAB"), st.lists(st.integers(0, 200), min_size=1, max_size=3)
acts = st.one_of(
    st.builds(lambda topic, payloads, dedup: news(topic, *payloads, dedup=dedup), topics, payloads, st.booleans()),
    st.builds(news, topics, st.integers(0, 200)),
    st.builds(again, st.integers(0, 3)),
    st.builds(skipping, st.integers(1, 3)),
    st.builds(ephemeral, st.integers(0, 200)),
    st.builds(with_a_wrong_hash, topics),
    st.sampled_from([with_a_wrong_length, lambda author, sent: b"garbage"]),
)


def attached() -> tuple[Bench, dict[str, Author]]:
    """A node with two publishers and a subscriber that wants everything."""
    bench, authors = Bench(Path("unused"), store=Store(":memory:")), {name: Author(name) for name in ("one", "other")}
    for author in authors.values():
        bench.greet(author)
    listener = Program(bench, "listener")
    listener.attach()
    listener.subscribe("listener", "*")
    return bench, authors


def made(authors: dict[str, Author], plan: list[tuple[str, Act]]) -> list[bytes]:
    frames: list[bytes] = []
    sent: dict[str, Sent] = {name: [] for name in authors}
    for name, act in plan:
        data = act(authors[name], sent[name])
        sent[name].append(data)
        frames.append(data)
    return frames


def told(turns: list[Turn], author: Author) -> Counter[tuple[Any, ...]]:
    """What a publisher was told of each number, and how often."""
    found: Counter[tuple[Any, ...]] = Counter()
    for message in (message for turn in turns for message in directed(turn, author.id) if message["t"] == "receipts"):
        for number, count, topic, sequence in message["runs"]:
            found.update((number + i, f"{message['origin']}/{topic}/{sequence + i}") for i in range(count))
        found.update((number, "repeats", first) for number, first in message["duplicates"])
        found.update((number, count, code) for number, count, code, _ in message["rejected"])
    return found


def events(frames: Iterator[bytes]) -> list[tuple[Any, ...]]:
    """Origin, topic, sequence and the whole record of every event, in order."""
    decoded = [decode(data) for data in frames]
    return [
        (frame.origin, frame.topic, frame.sequence + index, *record[:4])
        for frame in decoded
        for index, record in enumerate(records(frame))
    ]


@given(st.lists(st.tuples(st.sampled_from(["one", "other"]), acts), max_size=14))
def test_a_turn_takes_in_what_as_many_turns_with_a_frame_each_would(plan: list[tuple[str, Act]]) -> None:
    outcomes = []
    for at_once in (True, False):
        bench, authors = attached()
        frames = made(authors, plan)
        turns = [bench.turn(*part, later_s=0.0) for part in ([frames] if at_once else [[frame] for frame in frames])]
        outcomes.append(
            (
                events(row[0] for row in bench.store.rows("SELECT frame FROM log ORDER BY position")),
                events(encode(frame) for turn in turns for frame in live(turn) if not frame.ephemeral),
                {name: told(turns, author) for name, author in authors.items()},
                {key: number for key, number, _ in TableReader(bench.store).publishers()},
                bench.node.counts,
                bench.state.next_position,
            )
        )
        bench.store.close()
    assert outcomes[0] == outcomes[1]


def test_frames_that_came_one_after_the_other_leave_as_one_row_one_message_and_one_run_of_receipts() -> None:
    bench, authors = attached()
    author = authors["one"]
    turn = bench.turn(*(author.frame("A", value) for value in range(500)))
    (frame,) = live(turn)
    assert (frame.sequence, frame.number, frame.count) == (1, 1, 500)
    assert list(bench.store.rows("SELECT position, sequence, count, number FROM log")) == [(1, 1, 500, 1)]
    assert [message["runs"] for message in directed(turn, author.id)] == [[[1, 500, "A", 1]]]
    bench.store.close()
