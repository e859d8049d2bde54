"""Publishers that are killed, with a spool: every event whose `publish` had returned arrives, and none of it twice."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.conditions import eventually
from tests.processes.cluster import ask, log_of

pytestmark = pytest.mark.processes

MANY = 10_000_000


@pytest.fixture
def start(cluster):
    """Start the program for the first, second … time."""
    spool, started = cluster.root / "spool", []

    def start(node, count=MANY, flush=60.0):
        started.append(cluster.program("spooling", node, spool=spool, start=len(started), count=count, flush=flush))
        return started[-1]

    return start


def told(program):
    """For how many events the program has said that `publish` had returned."""
    return max((line["told"] for line in program.said("told")), default=0)


def killed_after(program, count):
    """Kill a program once it has published so many; returns for how many it had said so."""
    eventually(lambda: told(program) >= count)
    program.kill()
    return told(program)


def flushed(program):
    """Wait until a program has the receipts of all it found and published, and end it."""
    assert program.expect("flushed", deadline_s=90.0)[0]["flushed"]
    program.end()


def assert_the_log_holds_each_once_in_order(node, told_by_start):
    """Of every start all that was told and perhaps a little more, each once, in the order of the calls per topic."""
    assert ask(node, "audit")["balanced"]
    assert node.stop() == 0
    numbers, by_topic = defaultdict(list), defaultdict(list)
    for event in log_of(node):
        if event["topic"] in "ABC":
            start, i = event["payload"]["start"], event["payload"]["i"]
            numbers[start].append(i)
            by_topic[event["topic"]].append((start, i))
    assert sorted(numbers) == sorted(told_by_start)
    for start, count in told_by_start.items():
        assert sorted(numbers[start]) == list(range(len(numbers[start])))
        assert len(numbers[start]) >= count
    for order in by_topic.values():
        assert order == sorted(order)


def test_a_publisher_that_is_killed_again_and_again_under_load_loses_and_repeats_nothing(cluster, start):
    node = cluster.node("a")
    counts = {n: killed_after(start(node), 3000) for n in range(4)}
    flushed(start(node, 100))
    assert_the_log_holds_each_once_in_order(node, {**counts, 4: 100})


def test_what_was_published_without_a_node_is_sent_by_the_start_that_finds_one(cluster, start):
    node = cluster.node("a")
    node.kill()
    counts = {n: killed_after(start(node), 1000) for n in range(2)}
    last = start(node, 100)
    last.expect("told")
    node.start()
    flushed(last)
    assert_the_log_holds_each_once_in_order(node, {**counts, 2: 100})


def test_a_publisher_and_its_node_that_are_killed_together_lose_and_repeat_nothing(cluster, start):
    node = cluster.node("a")
    counts = {}
    for n in range(3):
        program = start(node)
        eventually(lambda program=program: told(program) >= 3000)
        node.kill() if n % 2 else program.kill()
        program.kill() if n % 2 else node.kill()
        counts[n] = told(program)
        node.start()
    flushed(start(node, 0))
    assert_the_log_holds_each_once_in_order(node, counts)


def test_a_bus_that_is_closed_without_a_node_leaves_its_events_to_the_next_start(cluster, start):
    node = cluster.node("a")
    node.kill()
    first = start(node, 50, flush=0.0)
    assert first.expect("flushed")[0]["flushed"] is False
    first.end()
    node.start()
    flushed(start(node, 0))
    assert_the_log_holds_each_once_in_order(node, {0: 50})


def test_two_processes_cannot_share_a_spool_and_the_second_is_told_who_has_it(cluster, start):
    node = cluster.node("a")
    holder = start(node, 10)
    refused = start(node, 10).expect("refused")[0]["refused"]
    assert f"is held by process {holder._process.pid}; give every bus a spool of its own" in refused
    flushed(holder)
    flushed(start(node, 0))
