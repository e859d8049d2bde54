"""The coordination event system between processes: queues of six consumers on two nodes, and one that crashes."""

from __future__ import annotations

import statistics
import time

import pytest

import mesh
from tests.conditions import elapsed, eventually
from tests.processes.cluster import ask

pytestmark = pytest.mark.processes

TYPES = ("TRAINING_STARTED", "TRAINING_COMPLETED", "TASK_SPAWNED", "TASK_COMPLETED")


def publish(node, each, paced=0):
    """`each` events of every type by turns, numbered in `samples`, the first `paced` of them at 500 events/s.

    Returns the seconds that the others took until all had their receipt.
    """
    with mesh.connect(node.data_dir, name="publisher") as bus:
        assert bus.wait_attached(10.0)
        for number in range(paced):
            elapsed(len(TYPES) / 500)
            announce(bus, number)
        began = time.monotonic()
        for number in range(paced, each):
            announce(bus, number)
        assert bus.flush(60.0)
        return time.monotonic() - began


def announce(bus, number):
    for topic in TYPES:
        bus.publish(topic, {"samples": number})


def consumer(cluster, node, queue, each, **spec):
    return cluster.program("queue_consumer", node, queue=queue, pattern="T*", types=TYPES, last=each - 1, **spec)


def all_settled(node):
    eventually(lambda: {row["lag"] for row in ask(node, "consumers")["rows"]} == {0}, 20.0)
    return ask(node, "audit")["balanced"]


def test_six_consumers_on_two_nodes_each_see_every_event_in_order(cluster, capsys):
    each, paced = 2500, 125
    a, b = cluster.pair()
    names = [(node, f"{node.name}.{number}") for node in (a, b) for number in range(3)]
    consumers = [consumer(cluster, node, name, each, paced=paced) for node, name in names]
    took_s = publish(a, each, paced)
    told = [program.expect("ranges", deadline_s=90.0)[0] for program in consumers]
    assert [line["ranges"] for line in told] == [{topic: [0, each - 1] for topic in TYPES}] * 6
    assert [line["order"] for line in told] == [True] * 6
    assert all_settled(a)
    assert all_settled(b)
    for program in consumers:
        program.end()
    burst = (each - paced) * len(TYPES)
    rates = [burst / line["span"] for line in told]
    median_ms = statistics.median(line["delay"] for line in told) * 1000
    with capsys.disabled():
        print(
            f"\nqueues of six consumers: {burst / took_s:,.0f}/s published and receipted, taken by each at "
            f"{min(rates):,.0f} to {max(rates):,.0f}/s, median delay {median_ms:.1f} ms at 500/s "
            "(the system before: 52/s per poller, 450 ms)"
        )


def test_what_a_crashed_consumer_did_not_acknowledge_is_given_to_its_successor(cluster):
    each = 500
    a = cluster.node("a")
    other = consumer(cluster, a, "other", each)
    first = consumer(cluster, a, "evaluator", each, crash_after=700)
    publish(a, each)
    (dying,) = first.expect("dying")
    eventually(lambda: not first.running)
    (told,) = consumer(cluster, a, "evaluator", each).expect("ranges")
    assert told["order"]
    assert {topic: last for topic, (_, last) in told["ranges"].items()} == dict.fromkeys(TYPES, each - 1)
    assert all(told["ranges"][topic][0] <= number for topic, number in dying["dying"].items())
    assert other.expect("ranges")[0]["ranges"] == {topic: [0, each - 1] for topic in TYPES}
    assert all_settled(a)
