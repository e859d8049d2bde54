"""An event whose handler fails: tried again for that handler only, kept as a letter, mended, retried, gone."""

from __future__ import annotations

import json

import pytest

import mesh
from mesh import failures
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


def test_another_subscription_of_the_same_program_does_not_see_it_again(cluster):
    node = cluster.node("a")
    fine, tried = [], []

    def fail(event):
        tried.append((event.id, event.attempt))
        raise ValueError(event.id)

    with mesh.connect(node.data_dir, name="both") as bus:
        bus.subscribe(TOPIC, lambda event: fine.append((event.id, event.attempt)), name="fine")
        bus.subscribe(TOPIC, fail, name="failing", attempts=3, backoff=(0.0, 0.1))
        bus.subscribe("*", lambda event: event.topic == TOPIC and fine.append((event.id, event.attempt)), name="all")
        (event,) = publish(node, 1)
        dead(node)
        publish(node, 2)
        eventually(lambda: len(fine) == 4)

    assert tried[:3] == [(event, 1), (event, 2), (event, 3)]
    assert sorted(fine) == [(event, 1)] * 2 + [(event[:-1] + "2", 1)] * 2


def test_an_event_waits_between_its_attempts_no_longer_than_its_backoff_says(cluster):
    node = cluster.node("a")
    patient = {"attempts": 2, "backoff": [500_000.0, 900_000.0]}  # so that none draws a wait of a second or two
    cluster.program("failing", node, pattern=TOPIC, name="patient", options=patient)
    failing = cluster.program(
        "failing", node, pattern=TOPIC, name="quick", options={"attempts": 5, "backoff": [0.2, 0.3]}
    )
    publish(node, *range(8))
    rows = dead(node, 8)

    patient = [row for row in rows if row["consumer"] == "patient"]
    assert [row["state"] for row in patient] == ["waiting"] * 8
    waits = [row["next_attempt_at"] - row["created_at"] for row in patient]
    assert all(0 <= wait <= 500_000 for wait in waits)
    assert len({round(wait, 3) for wait in waits}) == 8  # jitter: not all at once
    assert sorted(attempt for _, attempt in calls(failing)) == sorted([1, 2, 3, 4, 5] * 8)


EXPECTED = {
    "error": ("error", "ConnectionError", "evaluation server is busy (game 7)"),
    "async error": ("error", "ConnectionError", "evaluation server is busy (game 7)"),
    "slow": ("timeout", "TimeoutError", "the handler ran longer than 0.3 s"),
    "async slow": ("timeout", "TimeoutError", "the handler ran longer than 0.3 s"),
}
"""What each kind of handler leaves behind: kind of failure, error type, message."""

ROW = {
    *("id", "event_id", "topic", "consumer", "state", "attempts", "error_type", "error"),
    *("created_at", "next_attempt_at", "node", "payload"),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_retry_runs_exactly_the_handler_that_failed_until_it_succeeds(cluster, kind):
    node = cluster.node("a")
    options = {"attempts": 2, "backoff": [0.0, 0.0], "timeout": 0.3}
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", kind=kind, options=options)
    healthy = cluster.program("subscriber", node, pattern=TOPIC, name="healthy")
    (event,) = publish(node, 7)
    (row,) = dead(node)
    said = {"event_id": event, "topic": TOPIC, "consumer": "curriculum", "node": "a", "payload": {"i": 7, "x": "ü"}}
    said |= dict(zip(("error_type", "error"), EXPECTED[kind][1:], strict=True))
    assert set(row) == ROW
    assert row.items() >= {**said, "state": "dead", "attempts": 2, "next_attempt_at": None}.items()
    letter = ask(node, "dlq.show", letter=row["id"])["letter"]
    assert letter.items() >= {**row, "kind": EXPECTED[kind][0]}.items()
    assert "failing.py" in letter["traceback"]

    def retry():
        assert ask(node, "dlq.retry", ids=[row["id"]], actor="test")["accepted"] == [row["id"]]

    retry()  # not mended yet: tried once more, and dead again
    eventually(lambda: [(each["state"], each["attempts"]) for each in letters(node)] == [("dead", 3)])
    failing.say()
    failing.expect("mended")
    retry()
    eventually(lambda: letters(node) == [])
    healthy.end()

    assert calls(failing) == [(event, attempt) for attempt in (1, 2, 3, 4)]
    assert [(line["handled"], line["attempt"]) for line in failing.said("handled")] == [(event, 4)]
    assert [e["event"] for e in healthy.said("event")] == [event]
    books = {each["consumer"]: each for each in ask(node, "audit")["consumers"]}["curriculum"]
    assert books.items() >= {"published": 1, "settled": 1, "dead": 0, "waiting": 0, "balanced": True}.items()


def test_the_commands_show_a_letter_in_full_and_retry_it(cluster):
    node = cluster.node("a")
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=ONCE)
    (event,) = publish(node, 7)
    (row,) = dead(node)
    letter = str(row["id"])

    assert json.loads(command(node, "dlq", "list", "--json").stdout) == [row]
    shown = json.loads(command(node, "dlq", "show", letter, "--json").stdout)
    assert shown == ask(node, "dlq.show", letter=row["id"])["letter"]
    text = command(node, "dlq", "show", letter).stdout
    assert all(part in text for part in (event, "curriculum", *EXPECTED["error"][1:], '"ü"', "failing.py", "in fail"))
    again = command(node, "dlq", "retry", letter, "--wait", "20")
    assert again.returncode == 1
    assert EXPECTED["error"][2] in again.stdout
    failing.say()
    failing.expect("mended")
    assert command(node, "dlq", "retry", letter, "--wait", "20").returncode == 0
    assert letters(node) == []
    assert calls(failing) == [(event, 1), (event, 2), (event, 3)]


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


