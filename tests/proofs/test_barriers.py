"""Subscribing while events pass: what follows the return of `subscribe` is owed, from there on and without a gap.

    published   … 41 42 43 44 45 46 47 48 …
                          ▲ `subscribe` returned
    given             43 44 45 46 47 48 …      begins at or before the first event published after the return

The first event after the return is known from outside: every event carries the moment it was published, the program
notes the moment it went on, and both read the same clock. A witness who was there all the time has every event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from time import time

import pytest

import mesh
from tests.conditions import elapsed, eventually
from tests.processes.cluster import Program, ask
from tests.proofs.stage import PROGRAMS

pytestmark = pytest.mark.processes

TOPICS = [f"T.{number}" for number in range(6)]


def moments(stage):
    """topic → moments of publishing by sequence, in microseconds, as the witness was given them."""
    found = {topic: [] for topic in TOPICS}
    for call in stage.calls("witness"):
        assert call.sequence == len(found[call.stream[1]]) + 1
        found[call.stream[1]].append(call.published_us)
    return found


@pytest.mark.parametrize(
    "rounds", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)], id="long")]
)
@pytest.mark.parametrize("where", ["beside the publisher", "across a link"])
def test_every_event_published_after_subscribe_returned_is_given_once_and_without_a_gap(stage, rounds, where):
    a, b = stage.cluster.pair() if where == "across a link" else (stage.cluster.node("a"),) * 2
    stage.consumer("witness", a)
    source = stage.source("source", a, TOPICS, rate=800)
    source.program.say(do="start")
    spec = {"publish_at": a.data_dir, "topics": TOPICS, "rounds": rounds, "seed": stage.draw.random(), "since": "now"}
    program = Program(str(PROGRAMS / "barriers"), stage.cluster.root / "barriers.err", node=b.data_dir, **spec)
    stage.cluster.programs.append(program)
    program.expect("ready")
    program.say(do="begin")
    rows = program.expect("barriers", deadline_s=60.0 + 0.1 * rounds)[0]["barriers"]
    program.end()
    source.do("stop", "stopped")
    stage.settled(a, "witness")

    published, missed, twice, early = moments(stage), 0, 0, 0
    for topic, returned_us, mark, given in rows:
        assert given, f"{topic}: nothing was given, not even the mark {mark}"
        later = [sequence for sequence in range(1, mark + 1) if published[topic][sequence - 1] > returned_us]
        first_owed = min(later)
        missed += len(set(range(first_owed, mark + 1)) - set(given))
        missed += sum(behind - before - 1 for before, behind in pairwise(sorted(set(given))))
        twice += len(given) - len(set(given))
        early += given[0] < first_owed
        assert given == list(range(given[0], given[-1] + 1)), f"{topic}, mark {mark}: {given}"
    assert (len(rows), missed, twice) == (rounds, 0, 0)
    for node in {a, b}:
        audit = ask(node, "audit")
        assert (audit["balanced"], audit["lost_ranges"]) == (True, [])
    print(f"FIGURES {rounds} barriers {where}: 0 missed, 0 twice, {early} began before the first event owed")


@pytest.mark.parametrize(
    "count", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(300)], id="long")]
)
def test_since_begins_exactly_where_it_says_while_events_pass(stage, count):
    node, draw = stage.cluster.node("a"), stage.draw
    topics = [f"T.{number}" for number in range(count)]
    sizes = {topic: [draw.randint(1, 30) for _ in range(3)] for topic in topics}
    with mesh.connect(node.data_dir, name="since") as bus:

        def publish(part):
            numbers = [(topic, i) for topic in topics for i in range(sizes[topic][part])]
            draw.shuffle(numbers)
            receipts = [bus.publish(topic, {"part": part, "i": i}) for topic, i in numbers]
            assert {receipt.wait(15.0).status for receipt in receipts} == {"accepted"}

        publish(0)
        elapsed(1.0)
        middle = time()
        elapsed(1.0)
        publish(1)
        given = {(topic, how): [] for topic in topics for how in ("earliest", "ago", "moment", "now")}
        for (topic, how), into in given.items():
            since = {"ago": time() - middle, "moment": datetime.fromtimestamp(middle, UTC)}.get(how, how)
            bus.subscribe(topic, lambda event, into=into: into.append(event.sequence), name=how, since=since)
        publish(2)
        first = {"earliest": 0, "ago": 1, "moment": 1, "now": 2}
        owed = {(topic, how): sum(sizes[topic][first[how] :]) for topic, how in given}
        eventually(lambda: all(len(given[each]) >= owed[each] for each in given), 60.0, "all that is owed")
        expected = {
            (topic, how): list(range(sum(sizes[topic][: first[how]]) + 1, sum(sizes[topic]) + 1))
            for topic, how in given
        }
        assert given == expected
    assert ask(node, "audit")["balanced"]
