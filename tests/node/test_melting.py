"""Melting: consecutive frames become one, and nothing else does."""

from __future__ import annotations

from mesh.frame import REPLAYED, Frame
from node.melting import MELTED_BYTES_MAX, Taken, melted
from tests.node.workbench import Author, hashes


def taken_of(*frames: Frame) -> list[Taken]:
    return [Taken(frame, hashes(frame)) for frame in frames]


def test_frames_that_do_not_follow_each_other_or_are_marked_differently_stay_apart() -> None:
    author = Author()
    apart = taken_of(author.at(1, "A", 1), author.at(3, "A", 3), author.at(4, "A", 4)._replace(flags=REPLAYED))
    assert melted(apart) == apart


def test_a_melted_frame_holds_no_more_events_than_a_batch_and_few_bytes() -> None:
    author = Author()
    many = taken_of(*(author.at(1 + 400 * i, "A", *range(400 * i, 400 * i + 400)) for i in range(5)))
    assert [each.frame.count for each in melted(many)] == [800, 800, 400]
    large = taken_of(*(author.at(1 + i, "A", "x" * (MELTED_BYTES_MAX // 3)) for i in range(5)))
    assert [each.frame.count for each in melted(large)] == [2, 2, 1]
