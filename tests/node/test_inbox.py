"""The inbox: what it is made of, and what happened to links around its messages."""

from __future__ import annotations

import pytest

from node.inbox import Inbox, LinkEvent, around_messages

UP, DOWN = ("a", "connected", ""), ("a", "disconnected", "the connection was closed")
OTHER = ("b", "dropped", "3")


@pytest.mark.parametrize(
    ("inbox", "said"),
    [
        (Inbox(), (True, False, False)),
        (Inbox(frames=[b"x"]), (False, True, False)),
        (Inbox(links=[("a", b"x")]), (False, False, True)),
        (Inbox(frames=[b"x"], links=[("a", b"x")]), (False, False, False)),
        (Inbox(frames=[b"x"], requests=[[b"x"]]), (False, False, False)),
        (Inbox(links=[("a", b"x")], link_events=[UP]), (False, False, False)),
        (Inbox(subscriptions=[b"\x01A"]), (False, False, False)),
    ],
)
def test_an_inbox_says_whether_it_is_empty_or_holds_one_kind_alone(inbox: Inbox, said: tuple[bool, bool, bool]) -> None:
    assert (inbox.empty, inbox.only_frames, inbox.only_links) == said


def test_its_size_is_that_of_frames_and_links_messages() -> None:
    assert Inbox(frames=[b"12", b"3"], links=[("a", b"45")], requests=[[b"678"]]).size_bytes == 5


@pytest.mark.parametrize(
    ("events", "before", "after"),
    [
        ([], [], []),
        ([UP], [UP], []),
        ([DOWN], [], [DOWN]),
        ([UP, DOWN], [UP], [DOWN]),
        ([DOWN, UP], [DOWN, UP], []),
        ([OTHER, DOWN], [OTHER], [DOWN]),
    ],
)
def test_what_ended_for_good_is_told_behind_the_messages(
    events: list[LinkEvent], before: list[LinkEvent], after: list[LinkEvent]
) -> None:
    assert around_messages(events) == (before, after)
