"""Two nodes of which one was set back: whose events are others than it thinks, and from where on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.changes import Changes
from tests.node.workbench import Author, Bench, after, control, forwarded, sent, values


class Known(Bench):
    """A node under the origin that a played peer of its name has."""

    generation = "1"


class Story:
    """b gives out events of T, one a turn; c is its (played) peer, with a node of its own that has what it took."""

    def __init__(self, path: Path) -> None:
        self.b, self.c = Known(path, "b"), Known(path, "c")
        self.link = self.c.peer("b")
        self.taken = 0

    def gives_out(self, author: str, count: int, topic: str = "T") -> None:
        publisher = Author(author)
        self.b.greet(publisher)
        for number in range(1, count + 1):
            self.b.turn(publisher.frame(topic, f"{author} {number}"))

    def took(self, *runs: tuple[str, int], topic: str = "T") -> None:
        """c has taken in so many events of an author, one after the other."""
        for author, count in runs:
            for number in range(1, count + 1):
                self.taken += 1
                frame = Author(author).at(number, topic, f"{author} {number}")
                self.c.turn(links=[(self.link, forwarded(frame, self.b.origin, self.taken))])

    def meet(self) -> None:
        """The link comes up at b, and everything is said."""
        known: dict[str, Any] | None = self.c.membership.divergence.known(self.b.origin)
        key = self.b.peer("c")
        talk = [known] if known is not None else []
        for _ in range(3):
            asked = [each for told in talk for each in self.told(self.b, key, told)]
            talk = [each for told in asked for each in self.told(self.c, self.link, told)]

    def told(self, bench: Bench, link: str, message: dict[str, Any]) -> list[dict[str, Any]]:
        turn = bench.turn(links=[(link, control(message))])
        return [each for each in sent(turn, link) if each["t"] == "known"]

    @property
    def found(self) -> tuple[str, list[str]]:
        """Why b is outdated, and what of its events it takes for others."""
        divergence, log = self.b.membership.divergence, self.b.state.log
        rows = [log.frame(row) for row in log.after(divergence.since, 1000)] if divergence.outdated else []
        return divergence.outdated, [value for frame in rows if frame is not None for value in values(frame)]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def named(author: str, first: int, last: int) -> list[str]:
    return [f"{author} {number}" for number in range(first, last + 1)]


def test_nodes_that_have_the_same_find_nothing(story: Story) -> None:
    story.gives_out("p", 9)
    story.took(("p", 6))
    story.meet()
    assert story.found == ("", [])


def test_a_peer_that_knows_nothing_of_a_node_says_nothing(story: Story) -> None:
    assert story.c.membership.divergence.known(story.b.origin) is None


def test_a_node_that_has_given_out_more_than_it_had_is_told_that_a_peer_has_others(story: Story) -> None:
    story.gives_out("p", 4)
    story.gives_out("dark", 30)
    story.b.restart()
    story.took(("p", 4), ("lost", 12))
    story.meet()
    outdated, again = story.found
    assert outdated == "c has another event 16 of 'T' from this node"
    assert again[-30:] == named("dark", 1, 30)
    assert again == named("p", 4, 4) + named("dark", 1, 30)


@pytest.mark.parametrize("dark", range(9))
def test_what_was_given_out_in_the_dark_is_found_to_the_last_event_where_it_is_less_than_before(
    story: Story, dark: int
) -> None:
    story.gives_out("p", 20)
    story.gives_out("dark", dark)
    story.took(("p", 20), ("lost", 20))
    story.meet()
    outdated, again = story.found
    assert outdated == f"c has event 40 of 'T' from this node, whose own last is {20 + dark}"
    assert again[len(again) - dark :] == named("dark", 1, dark)
    assert len(again) <= 2 * dark


def test_streams_in_which_nothing_happened_narrow_it_down(story: Story) -> None:
    story.gives_out("p", 10)
    story.gives_out("q", 1, topic="U")
    story.gives_out("dark", 5)
    story.took(("p", 10), ("lost", 3))
    story.taken = 0
    story.took(("q", 1), topic="U")
    story.meet()
    assert story.found[1] == named("dark", 1, 5)


def test_a_peer_that_cannot_answer_leaves_what_this_process_has_given_out(story: Story) -> None:
    story.gives_out("p", 3)
    story.b.restart()
    story.gives_out("dark", 2)
    key = story.b.peer("c")
    story.b.turn(links=[(key, control({"t": "known", "heads": [["T", 9]]}))])
    assert story.found == ("c has event 9 of 'T' from this node, whose own last is 5", named("dark", 1, 2))


def test_who_does_not_answer_is_waited_for_two_seconds_and_who_is_gone_not_at_all(story: Story) -> None:
    story.gives_out("p", 3)
    keys = [story.b.peer("c"), story.b.peer("d")]
    story.b.turn(links=[(key, control({"t": "known", "heads": [], "events": []})) for key in keys])
    story.b.turn(links=[(keys[0], control({"t": "known", "heads": [["T", 9]], "events": [None]}))])
    story.b.turn(links=[(keys[0], control({"t": "known", "heads": [], "answers": [1, 1]}))])
    assert story.b.membership.divergence.outdated == ""
    story.b.turn(link_events=[(keys[1], "disconnected", "the connection was closed")])
    assert (story.b.membership.divergence.outdated != "", story.found[1]) == (True, [])


def test_an_answer_that_does_not_come_is_given_up(story: Story) -> None:
    story.gives_out("p", 3)
    key = story.b.peer("c")
    story.b.turn(links=[(key, control({"t": "known", "heads": [["T", 9]], "events": [None]}))])
    assert story.b.membership.divergence.outdated == ""
    story.b.now = after(story.b.now, 2.0)
    story.b.turn()
    assert story.found[1] == named("p", 1, 3)


def test_a_head_of_which_the_event_is_gone_is_told_without_it(story: Story) -> None:
    story.took(("p", 3))
    story.c.turn()
    story.c.store.commit(Changes(trim_before=story.c.state.next_position))
    assert story.c.membership.divergence.known(story.b.origin) == {
        "t": "known",
        "heads": [("T", 3)],
        "events": [None],
    }
