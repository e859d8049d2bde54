"""An event that kills its consumer's process: after three deaths it is a dead letter, and the consumer gets past it."""

from __future__ import annotations

from collections import Counter

import pytest

import mesh
from tests.conditions import eventually
from tests.processes.cluster import ask

pytestmark = pytest.mark.processes

EVENTS = 8
POISON = 4
DURABLE = {"durable": True, "since": "earliest"}


def publish(node, numbers):
    """Publish one event a number, in as few frames as it takes; returns their ids."""
    with mesh.connect(node.data_dir) as bus:
        return [receipt.wait(10.0).event_id for receipt in [bus.publish("WORK", {"i": i}) for i in numbers]]


def start(cluster, node, **spec):
    """Start a consumer that events of number 4 kill."""
    return cluster.program("poison", node, pattern="WORK", name="worker", **{"poison": [POISON], **spec})


def consumer(node):
    """What the node says of the consumer."""
    (row,) = ask(node, "consumers")["rows"]
    return row


def attached(node):
    """Whether the consumer is there; its program says that it is ready before it subscribes."""
    return [row["state"] for row in ask(node, "consumers")["rows"]] == ["attached"]


def dies(program, node, lag):
    """Let a program die of the event it has in hand, once all but `lag` events are settled; returns what it said."""
    (dying,) = program.expect("dying")
    eventually(lambda: consumer(node)["lag"] == lag, what=f"{lag} unsettled events")
    program.say()
    eventually(lambda: not program.running)
    eventually(lambda: consumer(node)["state"] == "detached")
    return dying["dying"], dying["attempt"]


def calls(*programs):
    """Every event that was handled to its end: (event, attempt)."""
    return [(line["handled"], line["attempt"]) for program in programs for line in program.said("handled")]


def books(node):
    """The audit's row of the consumer; the whole audit balances."""
    audit = ask(node, "audit")
    assert audit["balanced"]
    (row,) = audit["consumers"]
    return {key: row[key] for key in ("published", "settled", "waiting", "dead", "lost", "in_flight")}


@pytest.mark.parametrize(("how", "kind"), [("exit", "plain"), ("kill", "plain"), ("kill", "async")])
def test_the_fourth_start_gets_past_the_event_that_killed_three_and_a_mended_program_is_given_it_again(
    cluster, how, kind
):
    node = cluster.node("a")
    ids = publish(node, range(EVENTS))
    options = {"how": how, "kind": kind, "options": DURABLE}
    victims = [start(cluster, node, **options)]
    deaths = [dies(victims[0], node, EVENTS - POISON)]
    for _ in range(2):
        assert ask(node, "dlq.list")["rows"] == []
        victims.append(start(cluster, node, **options))
        deaths.append(dies(victims[-1], node, EVENTS - POISON))
    assert deaths == [(ids[POISON], 1)] * 3

    survivor = start(cluster, node, **options)
    survivor.expect("handled", EVENTS - POISON - 1)
    eventually(lambda: consumer(node)["lag"] == 0)
    assert calls(*victims, survivor) == [(id_, 1) for id_ in ids if id_ != ids[POISON]]
    (letter,) = ask(node, "dlq.list")["rows"]
    assert {key: letter[key] for key in ("event_id", "consumer", "state", "attempts", "error_type")} == {
        "event_id": ids[POISON],
        "consumer": "worker",
        "state": "dead",
        "attempts": 3,
        "error_type": "ProcessDied",
    }
    assert ask(node, "dlq.show", letter=letter["id"])["letter"]["kind"] == "crash"
    assert books(node) == {"published": 8, "settled": 7, "waiting": 0, "dead": 1, "lost": 0, "in_flight": 0}

    survivor.end()
    mended = start(cluster, node, **options | {"poison": []})
    eventually(lambda: attached(node))
    assert ask(node, "dlq.retry", ids=[letter["id"]])["refused"] == []
    mended.expect("handled")
    eventually(lambda: ask(node, "dlq.list")["rows"] == [])
    assert calls(mended) == [(ids[POISON], 4)]
    assert books(node) == {"published": 8, "settled": 8, "waiting": 0, "dead": 0, "lost": 0, "in_flight": 0}


def test_a_redelivery_that_kills_the_process_is_one_more_failed_attempt(cluster):
    node = cluster.node("a")
    options = {"first": "fail", "options": {"attempts": 3, "backoff": [0.0, 0.0]}}
    first = start(cluster, node, **options)
    eventually(lambda: attached(node))
    ids = publish(node, range(POISON + 1))
    assert dies(first, node, 0) == (ids[POISON], 2)
    (letter,) = ask(node, "dlq.list")["rows"]
    assert (letter["state"], letter["attempts"], letter["error_type"]) == ("waiting", 2, "ProcessDied")

    second = start(cluster, node, **options)
    assert dies(second, node, 0) == (ids[POISON], 3)
    (letter,) = ask(node, "dlq.list")["rows"]
    assert (letter["state"], letter["attempts"], letter["error_type"]) == ("dead", 3, "ProcessDied")
    assert Counter(calls(first, second)) == Counter((id_, 1) for id_ in ids[:POISON])
    assert books(node) == {"published": 5, "settled": 4, "waiting": 0, "dead": 1, "lost": 0, "in_flight": 0}


def test_a_consumer_that_is_killed_between_two_events_blames_none(cluster):
    node = cluster.node("a")
    ids = publish(node, range(POISON))
    for _ in range(4):
        program = start(cluster, node, options=DURABLE)
        eventually(lambda: attached(node))
        eventually(lambda: consumer(node)["lag"] == 0)
        program.kill()
        eventually(lambda: consumer(node)["state"] == "detached")
    assert ask(node, "dlq.list")["rows"] == []
    survivor = start(cluster, node, options=DURABLE, poison=[])
    more = publish(node, range(EVENTS, 2 * EVENTS))
    survivor.expect("handled", EVENTS)
    assert [event for event, _ in calls(*cluster.programs)] == [*ids, *more]
