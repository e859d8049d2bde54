"""Durable consumers: whatever happens to them or to their node, they continue where they stopped, and alone."""

from __future__ import annotations

from time import time_ns

import pytest

import mesh
from tests.conditions import elapsed, eventually
from tests.processes.cluster import ask
from tests.proofs.evidence import (
    assert_every_run_continues_the_former,
    assert_ordered_and_single_in_every_run,
    by_stream,
    lacking,
)
from tests.proofs.stage import continued, stopped

pytestmark = pytest.mark.processes

DURABLE = {"durable": True, "since": "earliest"}


def publish(node, topic, *numbers):
    """Publish one event a number; returns when all are receipted."""
    with mesh.connect(node.data_dir, name="publisher") as bus:
        receipts = [bus.publish(topic, {"who": "test", "i": i}) for i in numbers]
        assert {receipt.wait(15.0).status for receipt in receipts} <= {"accepted"}


def sequences(stage, name):
    """topic → the sequences a consumer was given, in order."""
    return {topic: numbers for (_, topic), numbers in by_stream(stage.calls(name)).items()}


def heads(node):
    """The node's own streams of user topics."""
    rows = ask(node, "log.stats")["streams"]
    return {(row["origin"], row["topic"]): row["head"] for row in rows if row["topic"].startswith("T.")}


def crossing(a, b):
    """Publish at one node until the other has heard of it: the link is up, and the interest with it."""
    known = heads(b).get((a.origin, "T.probe"), 0)

    def crosses():
        publish(a, "T.probe", time_ns())
        return heads(b).get((a.origin, "T.probe"), 0) > known

    eventually(crosses, 20.0, "a probe at the other node")


def consumer_row(node, name):
    """What `mesh consumers` says of a consumer."""
    return next(row for row in ask(node, "consumers")["rows"] if row["consumer"] == name)


COMINGS = ("killed", "ended", "closed", "node killed", "both killed")


def come_and_go(stage, node, archive, how):
    """The consumer or its node goes in one of five ways, stays away for a moment, and returns."""
    pause_s = stage.draw.uniform(0.0, 0.4)
    if how == "closed":
        archive.do("close", "closed")
        elapsed(pause_s)
        archive.do("subscribe", "subscribed")
        return
    archive.program.end() if how == "ended" else None
    archive.kill() if how in ("killed", "both killed") else None
    node.kill() if how.startswith(("node", "both")) else None
    elapsed(pause_s)
    node.start() if how.startswith(("node", "both")) else None
    if how != "node killed":
        assert archive.start().ready()["ready"]


@pytest.mark.parametrize(
    "rounds", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="long")]
)
def test_however_it_comes_and_goes_it_gets_every_event_in_order_also_of_topics_begun_meanwhile(stage, rounds):
    node = stage.cluster.node("a")
    archive = stage.consumer("archive", node, options=DURABLE)
    topics = [f"T.{number:03}" for number in range(rounds)]
    source = stage.source("source", node, topics, rate=300, unfold=100)
    source.program.say(do="start")
    ways = []
    while len(ways) < rounds:
        ways += stage.draw.sample(COMINGS, len(COMINGS))
    for how in ways[:rounds]:
        before = stage.called("source")
        eventually(lambda before=before: stage.called("source") >= before + 30, 30.0)
        come_and_go(stage, node, archive, how)
    source.do("stop", "stopped")
    stage.settled(node, "archive")

    calls = stage.calls("archive")
    again = assert_every_run_continues_the_former("archive", calls)
    if not {"closed"} & set(ways):
        assert_ordered_and_single_in_every_run("archive", calls)
    assert lacking(calls, heads(node)) == {}
    assert {given.event for given in stage.receipts("source")} <= {call.event for call in calls}
    audit = ask(node, "audit")
    assert (audit["balanced"], audit["lost_ranges"]) == (True, [])
    print(f"FIGURES {rounds} absences, {len(heads(node))} topics, {len(calls)} calls, {again} events handled again")


def test_closed_or_ended_in_good_order_it_comes_back_without_handling_anything_twice(stage):
    node = stage.cluster.node("a")
    archive = stage.consumer("archive", node, options=DURABLE)
    source = stage.source("source", node, ["T.one", "T.two"], rate=500)
    source.program.say(do="start")
    for how in ("closed", "ended", "closed", "closed", "ended"):
        before = stage.called("archive")
        eventually(lambda before=before: stage.called("archive") >= before + 50)
        come_and_go(stage, node, archive, how)
    source.do("stop", "stopped")
    stage.settled(node, "archive")

    every = {(origin, topic): list(range(1, head + 1)) for (origin, topic), head in heads(node).items()}
    assert by_stream(stage.calls("archive")) == every


def test_a_name_that_is_held_is_refused_with_the_process_that_holds_it_and_free_when_that_goes(stage):
    node = stage.cluster.node("a")
    first = stage.consumer("archive", node, options=DURABLE, process="evaluation-daemon")
    pid = first.ready()["pid"]
    second = stage.consumer("second", node, options=DURABLE)
    assert second.ready()["ready"]  # another name is free
    rival = stage.rival("archive", node, options=DURABLE, process="rival")
    said = rival.ready()
    assert (said["ready"], said["refused"]) == (False, "ConsumerHeld")
    assert "'archive'" in said["message"]
    assert f"evaluation-daemon (pid {pid})" in said["message"]
    stopped(first)  # a process that stands still holds its name
    assert stage.rival("archive", node, options=DURABLE).ready()["refused"] == "ConsumerHeld"
    continued(first)
    publish(node, "T.one", *range(20))
    eventually(lambda: stage.called("archive") == 20)
    assert consumer_row(node, "archive")["process"] == f"evaluation-daemon (pid {pid})"

    first.kill()
    heir = stage.rival("archive", node, options=DURABLE, process="heir")
    assert heir.ready()["ready"]
    publish(node, "T.one", *range(20, 40))
    eventually(lambda: sequences(stage, "archive").get("T.one", [])[-1:] == [40])
    heir.program.end()
    assert stage.rival("archive", node, options=DURABLE).ready()["ready"]


