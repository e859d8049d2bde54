"""The same announcement by two programs counts once, within its window and wherever in the mesh it is repeated."""

from __future__ import annotations

from time import monotonic

import pytest

from tests.conditions import elapsed, eventually
from tests.processes.cluster import ask, linked, log_of

pytestmark = pytest.mark.processes

FACT = {"model": "hex8_2p", "elo": 1734.5, "i": 7}
WINDOW_S = 2.0
SHORT = {"MESH_NODE_DEDUP_WINDOW_S": str(WINDOW_S)}


def announce(program, payload=None, topic="MODEL_PROMOTED", **options):
    """Have a program publish; returns (status, event id)."""
    spoken = len(program.said("receipt"))
    program.say(topic=topic, payload=payload or FACT, **options)
    row = program.expect("receipt", spoken + 1)[-1]
    return row["receipt"], row["event_id"]


def ids(subscriber):
    """The events a subscriber was given."""
    return [row["event"] for row in subscriber.said("event")]


def assert_delivered(subscriber, expected):
    """These events and nothing else, once the subscriber has handled all and has ended."""
    eventually(lambda: len(ids(subscriber)) >= len(expected))
    subscriber.end()
    assert ids(subscriber) == expected


def test_the_same_announcement_by_two_processes_is_delivered_once_and_the_second_is_told_the_first(cluster):
    node = cluster.node("a")
    subscriber = cluster.program("subscriber", node, pattern="*")
    one, two = cluster.program("publisher", node), cluster.program("publisher", node)

    first = announce(one)
    again = announce(two, dict(reversed(FACT.items())))  # the order of keys is no difference
    other_topic = announce(two, topic="MODEL_EVALUATED")
    other_payload = announce(two, {**FACT, "i": 8})

    assert first == ("accepted", f"{node.origin}/MODEL_PROMOTED/1")
    assert again == ("duplicate", first[1])
    assert other_topic == ("accepted", f"{node.origin}/MODEL_EVALUATED/1")
    assert other_payload == ("accepted", f"{node.origin}/MODEL_PROMOTED/2")
    assert_delivered(subscriber, [first[1], other_topic[1], other_payload[1]])
    assert node.stop() == 0
    assert [event["id"] for event in log_of(node)] == [first[1], other_topic[1], other_payload[1]]


def test_an_announcement_that_opts_out_is_never_taken_for_a_duplicate(cluster):
    node = cluster.node("a")
    subscriber = cluster.program("subscriber", node, pattern="*")
    one, two = cluster.program("publisher", node), cluster.program("publisher", node)

    receipts = [announce(one, dedup=False), announce(two, dedup=False), announce(one, dedup=False)]

    assert receipts == [("accepted", f"{node.origin}/MODEL_PROMOTED/{n}") for n in (1, 2, 3)]
    assert_delivered(subscriber, [id_ for _, id_ in receipts])


def test_after_the_window_the_same_announcement_is_news(cluster):
    node = cluster.node("a", variables=SHORT)
    subscriber = cluster.program("subscriber", node, pattern="*")
    one, two = cluster.program("publisher", node), cluster.program("publisher", node)
    first = announce(one)
    accepted_at = monotonic()
    repeats = [announce(two)]

    def news():
        repeats.append(announce(two))
        return repeats[-1][0] == "accepted"

    eventually(news)  # the duplicates meanwhile do not prolong the window

    assert monotonic() - accepted_at > WINDOW_S - 0.5
    assert set(repeats[:-1]) == {("duplicate", first[1])}
    assert repeats[-1] == ("accepted", f"{node.origin}/MODEL_PROMOTED/2")
    assert announce(one) == ("duplicate", repeats[-1][1])
    assert_delivered(subscriber, [first[1], repeats[-1][1]])


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_restart_inside_the_window_forgets_no_announcement(cluster, end):
    node = cluster.node("a")
    one = cluster.program("publisher", node)
    first = announce(one)
    node.kill() if end == "killed" else node.stop()
    node.start()
    subscriber = cluster.program("subscriber", node, pattern="*", options={"since": "earliest"})
    two = cluster.program("publisher", node)

    assert [announce(two), announce(one)] == [("duplicate", first[1])] * 2
    assert_delivered(subscriber, [first[1]])


def test_a_node_killed_under_load_still_tells_repetitions_from_what_is_sent_again(cluster):
    node = cluster.node("a")
    flood = cluster.program("flood", node, who="p", count=1_000_000, topics=3, seed=3, repeat=True)
    flood.say()
    for kill in (1, 2, 3):
        eventually(lambda kill=kill: any(line["receipted"] > kill * 2000 for line in flood.said("receipted")), 30.0)
        node.kill()
        node.start()
    flood.finish()
    rows = flood.expect("published", deadline_s=60.0)[0]["published"]
    assert node.stop() == 0
    log = {event["id"]: event["payload"]["i"] for event in log_of(node)}

    first = {}
    for index, _, _, status, event_id in rows:
        if index in first:
            assert (index, status, event_id) == (index, "duplicate", first[index])
        else:
            assert (index, status) == (index, "accepted")
            first[index] = event_id
    assert len(rows) > len(first) * 9 / 8 > 6000
    assert log == {event_id: index for index, event_id in first.items()}


def test_a_restart_after_the_window_does_not_begin_it_anew(cluster):
    node = cluster.node("a", variables=SHORT)
    one = cluster.program("publisher", node)
    first = announce(one)
    node.kill()
    elapsed(WINDOW_S)
    node.start()

    assert [first, announce(one)] == [("accepted", f"{node.origin}/MODEL_PROMOTED/{n}") for n in (1, 2)]


def test_an_announcement_repeated_at_another_node_that_has_seen_the_first_is_a_duplicate_there(cluster):
    a, b = cluster.pair()
    at_a = cluster.program("subscriber", a, pattern="*")
    at_b = cluster.program("subscriber", b, pattern="*")
    one, two = cluster.program("publisher", a), cluster.program("publisher", b)

    first = announce(one)
    eventually(lambda: ids(at_b) == [first[1]])
    again = announce(two)
    last = announce(two, {**FACT, "i": 8})

    assert again == ("duplicate", first[1])
    assert last == ("accepted", f"{b.origin}/MODEL_PROMOTED/1")
    assert_delivered(at_a, [first[1], last[1]])
    assert_delivered(at_b, [first[1], last[1]])
    assert ask(b, "status")["counts"]["duplicates"] == 1


def test_a_node_that_was_restarted_still_knows_what_its_peer_announced(cluster):
    a, b = cluster.pair()
    at_b = cluster.program("subscriber", b, pattern="*")
    one, two = cluster.program("publisher", a), cluster.program("publisher", b)
    first = announce(one)
    eventually(lambda: ids(at_b) == [first[1]])
    b.kill()
    b.start()
    linked(a, b)

    assert announce(two) == ("duplicate", first[1])
    assert_delivered(at_b, [first[1]])