@pytest.mark.parametrize("durable", [False, True])
def test_what_fails_while_the_node_is_away_is_a_letter_when_it_is_back(cluster, durable):
    node = cluster.node("a")
    options = {**ONCE, "durable": durable, "timeout": 0.8}
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", kind="slow", options=options)
    events = publish(node, 1, 2)
    failing.expect("attempt")
    node.kill()
    failing.expect("attempt", 2)  # the first has failed and could not be reported
    node.start()

    assert [row["event_id"] for row in dead(node, 2)] == events
    assert calls(failing) == [(event, 1) for event in events]
    books = {row["consumer"]: row for row in ask(node, "audit")["consumers"]}["curriculum"]
    assert books.items() >= {"published": 2, "dead": 2, "lost": 0, "in_flight": 0, "balanced": True}.items()


def test_a_discarded_letter_is_gone_for_good_and_in_the_books(cluster):
    node = cluster.node("a")
    failing = cluster.program("failing", node, pattern=TOPIC, name="curriculum", options=ONCE)
    publish(node, 1, 2)
    first, second = [row["id"] for row in dead(node, 2)]
    assert command(node, "dlq", "discard", str(first)).returncode == 0
    assert [row["id"] for row in letters(node)] == [second]
    node.kill()
    node.start()

    assert [row["id"] for row in letters(node)] == [second]
    assert command(node, "dlq", "discard", str(first)).returncode == 1
    assert command(node, "dlq", "show", str(first)).returncode == 1
    books = {row["consumer"]: row for row in ask(node, "audit")["consumers"]}["curriculum"]
    assert (books["published"], books["dead"], books["expired"], books["balanced"]) == (2, 1, 1, True)
    assert len(calls(failing)) == 2


def test_a_failure_that_the_node_cannot_take_in_holds_up_its_own_stream_alone_and_is_told_once(
    cluster, monkeypatch, caplog
):
    well_made = failures._failure

    def made(job, *said):
        return {**well_made(job, *said), **({"attempt": 0} if job.event.topic == "SPOILT" else {})}

    def handler(event):
        if event.payload["fails"]:
            raise ValueError("no")

    monkeypatch.setattr(failures, "_failure", made)
    node = cluster.node("a")
    with mesh.connect(node.data_dir) as bus:
        bus.subscribe("S*", handler, name="c", durable=True)
        for topic, fails in (("SOUND", True), ("SPOILT", True), ("SOME", False), ("SPOILT", False)):
            bus.publish(topic, {"fails": fails}).wait(10.0)
        books = {"published": 4, "settled": 1, "waiting": 1, "in_flight": 2}
        eventually(lambda: books.items() <= ask(node, "audit")["consumers"][0].items(), what="the rest is booked")
        bus.publish("SOME", {"fails": False, "n": 2}).wait(10.0)
        eventually(lambda: ask(node, "audit")["consumers"][0]["settled"] == 2)
    audit = ask(node, "audit")
    assert (audit["balanced"], audit["consumers"][0]["in_flight"]) == (True, 2)
    told = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert told == [
        f"subscription c: the node does not take in what is reported of stream {node.origin}/SPOILT: "
        "a failure of event 1 has a field of a wrong type or range"
    ]
    assert (
        sum("reports what cannot be true" in line for line in (node.data_dir / "node.log").read_text().splitlines())
        == 1
    )
