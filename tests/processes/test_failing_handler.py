"""An event whose handler fails: tried again for that handler only, kept as a letter, mended, retried, gone."""

from __future__ import annotations

import json

import pytest

import mesh
from tests.conditions import eventually
from tests.processes.cluster import ask, command

pytestmark = pytest.mark.processes

TOPIC = "EVALUATION_COMPLETED"
QUICK = {"attempts": 3, "backoff": [0.05, 0.2]}
ONCE = {"attempts": 1}


def publish(node, *numbers):
    """Publish one event a number; returns their ids."""
    with mesh.connect(node.data_dir) as bus:
        return [bus.publish(TOPIC, {"i": i, "x": "ü"}).wait(10.0).event_id for i in numbers]


def letters(node, **fields):
    """The node's letters as programs see them."""
    return ask(node, "dlq.list", **fields)["rows"]


def dead(node, count=1):
    """Wait until so many letters are dead; returns all letters."""
    eventually(lambda: ask(node, "dlq.summary")["dead"] == count, what=f"{count} dead letters")
    return letters(node)


def calls(program):
    """The calls of the handler so far: (event, attempt)."""
    return [(line["event"], line["attempt"]) for line in program.said("at")]


def test_only_the_consumer_that_failed_is_given_the_event_again_until_its_attempts_are_used_up(cluster):
    node = cluster.node("a")
    healthy = cluster.program("subscriber", node, pattern="*", name="healthy")
    failing = cluster.program("failing", node, pattern=TOPIC, name="failing", options=QUICK)
    other = cluster.program("failing", node, pattern="*", name="mended", options=QUICK, mended=True)
    one, two = publish(node, 1, 2)
    rows = dead(node, 2)
    for program in (healthy, other):
        program.end()

    tries = {event: [attempt for each, attempt in calls(failing) if each == event] for event in (one, two)}
    assert tries == {one: [1, 2, 3], two: [1, 2, 3]}
    own = [e for e in healthy.said("event") if e["topic"] == TOPIC]
    assert [(e["event"], e["attempt"], e["replayed"]) for e in own] == [(one, 1, False), (two, 1, False)]
    assert [call for call in calls(other) if call[0] in (one, two)] == [(one, 1), (two, 1)]
    assert sorted(row["event_id"] for row in rows) == sorted((one, two))
    assert {(row["consumer"], row["state"], row["attempts"]) for row in rows} == {("failing", "dead", 3)}


def test_an_event_waits_between_its_attempts_no_longer_than_its_backoff_says(cluster):
    node = cluster.node("a")
    cluster.program("failing", node, pattern=TOPIC, name="patient", options={"attempts": 2, "backoff": [500.0, 900.0]})
    failing = cluster.program(
        "failing", node, pattern=TOPIC, name="quick", options={"attempts": 5, "backoff": [0.2, 0.3]}
    )
    publish(node, *range(8))
    rows = dead(node, 8)

    patient = [row for row in rows if row["consumer"] == "patient"]
    assert [row["state"] for row in patient] == ["waiting"] * 8
    waits = [row["next_attempt_at"] - row["created_at"] for row in patient]
    assert all(0 <= wait <= 500 for wait in waits)
    assert len({round(wait, 3) for wait in waits}) == 8  # jitter: not all at once
    assert sorted(attempt for _, attempt in calls(failing)) == sorted([1, 2, 3, 4, 5] * 8)


@pytest.mark.parametrize(
    ("kind", "error_type", "error"),
    [
        ("error", "ConnectionError", "evaluation server is busy (game 7)"),
        ("async error", "ConnectionError", "evaluation server is busy (game 7)"),
        ("slow", "TimeoutError", "the handler ran longer than 0.3 s"),
        ("async slow", "TimeoutError", "the handler ran longer than 0.3 s"),
    ],
)
def test_the_letter_tells_everything_and_a_retry_after_mending_ends_it(cluster, kind, error_type, error):
    node = cluster.node("a")
    options = {"attempts": 2, "backoff": [0.0, 0.0], "timeout": 0.3}
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", kind=kind, options=options)
    healthy = cluster.program("subscriber", node, pattern=TOPIC, name="healthy")
    (event,) = publish(node, 7)
    letter = dead(node)[0]["id"]

    row = json.loads(command(node, "dlq", "list", "--json").stdout)[0]
    assert set(row) == {
        *("id", "event_id", "topic", "consumer", "state", "attempts", "error_type", "error"),
        *("created_at", "next_attempt_at", "node", "payload"),
    }
    expected = {"event_id": event, "topic": TOPIC, "consumer": "curriculum", "state": "dead", "attempts": 2}
    expected |= {"error_type": error_type, "error": error, "node": "a", "payload": {"i": 7, "x": "ü"}}
    assert {key: row[key] for key in expected} == expected
    shown = json.loads(command(node, "dlq", "show", str(letter), "--json").stdout)
    assert {key: shown[key] for key in expected} == expected
    assert shown["kind"] == ("timeout" if "slow" in kind else "error")
    assert "failing.py" in shown["traceback"]
    text = command(node, "dlq", "show", str(letter)).stdout
    assert all(part in text for part in (event, "curriculum", error_type, error, '"ü"', "failing.py"))

    again = command(node, "dlq", "retry", str(letter), "--wait", "20")  # not mended: tried once, and dead again
    assert again.returncode == 1
    assert [row["attempts"] for row in dead(node)] == [3]
    failing.say()
    failing.expect("mended")
    retried = command(node, "dlq", "retry", str(letter), "--wait", "20")
    assert (retried.returncode, letters(node)) == (0, [])
    assert [(line["handled"], line["attempt"]) for line in failing.said("handled")] == [(event, 4)]
    assert calls(failing) == [(event, 1), (event, 2), (event, 3), (event, 4)]
    healthy.end()
    assert [e["event"] for e in healthy.said("event")] == [event]
    books = {row["consumer"]: row for row in ask(node, "audit")["consumers"]}["curriculum"]
    assert (books["published"], books["settled"], books["dead"], books["waiting"], books["balanced"]) == (
        *(1, 1, 0, 0, True),
    )


