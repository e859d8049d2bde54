"""Which links are told at a beat that this node is there, and on which it measures."""

from __future__ import annotations

from collections import Counter

import pytest

from node.heartbeats import Heartbeats, beats_between
from node.link import Link
from node.links import Links
from tests.node.wire import LinksAlone, Wire

SECOND_US = 1_000_000


@pytest.mark.parametrize(
    ("links", "bears_s", "heartbeat_s", "beats"),
    [
        (1, 10.0, 1.0, 1),
        (20, 10.0, 1.0, 1),
        (21, 10.0, 1.0, 2),
        (50, 10.0, 1.0, 3),
        (199, 10.0, 1.0, 3),  # three signs in ten seconds, however many links there are
        (199, 60.0, 1.0, 10),
        (199, 10.0, 0.25, 10),
        (199, 3.0, 1.0, 1),
        (199, 2.0, 1.0, 1),  # the far end bears no more than two heartbeats
        (199, 0.0, 1.0, 1),  # it has not said what it bears
    ],
)
def test_many_links_are_told_more_rarely_as_far_as_their_far_ends_bear_it(
    links: int, bears_s: float, heartbeat_s: float, beats: int
) -> None:
    assert beats_between(links, int(bears_s * SECOND_US), int(heartbeat_s * SECOND_US)) == beats


def links(count: int, bears_s: float = 10.0, rtt_us: int | None = 100) -> list[Link]:
    """So many links that are up."""
    bears_us = int(bears_s * SECOND_US)
    return [Link(f"tcp://{each}", "", bears_us=bears_us, rtt_us=rtt_us, state="up") for each in range(count)]


def test_links_that_are_told_at_every_second_beat_are_told_by_turns() -> None:
    heartbeats, table = Heartbeats(SECOND_US, 10 * SECOND_US), links(40)
    told = [{link.key for link, _ in heartbeats.beat(table, 0)} for _ in range(4)]
    assert [len(each) for each in told] == [20, 20, 20, 20]
    assert (told[0] | told[1], told[0] & told[1]) == ({link.key for link in table}, set())
    assert told[2:] == told[:2]


def test_a_link_that_is_gone_changes_nothing_for_the_others() -> None:
    heartbeats, table = Heartbeats(SECOND_US, 10 * SECOND_US), links(40)
    before = {link.key for link, _ in heartbeats.beat(table, 0)}
    heartbeats.beat(table[1:], 0)
    assert {link.key for link, _ in heartbeats.beat(table[1:], 0)} == before - {table[0].key}


@pytest.mark.parametrize(("count", "beats"), [(10, 5), (40, 10)])
def test_every_fifth_sign_on_a_link_measures(count: int, beats: int) -> None:
    heartbeats, table = Heartbeats(SECOND_US, 10 * SECOND_US), links(count)
    measured = Counter(link.key for _ in range(beats) for link, measures in heartbeats.beat(table, 0) if measures)
    assert measured == Counter(link.key for link in table)


def test_a_link_that_is_not_measured_yet_is_measured_at_every_beat() -> None:
    heartbeats, table = Heartbeats(SECOND_US, 10 * SECOND_US), links(40, rtt_us=None)
    assert [heartbeats.beat(table, 0) for _ in range(2)] == [[(link, True) for link in table]] * 2


def test_a_link_on_which_less_comes_than_three_signs_in_the_silence_that_is_borne_is_measured_at_every_beat() -> None:
    heartbeats, (heard, *quiet) = Heartbeats(SECOND_US, 9 * SECOND_US), links(40)
    heard.heard_us = SECOND_US
    told = [[link for link, measures in heartbeats.beat([heard, *quiet], 4 * SECOND_US) if measures] for _ in range(4)]
    assert told == [quiet] * 4


def test_who_greets_says_what_silence_it_bears() -> None:
    a, b = LinksAlone("a"), LinksAlone("b")
    wire = Wire(a, b)
    wire.dial("a", "tcp://b")
    wire.settle()
    assert [link.bears_us for each in (a, b) for link in each.links.links.values()] == [10 * SECOND_US] * 2


@pytest.mark.parametrize(("slow", "quick"), [((5.0, 20.0), (1.0, 4.0)), ((30.0, 120.0), (2.0, 4.0))])
def test_a_link_between_nodes_that_bear_another_silence_stands(
    slow: tuple[float, float], quick: tuple[float, float]
) -> None:
    a, b = LinksAlone("a"), LinksAlone("b")
    a.links, b.links = Links(a.links.me, *slow), Links(b.links.me, *quick)
    wire = Wire(a, b)
    wire.dial("a", "tcp://b")
    wire.run(100)
    assert [kind for kind, _ in b.heard if kind in ("up", "down")] == ["up"]