def test_the_holder_keeps_its_name_when_its_node_is_killed_and_comes_back(stage):
    node = stage.cluster.node("a")
    first = stage.consumer("archive", node, options=DURABLE)
    node.kill()
    node.start()
    publish(node, "T.one", *range(20))
    eventually(lambda: stage.called("archive") == 20)
    rival = stage.rival("archive", node, options=DURABLE)
    assert rival.ready()["refused"] == "ConsumerHeld"
    assert f"(pid {first.ready()['pid']})" in rival.ready()["message"]


@pytest.mark.parametrize("restarted", [False, True])
def test_topics_that_begin_while_it_is_away_are_owed_from_their_first_event(stage, restarted):
    node = stage.cluster.node("a")
    archive = stage.consumer("archive", node, options={"durable": True})
    publish(node, "T.before", *range(5))
    eventually(lambda: stage.called("archive") == 5)
    archive.program.end()
    publish(node, "T.meanwhile", *range(10))
    if restarted:
        node.kill()
        node.start()
    publish(node, "T.later", *range(10))
    archive.start()
    eventually(lambda: stage.called("archive") == 25)

    every = {"T.before": list(range(1, 6)), "T.meanwhile": list(range(1, 11)), "T.later": list(range(1, 11))}
    assert sequences(stage, "archive") == every
    assert ask(node, "audit")["balanced"]


@pytest.mark.parametrize("restarted", [False, True])
def test_topics_of_another_node_that_begin_while_it_is_away_are_owed_too(stage, restarted):
    a, b = stage.cluster.pair()
    archive = stage.consumer("archive", b, options={"durable": True})
    archive.program.end()
    publish(a, "T.meanwhile", *range(10))
    eventually(lambda: sum(heads(b).values()) == 10)
    if restarted:
        b.kill()
        b.start()
        crossing(a, b)
    publish(a, "T.meanwhile", *range(10, 20))
    eventually(lambda: heads(b)[a.origin, "T.meanwhile"] == 20)
    archive.start()
    stage.settled(b, "archive")

    assert sequences(stage, "archive")["T.meanwhile"] == list(range(1, 21))
    assert ask(b, "audit")["balanced"]


def test_what_passed_while_its_node_was_down_is_repaired_from_where_it_entered(stage):
    a, b = stage.cluster.pair()
    archive = stage.consumer("archive", b, options={"durable": True})
    archive.program.end()
    publish(a, "T.meanwhile", *range(10))
    eventually(lambda: sum(heads(b).values()) == 10)
    b.kill()
    publish(a, "T.meanwhile", *range(10, 30))
    b.start()
    archive.start()
    crossing(a, b)
    publish(a, "T.meanwhile", *range(30, 40))
    eventually(lambda: sequences(stage, "archive").get("T.meanwhile", [])[-1:] == [40])
    stage.settled(b, "archive")

    assert sequences(stage, "archive")["T.meanwhile"] == list(range(1, 41))
    audit = ask(b, "audit")
    assert (audit["balanced"], audit["lost_ranges"]) == (True, [])
    rows = {row["topic"]: row for row in audit["streams"]}
    assert (rows["T.meanwhile"]["published"], rows["T.meanwhile"]["in_log"]) == (40, 40)


@pytest.mark.parametrize("restarted", ["a", "b"])
def test_a_topic_that_begins_while_the_link_is_down_is_owed_from_its_first_event(stage, restarted):
    a, b = stage.cluster.pair()
    archive = stage.consumer("archive", b, options={"durable": True})
    crossing(a, b)
    stage.settled(b, "archive")
    elapsed(1.5)  # what durable consumers want is kept within a second
    b.kill()
    if restarted == "a":
        a.kill()
        a.start()
    publish(a, "T.meanwhile", *range(10))
    b.start()
    crossing(a, b)
    publish(a, "T.meanwhile", *range(10, 20))
    eventually(lambda: sequences(stage, "archive").get("T.meanwhile", [])[-1:] == [20])
    stage.settled(b, "archive")

    assert sequences(stage, "archive")["T.meanwhile"] == list(range(1, 21))
    audit = ask(b, "audit")
    assert (audit["balanced"], audit["lost_ranges"]) == (True, [])
    assert archive.run == 0


def test_a_stream_that_was_there_before_anybody_wanted_it_is_not_owed_from_its_beginning(stage):
    a, b = stage.cluster.pair()
    publish(a, "T.old", *range(10))
    stage.consumer("archive", b, options={"durable": True})
    stage.consumer("watcher", b)
    publish(a, "T.old", *range(10, 20))
    for name in ("archive", "watcher"):
        eventually(lambda name=name: stage.called(name) == 10)
        assert sequences(stage, name) == {"T.old": list(range(11, 21))}
    stage.settled(b, "archive", "watcher")
    assert (ask(b, "audit")["balanced"], ask(b, "audit")["lost_ranges"]) == (True, [])