def test_a_retry_without_the_consumer_says_so_and_changes_nothing(cluster):
    node = cluster.node("a")
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=ONCE)
    bystander = cluster.program("subscriber", node, pattern=TOPIC, name="bystander")
    publish(node, 1)
    before = dead(node)
    failing.kill()
    letter = before[0]["id"]

    def refused():
        done = command(node, "dlq", "retry", str(letter))
        return done if "no consumer 'curriculum' is attached" in done.stdout + done.stderr else None

    assert eventually(refused).returncode == 1
    assert command(node, "dlq", "retry", "--all").returncode == 1
    assert letters(node) == before
    bystander.end()
    assert len(bystander.said("event")) == 1


def test_letters_survive_the_death_of_the_consumer_and_of_the_node(cluster):
    node = cluster.node("a")
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=ONCE)
    events = publish(node, *range(20))
    before = dead(node, 20)
    failing.kill()
    node.kill()
    node.start()
    after = letters(node)
    mended = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=ONCE, mended=True)
    retried = command(node, "dlq", "retry", "--all", "--wait", "20", "--json")

    assert after == before
    assert retried.returncode == 0, retried
    assert sorted(line["handled"] for line in mended.said("handled")) == sorted(events)
    assert {line["attempt"] for line in mended.said("handled")} == {2}
    assert letters(node) == []
    assert ask(node, "audit")["balanced"]


def test_a_letter_that_waits_goes_to_the_next_process_of_that_name(cluster):
    node = cluster.node("a")
    options = {"attempts": 5, "backoff": [0.3, 0.3]}
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=options)
    (event,) = publish(node, 1)
    eventually(lambda: letters(node))
    failing.kill()
    node.kill()
    node.start()
    attempts = letters(node)[0]["attempts"]
    mended = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=options, mended=True)
    mended.expect("handled")
    eventually(lambda: letters(node) == [])

    assert [(line["handled"], line["attempt"]) for line in mended.said("handled")] == [(event, attempts + 1)]


def test_a_consumer_killed_inside_its_handler_is_given_the_event_again(cluster):
    node = cluster.node("a")
    options = {"attempts": 2, "backoff": [0.0, 0.0]}
    slow = cluster.program("failing", node, pattern=TOPIC, name="curriculum", kind="error", options=ONCE)
    (event,) = publish(node, 1)
    letter = dead(node)[0]["id"]
    slow.kill()
    slow = cluster.program("failing", node, pattern=TOPIC, name="curriculum", kind="slow", options=options)
    assert command(node, "dlq", "retry", str(letter), "--wait", "0").returncode == 0
    slow.expect("attempt")
    slow.kill()
    mended = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=options, mended=True)
    mended.expect("handled")
    eventually(lambda: letters(node) == [])

    assert calls(slow) == [(event, 2)]
    assert calls(mended) == [(event, 2)]


def test_a_discarded_letter_is_gone_for_good_and_in_the_books(cluster):
    node = cluster.node("a")
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=ONCE)
    publish(node, 1, 2)
    first, second = [row["id"] for row in dead(node, 2)]
    assert command(node, "dlq", "discard", str(first)).returncode == 0
    node.kill()
    node.start()

    assert [row["id"] for row in letters(node)] == [second]
    assert command(node, "dlq", "discard", str(first)).returncode == 1
    assert command(node, "dlq", "show", str(first)).returncode == 1
    books = {row["consumer"]: row for row in ask(node, "audit")["consumers"]}["curriculum"]
    assert (books["published"], books["dead"], books["expired"], books["balanced"]) == (2, 1, 1, True)
    assert len(calls(failing)) == 2
