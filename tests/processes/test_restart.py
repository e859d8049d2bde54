"""Nodes that are killed, stopped and halted under load: whatever was receipted is there, and nobody gets it twice."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from time import monotonic

import pytest

import mesh
from tests.conditions import elapsed, eventually
from tests.processes.cluster import ask, linked, log_of, peer

pytestmark = pytest.mark.processes

PUBLISHERS = ("p", "q")


def flood(cluster, node, count=1_000_000):
    """Two publishers, begun: they go on until `published` asks, so what happens meanwhile happens under load."""
    programs = [cluster.program("flood", node, who=who, count=count, topics=5, seed=who) for who in PUBLISHERS]
    for program in programs:
        program.say()
    return programs


def receipted(program):
    """How many receipts the program has spoken of."""
    return max((line["receipted"] for line in program.said("receipted")), default=0)


def published(programs):
    """Stop the programs; returns what they have published: (who, index, topic, status, event id)."""
    for program in programs:
        program.finish()
    told = [program.expect("published", deadline_s=60.0)[0]["published"] for program in programs]
    return [
        (who, index, topic, status, event_id)
        for who, rows in zip(PUBLISHERS, told, strict=True)
        for index, topic, _, status, event_id in rows
    ]


def assert_the_log_holds_exactly(rows, log):
    """Every receipt names the event with its payload; every event is there once, and no other."""
    assert {row[3] for row in rows} == {"accepted"}
    assert len({event["id"] for event in log}) == len(log) == len(rows)
    said = {(who, index, topic, event_id) for who, index, topic, _, event_id in rows}
    assert {(e["payload"]["who"], e["payload"]["i"], e["topic"], e["id"]) for e in log} == said


def assert_all_arrived_once_in_order(rows, arrived):
    """A subscriber got everything that was published, once, and in the order of sequences and of each publisher."""
    assert len(arrived) == len(rows)
    assert {(e["who"], e["i"], e["event"]) for e in arrived} == {(who, index, id_) for who, index, _, _, id_ in rows}
    sequences, indexes = defaultdict(list), defaultdict(list)
    for event in arrived:
        sequences[event["topic"]].append(event["sequence"])
        indexes[event["topic"], event["who"]].append(event["i"])
    for numbers in sequences.values():
        assert numbers == list(range(1, len(numbers) + 1))
    for numbers in indexes.values():
        assert numbers == sorted(numbers)


def kill_with_receipts_unread(node, programs):
    """Kill the node when all it was sent is on disk and the publishers, halted meanwhile, do not know it."""
    for program in programs:
        program.signal(signal.SIGSTOP)
    sizes = [-1]

    def all_is_on_disk():
        sizes.append(ask(node, "log.stats")["events"])
        return sizes[-1] == sizes[-2]

    eventually(all_is_on_disk)
    node.kill()
    for program in programs:
        program.signal(signal.SIGCONT)


def test_a_node_killed_again_and_again_under_load_loses_and_repeats_nothing(cluster):
    node = cluster.node("a")
    subscriber = cluster.program("subscriber", node, pattern="T.*")
    programs = flood(cluster, node)
    for kill in range(1, 5):
        eventually(lambda kill=kill: all(receipted(each) >= kill * 1500 for each in programs), 30.0)
        if kill % 2:
            kill_with_receipts_unread(node, programs)
        else:
            node.kill()
        node.start()
    rows = published(programs)
    subscriber.expect("event", len(rows), deadline_s=60.0)
    eventually(lambda: [row["in_flight"] for row in ask(node, "audit")["consumers"]] == [0])
    (books,) = ask(node, "audit")["consumers"]
    assert books["lost"] == 0
    assert books["settled"] == len(rows)
    subscriber.end()
    for program in programs:
        program.end()

    assert [row[1] for row in rows if row[0] == "p"] == list(range(sum(row[0] == "p" for row in rows)))
    assert_all_arrived_once_in_order(rows, subscriber.said("event"))
    assert ask(node, "audit")["balanced"]
    assert node.stop() == 0
    assert_the_log_holds_exactly(rows, log_of(node))


def test_a_durable_consumer_continues_where_it_stopped_when_it_and_the_node_are_killed(cluster):
    node = cluster.node("a")
    options = {"durable": True, "since": "earliest"}
    first = cluster.program("subscriber", node, pattern="T.*", name="archive", options=options)
    programs = flood(cluster, node)
    first.expect("event", 1000)
    eventually(lambda: sum(row["settled"] for row in ask(node, "consumers")["rows"]))
    first.kill()
    node.kill()
    node.start()
    second = cluster.program("subscriber", node, pattern="T.*", name="archive", options=options)
    rows = published(programs)
    ids = {row[4] for row in rows}
    eventually(lambda: ids <= {e["event"] for each in (first, second) for e in each.said("event")}, 60.0)
    second.end()

    again = Counter(event["event"] for event in second.said("event"))
    assert set(again.values()) == {1}
    twice = {e["event"] for e in first.said("event")} & set(again)
    assert len(twice) < len(first.said("event"))  # what was reported before the crash is not repeated
    assert [(row["lost"], row["in_flight"]) for row in ask(node, "audit")["consumers"]] == [(0, 0)]
    assert ask(node, "audit")["balanced"]


@pytest.mark.parametrize("halted", ["a", "b"])
def test_a_node_that_stands_still_for_three_seconds_loses_nothing(cluster, halted):
    a, b = cluster.pair()
    node = {"a": a, "b": b}[halted]
    subscriber = cluster.program("subscriber", b, pattern="T.*")
    programs = flood(cluster, a, 20_000)
    eventually(lambda: all(receipted(each) >= 1000 for each in programs))
    node.signal(signal.SIGSTOP)
    elapsed(3.0)
    node.signal(signal.SIGCONT)
    rows = published(programs)
    subscriber.expect("event", len(rows), deadline_s=60.0)
    subscriber.end()

    assert_all_arrived_once_in_order(rows, subscriber.said("event"))
    assert ask(b, "audit")["balanced"]
    assert a.stop() == 0
    assert_the_log_holds_exactly(rows, log_of(a))


def test_sigterm_ends_a_node_under_load_in_good_order_within_five_seconds(cluster):
    a, b = cluster.pair()
    subscriber = cluster.program("subscriber", b, pattern="T.*")
    programs = flood(cluster, a)
    eventually(lambda: all(receipted(each) >= 2000 for each in programs))
    begun = monotonic()
    codes = [b.stop(), a.stop()]
    took_s = monotonic() - begun
    subscriber.kill()
    for program in programs:
        program.kill()

    assert codes == [0, 0]
    assert took_s < 5.0
    assert not (a.data_dir / "node.json").exists()
    assert len({event["id"] for event in log_of(a)}) == len(log_of(a)) >= 4000


def test_what_was_receipted_before_sigterm_is_in_the_log_and_the_rest_follows_after_the_start(cluster):
    node = cluster.node("a")
    programs = flood(cluster, node)
    eventually(lambda: all(receipted(each) >= 2000 for each in programs))
    assert node.stop() == 0
    assert len(log_of(node)) >= 4000
    node.start()
    rows = published(programs)
    assert node.stop() == 0

    assert len(rows) > 4000
    assert_the_log_holds_exactly(rows, log_of(node))


@pytest.mark.parametrize(
    ("restarted", "end"), [("the dialler", "killed"), ("the acceptor", "killed"), ("the acceptor", "stopped")]
)
def test_a_restarted_peer_is_linked_again_by_itself_and_interest_with_it(cluster, restarted, end):
    a, b = cluster.pair()  # b dials a
    node = {"the dialler": b, "the acceptor": a}[restarted]
    at_a = cluster.program("subscriber", a, pattern="FROM.B")
    at_b = cluster.program("subscriber", b, pattern="FROM.A")
    node.kill() if end == "killed" else node.stop()
    node.start()
    linked(a, b)
    numbers = iter(range(1_000_000))
    with mesh.connect(a.data_dir) as bus_a, mesh.connect(b.data_dir) as bus_b:
        for bus, topic, subscriber in ((bus_a, "FROM.A", at_b), (bus_b, "FROM.B", at_a)):

            def crosses(bus=bus, topic=topic, subscriber=subscriber):
                bus.publish(topic, {"i": next(numbers)}).wait(10.0)
                return subscriber.said("event")

            eventually(crosses, 20.0, f"an event {topic}")
            before = len(subscriber.said("event"))
            ids = [bus.publish(topic, {"i": next(numbers)}).wait(10.0).event_id for _ in range(100)]
            eventually(
                lambda subscriber=subscriber, ids=ids: {e["event"] for e in subscriber.said("event")} >= set(ids)
            )
            assert [e["event"] for e in subscriber.said("event")][before:][-100:] == ids
    assert (peer(a, "b")["link"], peer(b, "a")["link"]) == ("up", "up")
