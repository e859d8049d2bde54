"""Two nodes, programs at both: what crosses the link, and what does not."""

from __future__ import annotations

from collections import defaultdict

import pytest

import mesh
from tests.conditions import eventually
from tests.processes.cluster import ask, log_of, peer

pytestmark = pytest.mark.processes

EVENTS = 5000


def frames_crossed(a, b):
    """(frames a sent to b, frames b received from a)."""
    return peer(a, "b")["sent"], peer(b, "a")["received"]


def test_five_thousand_events_of_all_sizes_arrive_at_the_other_node_exactly_once_and_in_order(cluster):
    a, b = cluster.pair()
    subscriber = cluster.program("subscriber", b, pattern="T.*", name="archive")
    publisher = cluster.program(
        "flood", a, who="p", count=EVENTS, topics=50, seed=1, bytes_min=20, bytes_max=200_000, buffer=1000
    )

    publisher.say()
    published = publisher.expect("published", deadline_s=60.0)[0]["published"]
    subscriber.expect("event", EVENTS, deadline_s=60.0)
    subscriber.end()
    arrived = subscriber.said("event")

    assert [(index, status) for index, _, _, status, _ in published] == [(i, "accepted") for i in range(EVENTS)]
    assert len(arrived) == EVENTS
    assert {(row["i"], row["topic"], row["sha"], row["event"]) for row in arrived} == {
        (index, topic, sha, event_id) for index, topic, sha, _, event_id in published
    }
    by_topic = defaultdict(list)
    for row in arrived:
        by_topic[row["topic"]].append((row["sequence"], row["i"]))
    assert len(by_topic) == 50
    for rows in by_topic.values():
        assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
        assert rows == sorted(rows, key=lambda row: row[1])
    assert peer(a, "b")["dropped"] == 0
    assert ask(b, "audit")["balanced"]


def test_a_subscriber_of_a_topic_gets_nothing_of_a_longer_topic(cluster):
    a, b = cluster.pair()
    subscriber = cluster.program("subscriber", b, pattern="A")
    with mesh.connect(a.data_dir) as bus:
        for i in range(20):
            bus.publish("AB", {"i": i})
        assert bus.flush(10.0)
        assert frames_crossed(a, b) == (0, 0)
        bus.publish("A", {"i": 20})
        subscriber.expect("event")
    subscriber.end()

    assert [(row["topic"], row["i"]) for row in subscriber.said("event")] == [("A", 20)]
    assert frames_crossed(a, b) == (1, 1)


def test_a_node_without_interest_in_a_topic_receives_none_of_its_frames(cluster):
    a, b = cluster.pair()
    subscriber = cluster.program("subscriber", b, pattern="WANTED.*")
    with mesh.connect(a.data_dir) as bus:
        for i in range(200):
            bus.publish(f"OTHER.{i % 7}", {"i": i})
        assert bus.flush(10.0)
        receipt = bus.publish("WANTED.1", {"i": 200})
        subscriber.expect("event")
    subscriber.end()

    assert [row["event"] for row in subscriber.said("event")] == [receipt.event_id]
    assert frames_crossed(a, b) == (1, 1)
    assert [row["topic"] for row in ask(b, "log.stats")["streams"]] == ["WANTED.1"]


@pytest.mark.parametrize("way", ["closes", "is killed"])
def test_when_the_only_subscriber_goes_no_more_frames_cross(cluster, way):
    a, b = cluster.pair()
    subscriber = cluster.program("subscriber", b, pattern="T")
    with mesh.connect(a.data_dir) as bus:
        bus.publish("T", {"i": 0})
        subscriber.expect("event")
        subscriber.end() if way == "closes" else subscriber.kill()
        numbers = iter(range(1, 1_000_000))

        def nothing_crosses():
            before = peer(a, "b")["sent"]
            bus.publish("T", {"i": next(numbers)}).wait(10.0)
            return peer(a, "b")["sent"] == before

        eventually(nothing_crosses)
        before = frames_crossed(a, b)
        for _ in range(100):
            bus.publish("T", {"i": next(numbers)})
        assert bus.flush(10.0)

        assert frames_crossed(a, b) == before


def test_an_event_published_right_after_subscribe_returned_is_received_a_hundred_times_over(cluster):
    a, b = cluster.pair()
    received = []
    with mesh.connect(a.data_dir, name="p") as publisher, mesh.connect(b.data_dir, name="s") as subscriber:
        for i in range(100):
            topic = f"FIRST.{i % 10}"  # ten topics, each subscribed, left and subscribed again ten times
            with subscriber.subscribe(topic, lambda event: received.append(event.id), name="late"):
                receipt = publisher.publish(topic, {"i": i})
                eventually(lambda i=i: len(received) == i + 1, what=f"event {i}")
                assert received[-1] == receipt.wait(10.0).event_id

    assert len(set(received)) == 100


def test_programs_that_subscribe_to_everything_hear_of_their_own_receipts_only(cluster):
    node = cluster.node("a")
    told, received = {}, []
    with mesh.connect(node.data_dir, name="p") as one, mesh.connect(node.data_dir, name="q") as two:
        for who, bus in (("p", one), ("q", two)):
            bus.subscribe("*", lambda event, who=who: received.append((who, event.id)), name=f"all {who}")
        for i in range(2000):
            for who, bus in (("p", one), ("q", two)):
                told[who, i] = bus.publish(f"T.{i % 3}", {"who": who, "i": i})
        assert one.flush(20.0)
        assert two.flush(20.0)
        eventually(lambda: len(received) >= 2 * len(told))
    assert node.stop() == 0

    log = {(event["payload"]["who"], event["payload"]["i"]): event["id"] for event in log_of(node)}
    assert {key: (receipt.status, receipt.event_id) for key, receipt in told.items()} == {
        key: ("accepted", event_id) for key, event_id in log.items()
    }
    assert sorted(received) == sorted((who, event_id) for who in "pq" for event_id in log.values())


def test_what_was_published_while_nobody_wanted_it_is_not_counted_as_lost(cluster):
    a, b = cluster.pair()
    received = []
    with mesh.connect(a.data_dir, name="p") as publisher, mesh.connect(b.data_dir, name="s") as subscriber:
        with subscriber.subscribe("T", lambda event: received.append(event.payload["i"]), name="now and then"):
            publisher.publish("T", {"i": 0})
            eventually(lambda: received == [0])
        eventually(lambda: ask(b, "status")["interest"] == [])
        for i in range(1, 50):
            publisher.publish("T", {"i": i})
        assert publisher.flush(10.0)
        with subscriber.subscribe("T", lambda event: received.append(event.payload["i"]), name="now and then"):
            publisher.publish("T", {"i": 50})
            eventually(lambda: 50 in received)

    books = ask(b, "audit")
    assert [(row["settled"], row["lost"]) for row in books["consumers"]] == [(len(received), 0)]
    assert books["balanced"]
