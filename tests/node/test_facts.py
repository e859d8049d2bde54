"""Which of two facts about one member is the later one."""

from __future__ import annotations

from itertools import pairwise

from node.facts import Fact

EARLIER_TO_LATER = [
    Fact("b", "b.1", 3, 9),
    Fact("b", "b.1", 3, 9, life="x"),
    Fact("b", "b.1", 3, 10),
    Fact("b", "b.1", 3, 0, "dead"),
    Fact("b", "b.1", 3, 0, "left"),
    Fact("b", "b.1", 4, 0),
]


def test_a_bad_word_holds_until_the_member_raises_its_incarnation() -> None:
    assert all(before.stamp < after.stamp for before, after in pairwise(EARLIER_TO_LATER))
