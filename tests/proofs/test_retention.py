"""A consumer that stays behind what the log keeps: it gets the rest in order, and what it lost is named exactly."""

from __future__ import annotations

import json

import pytest

from tests.conditions import eventually
from tests.processes.cluster import ask, command
from tests.proofs.evidence import (
    assert_ordered_and_single_in_every_run,
    count,
    lacking,
    lost,
    ranges,
)
from tests.proofs.stage import continued, stopped

pytestmark = pytest.mark.processes

KEPT = 1000
TOPICS = ["T.loss", "T.game", "T.model"]
DURABLE = {"durable": True, "since": "earliest", "queue": 50}


def away(archive, how):
    """The consumer stops taking events."""
    match how:
        case "killed":
            archive.kill()
        case "closed":
            archive.do("close", "closed")
        case "halted":
            stopped(archive)


def back(archive, how):
    """It takes events again."""
    match how:
        case "killed":
            archive.start()
        case "closed":
            archive.do("subscribe", "subscribed")
        case "halted":
            continued(archive)


def published(stage, more):
    """Wait until so many more events are receipted."""
    before = stage.called("source")
    eventually(lambda: stage.called("source") >= before + more, 60.0, f"{more} more receipts")


def both(calls, named):
    """What was handled and is named as lost all the same."""
    held = {stream: {n for first, last in each for n in range(first, last + 1)} for stream, each in named.items()}
    found = {stream: ranges({c.sequence for c in calls if c.stream == stream} & held[stream]) for stream in held}
    return {stream: each for stream, each in found.items() if each}


def unite(*parts):
    """All the ranges as one."""
    united = {}
    for part in parts:
        for stream, each in part.items():
            united.setdefault(stream, set()).update(n for first, last in each for n in range(first, last + 1))
    return {stream: ranges(sequences) for stream, sequences in united.items()}


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(600)], id="long")])
@pytest.mark.parametrize("how", ["killed", "closed", "halted"])
def test_behind_retention_the_rest_comes_in_order_and_the_loss_is_named_exactly(stage, how, rounds):
    node = stage.cluster.node("a", variables={"MESH_NODE_LOG_EVENTS": str(KEPT)})
    archive = stage.consumer("archive", node, options=DURABLE)
    source = stage.source("source", node, TOPICS, rate=1500)
    source.program.say(do="start")
    for _ in range(rounds):
        published(stage, stage.draw.randint(100, 500))
        away(archive, how)
        published(stage, stage.draw.randint(3 * KEPT, 5 * KEPT) + (25_000 if how == "halted" else 0))
        back(archive, how)
        stage.settled(node, "archive") if stage.draw.random() < 0.5 else None
    source.do("stop", "stopped")
    stage.settled(node, "archive")

    calls = stage.calls("archive")
    heads = {
        (row["origin"], row["topic"]): row["published"]
        for row in ask(node, "audit")["streams"]
        if row["topic"] in TOPICS
    }
    audit = ask(node, "audit")
    named = lost(audit["lost_ranges"], "archive")
    twofold = both(calls, named)
    assert unite(lacking(calls, heads), twofold) == named
    assert how == "killed" or not twofold  # only a crash can take the word along that an event was handled
    assert count(named) > count(twofold)
    if how != "closed":
        assert_ordered_and_single_in_every_run("archive", calls)
    row = next(row for row in json.loads(command(node, "consumers", "--json").stdout) if row["consumer"] == "archive")
    assert (row["lost"], row["lag"]) == (count(named), 0)
    books = next(row for row in audit["consumers"] if row["consumer"] == "archive")
    assert (books["lost"], books["published"]) == (count(named), sum(heads.values()))
    assert audit["balanced"]
    assert (
        books["settled"] == len({call.event for call in calls}) - count(twofold) == sum(heads.values()) - count(named)
    )
    assert {row["reason"] for row in audit["lost_ranges"]} == {"gone from the log"}
    figures = f"{sum(heads.values())} published, {count(named)} named lost, {count(twofold)} of them handled"
    print(f"FIGURES {how} {rounds} times: {figures}")
