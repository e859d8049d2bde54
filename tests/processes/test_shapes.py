"""Nodes linked in a line, a ring, a star and a full mesh: every event once at every subscriber, and silence after."""

from __future__ import annotations

import pytest

from tests.conditions import eventually
from tests.processes.shapes import frames_at_links, linked_pairs, shape, voices

pytestmark = pytest.mark.processes

SHAPES = {
    "three in a line": ({"b": "", "a": "b", "c": "b"}, ""),
    "four in a ring": ({"a": "", "b": "a", "c": "b", "d": "ca"}, ""),
    "six leaves around two peers": ({"p": "", "q": "p", **dict.fromkeys("uvwxyz", "pq")}, "uvwxyz"),
    "five that all reach each other": ({"a": "", "b": "a", "c": "ab", "d": "abc", "e": "abcd"}, ""),
}
EVENTS = 30


@pytest.mark.parametrize("name", SHAPES)
def test_every_event_is_given_once_and_in_order_to_every_subscriber_and_none_is_forwarded_when_all_are_gone(
    cluster, name
):
    nodes = shape(cluster, *SHAPES[name])
    with voices(nodes) as all_of_them:
        all_of_them.subscribe("SHAPE.*")
        all_of_them.reach_each_other("SHAPE.PROBE")

        all_of_them.publish("SHAPE.EVENT", range(EVENTS))
        expected = {name: {by: list(range(EVENTS)) for by in nodes} for name in nodes}
        eventually(lambda: all_of_them.heard_of("SHAPE.EVENT") == expected, 20.0)
        all_of_them.publish("SHAPE.LAST", [0])
        last = {name: {by: [0] for by in nodes} for name in nodes}
        eventually(lambda: all_of_them.heard_of("SHAPE.LAST") == last)
        assert all_of_them.heard_of("SHAPE.EVENT") == expected

        all_of_them.unsubscribe()
        numbers = iter(range(1, 1_000_000))

        def nothing_is_forwarded() -> bool:
            before = frames_at_links(nodes)
            all_of_them.publish("SHAPE.LAST", [next(numbers)])
            return frames_at_links(nodes) == before

        eventually(nothing_is_forwarded)
        before = frames_at_links(nodes)
        all_of_them.publish("SHAPE.EVENT", range(EVENTS, EVENTS + 100))
        assert frames_at_links(nodes) == before
    dials, _ = SHAPES[name]
    assert linked_pairs(nodes) == {"".join(sorted(one + each)) for one, peers in dials.items() for each in peers}
