"""Two linked nodes compare how far they are: whoever is behind finds out where nothing else told it."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.comparing import EVERY_S
from tests.node.workbench import Author, Bench, Json, Program, control, forwarded, sent


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A node that consumes A, and has an event of it from `b`."""
    bench = Bench(tmp_path)
    program = Program(bench, "1")
    program.attach()
    link = bench.peer("b", "A")
    _, request = program.subscribing("c", "A")
    bench.turn(requests=[request], subscriptions=[program.marker(1)])
    ack = {"t": "interest_ack", "version": bench.announced[link], "origins": ["b.1"], "heads": []}
    bench.turn(links=[(link, control(ack))])
    bench.turn(links=[(link, forwarded(Author("far").at(1, "A", "x"), "b.1", 1))])
    return bench


def said(bench: Bench, kind: str, later_s: float = 0.001, message: Json | None = None) -> list[Json]:
    """What the node says of a kind in its next turn, in which it may hear something."""
    (link,) = bench.links.links
    links = [(link, control(message))] if message else []
    return [each for each in sent(bench.turn(links=links, later_s=later_s), link) if each["t"] == kind]


def test_a_digest_is_sent_now_and_then_and_the_same_as_long_as_nothing_moves(bench: Bench) -> None:
    assert said(bench, "digest") == []
    first = said(bench, "digest", EVERY_S)
    assert [set(each) for each in first] == [{"t", "buckets"}]
    assert said(bench, "digest", EVERY_S / 2) == []
    assert said(bench, "digest", EVERY_S) == first


def test_equal_digests_say_nothing_and_different_ones_the_heads_of_what_differs(bench: Bench) -> None:
    ((digest),) = said(bench, "digest", EVERY_S)
    assert said(bench, "heads", message=digest) == []
    behind = {"t": "digest", "buckets": [0] * len(digest["buckets"])}
    assert said(bench, "heads", message=behind) == [{"t": "heads", "heads": [["b.1", "A", 1]]}]


def test_what_the_other_does_not_want_is_not_compared(bench: Bench) -> None:
    ((before),) = said(bench, "digest", EVERY_S)
    author = Author()
    bench.greet(author)
    bench.turn(author.frame("B", 1))
    assert said(bench, "digest", EVERY_S) == [before]
    bench.turn(author.frame("A", 1))
    assert said(bench, "digest", EVERY_S) != [before]


def test_a_digest_of_another_length_is_counted_and_not_answered(bench: Bench) -> None:
    assert said(bench, "heads", message={"t": "digest", "buckets": [1, 2]}) == []
    assert bench.node.counts["malformed control"] == 1


def test_a_digest_is_of_the_streams_as_they_were_read_back(bench: Bench) -> None:
    bench.state.load(bench.now)
    ((before),) = said(bench, "digest", EVERY_S)
    bench.turn(links=[(key, forwarded(Author("far").at(2, "A", "y"), "b.1", 2)) for key in bench.links.links])
    moves = bench.state.relay.moves
    ((digest),) = said(bench, "digest", EVERY_S)
    assert digest != before
    bench.state.load(bench.now)
    bench.turn(links=[(key, forwarded(Author("far").at(3, "A", "z"), "b.1", 3)) for key in bench.links.links])
    assert bench.state.relay.moves == moves
    assert said(bench, "digest", EVERY_S) != [digest]
