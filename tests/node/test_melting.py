"""Melting: consecutive frames become one, and nothing else does."""

from __future__ import annotations

import pytest

from mesh.frame import REPLAYED, Frame
from node.melting import MELTED_BYTES_MAX, Taken, melted
from tests.node.workbench import Author, hashes


def taken_of(*frames: Frame) -> list[Taken]:
    return [Taken(frame, hashes(frame)) for frame in frames]


FOLLOWING = Author().at(2, "A", 2)


@pytest.mark.parametrize(
    "other",
    [
        FOLLOWING._replace(number=3),
        FOLLOWING._replace(number=1),
        FOLLOWING._replace(publisher=Author("other").id),
        FOLLOWING._replace(flags=REPLAYED),
        FOLLOWING._replace(hops=1),
        Author().at(2, "B", 2),
    ],
    ids=["a number later", "the same number", "another publisher", "another mark", "more hops", "another topic"],
)
def test_only_what_follows_in_every_respect_is_melted(other: Frame) -> None:
    first = Author().at(1, "A", 1)
    assert len(melted(taken_of(first, FOLLOWING))) == 1
    assert melted(taken_of(first, other)) == taken_of(first, other)


def test_frames_around_one_that_was_not_taken_stay_apart() -> None:
    apart = taken_of(Author().at(1, "A", 1), Author().at(3, "A", 3), Author().at(4, "A", 4))
    assert [(each.frame.number, each.frame.count) for each in melted(apart)] == [(1, 1), (3, 2)]


def test_a_melted_frame_holds_no_more_events_than_a_batch_and_few_bytes() -> None:
    author = Author()
    many = taken_of(*(author.at(1 + 400 * i, "A", *range(400 * i, 400 * i + 400)) for i in range(5)))
    assert [each.frame.count for each in melted(many)] == [800, 800, 400]
    large = taken_of(*(author.at(1 + i, "A", "x" * (MELTED_BYTES_MAX // 3)) for i in range(5)))
    assert [each.frame.count for each in melted(large)] == [2, 2, 1]
