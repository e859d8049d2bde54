"""Streams of a node: what waits ahead of a gap, how much of it, and when the gap is closed."""

from __future__ import annotations

import pytest

from mesh.frame import Frame
from mesh.streams import Range, Run
from node.streams import Gaps, Stream, first_stored
from tests.node.workbench import Author


@pytest.fixture
def stream() -> Stream:
    return Stream(7, "b.1", "A", 0, 1)


def frame(first: int, *payloads: str) -> Frame:
    return Author("far").at(first, "A", *payloads)._replace(origin="b.1", sequence=first)


def test_a_stream_is_stored_for_the_first_time_once(stream: Stream) -> None:
    assert [first_stored(stream), first_stored(stream)] == [True, False]


def test_what_is_ahead_of_a_gap_waits_and_is_let_go_behind_what_closes_it(stream: Stream) -> None:
    gaps, late, early = Gaps(), frame(2, "y"), frame(3, "z")
    assert gaps.offer(stream, early) == []
    gaps.released(stream, [])
    assert stream.gap is not None
    assert (gaps.open, gaps.held_bytes, stream.gap.missing()) == ({7: stream}, len(early.events), [Range(2, 2)])
    runs = gaps.offer(stream, late)
    assert runs == [Run(late, 0), Run(early, 0)]
    gaps.released(stream, runs[1:])
    assert (stream.gap, gaps.open, gaps.held_bytes) == (None, {}, 0)


def test_what_would_be_too_much_for_all_streams_together_is_known_and_not_kept(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps, other, kept = Gaps(), Stream(8, "b.1", "B", 0, 1), frame(3, "z")
    monkeypatch.setattr("node.streams.HELD_BYTES_MAX", len(kept.events))
    assert [gaps.offer(stream, kept), gaps.offer(other, frame(3, "z"))] == [[], []]
    assert (stream.gap is None, other.gap is None, gaps.held_bytes) == (False, False, len(kept.events))
    assert stream.gap is not None
    assert other.gap is not None
    assert [stream.gap.missing(), other.gap.missing()] == [[Range(2, 2)], [Range(2, 3)]]


def test_what_is_skipped_lets_go_of_what_waited_behind_it(stream: Stream) -> None:
    gaps, early = Gaps(), frame(4, "z")
    gaps.offer(stream, early)
    runs = gaps.skip(stream, 3)
    assert runs == [Run(early, 0)]
    gaps.released(stream, runs)
    assert (stream.gap, gaps.open, gaps.held_bytes) == (None, {}, 0)


def test_a_stream_that_is_known_to_reach_further_stays_open(stream: Stream) -> None:
    gaps = Gaps()
    gaps.learn(stream, 5)
    gaps.released(stream, [])
    assert list(gaps.open) == [7]
    gaps.close(stream)
    assert (stream.gap, gaps.open) == (None, {})


def test_only_what_waits_is_counted_and_no_longer_than_its_gap(stream: Stream) -> None:
    gaps, other, size_bytes = Gaps(), Stream(8, "b.1", "B", 0, 1), len(frame(3, "z").events)
    gaps.learn(other, 5)
    gaps.learn(stream, 9)
    assert stream.gap is not None
    stream.gap.held_max = 2
    for first in (3, 3, 5, 7, 7):
        gaps.offer(stream, frame(first, "z"))
    assert gaps.held_bytes == 2 * size_bytes
    gaps.offer(stream, frame(3, "z", "z"))
    assert gaps.held_bytes > 2 * size_bytes
    gaps.close(stream)
    assert (list(gaps.open), gaps.held_bytes) == ([8], 0)
