"""Looking at dead letters against a real node."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import mesh
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Shell, Terminal, Trainer

LETTER_KEYS = {
    *("id", "event_id", "topic", "consumer", "state", "attempts"),
    *("error_type", "error", "created_at", "next_attempt_at", "node", "payload"),
}
SUMMARY_KEYS = {"waiting", "dead", "resolved", "by_topic", "by_consumer", "oldest_age_s", "healthy", "message"}


def test_the_summary_as_json_has_the_fixed_keys_and_exits_0_also_when_unhealthy(
    shell: Shell, one_node: LocalMesh
) -> None:
    assert set(shell("dlq", "--json").json) == SUMMARY_KEYS
    Trainer(one_node).fail(shell, 1, 2)
    said = shell("dlq", "--json")
    assert said.code == 0
    assert set(said.json) == SUMMARY_KEYS
    assert [said.json[key] for key in ("dead", "by_consumer", "healthy")] == [2, {"feedback": 2}, False]


def test_the_summary_for_people_begins_with_the_health(shell: Shell, one_node: LocalMesh) -> None:
    assert shell("dlq").out.splitlines()[0] == "no dead letters"
    Trainer(one_node).fail(shell, 1)
    lines = shell("dlq").out.splitlines()
    assert lines[0].startswith("1 dead; read them with `mesh dlq list`")
    assert lines[0].endswith("then `mesh dlq retry --all`")  # one line, however long: commands in it are copied
    assert "  1 TRAINING_COMPLETED" in lines
    assert "  1 feedback" in lines
    assert max(map(len, lines[1:])) <= 80


def test_the_list_as_json_is_a_list_of_letters_with_the_fixed_keys(shell: Shell, one_node: LocalMesh) -> None:
    assert shell("dlq", "list", "--json").json == []
    first, second = Trainer(one_node).fail(shell, 1, 2)
    rows = shell("dlq", "list", "--json").json
    assert [set(row) for row in rows] == [LETTER_KEYS, LETTER_KEYS]
    assert [row["id"] for row in rows] == [first, second]
    expected = {"topic": "TRAINING_COMPLETED", "consumer": "feedback", "state": "dead", "attempts": 1}
    assert expected.items() <= rows[0].items()
    assert {"error_type": "ValueError", "error": "no config 1", "payload": {"n": 1}}.items() <= rows[0].items()


def test_the_list_is_bounded_and_says_when_there_is_more(shell: Shell, one_node: LocalMesh) -> None:
    trainer = Trainer(one_node)
    ids = trainer.fail(shell, 1, 2, 3)
    assert [row["id"] for row in shell("dlq", "list", "--limit", 2, "--json").json] == ids[:2]
    assert shell("dlq", "list", "--limit", 2).out.splitlines()[-1] == "there are more; see --limit"
    assert "there are more" not in shell("dlq", "list", "--limit", 3).out


def test_the_list_asks_again_when_an_answer_does_not_hold_everything(shell: Shell, one_node: LocalMesh) -> None:
    bus = one_node.connect(name="trainer")
    bus.subscribe("BIG", lambda event: 1 / 0, name="feedback", attempts=1)
    for number in range(5):
        bus.publish("BIG", {"n": number, "text": "x" * 700_000}).wait(10)
    trainer = Trainer(one_node)
    trainer.fail(shell, 1)
    rows = shell("dlq", "list", "--json").json
    assert [row["payload"]["n"] for row in rows] == [0, 1, 2, 3, 4, 1]


def test_the_list_is_filtered_by_state_topic_and_consumer(shell: Shell, one_node: LocalMesh) -> None:
    dead = Trainer(one_node)
    dead.fail(shell, 1)
    waiting = Trainer(one_node, "gpu.*", attempts=5)
    waiting.fail(shell, 2, topic="gpu.health")

    def numbers(*filters: str) -> list[int]:
        return [row["payload"]["n"] for row in shell("dlq", "list", *filters, "--json").json]

    assert numbers("--state", "dead") == [1]
    assert numbers("--state", "waiting") == [2]
    assert numbers("--topic", "gpu.*") == [2]
    assert numbers("--topic", "TRAINING_COMPLETED") == [1]
    assert numbers("--consumer", "feed*") == [1, 2]
    assert numbers("--consumer", "nobody") == []
    assert shell("dlq", "list", "--consumer", "nobody").out == "no letters\n"


def test_the_list_for_people_fits_80_columns_whatever_the_names_and_errors(shell: Shell, one_node: LocalMesh) -> None:
    bus = one_node.connect(name="trainer")

    def fail(event: object) -> None:
        raise RuntimeError("what \x1b[31mhappened " + "and more " * 50 + "\nsecond line")

    topic = "cluster.gpu-17.training.health.regression_detected"
    bus.subscribe(topic, fail, name="a.very.long.package.FeedbackLoop.on_training_completed", attempts=1)
    bus.publish(topic, {}).wait(10)
    eventually(lambda: shell("dlq", "--json").json["dead"], what="the letter")
    said = shell("dlq", "list")
    assert max(map(len, said.out.splitlines())) <= 80
    assert "\x1b" not in said.out
    assert "second line" not in said.out
    squeezed = "".join(said.out.split())
    assert "and more".replace(" ", "") in squeezed


def test_one_letter_has_payload_and_traceback(shell: Shell, one_node: LocalMesh) -> None:
    (letter,) = Trainer(one_node).fail(shell, 1)
    found = shell("dlq", "show", letter, "--json").json
    extras = {"kind", "traceback", "retries", "first_failed_at", "last_failed_at"}
    assert set(found) == LETTER_KEYS | extras
    assert found["payload"] == {"n": 1}
    assert found["traceback"].splitlines()[-1] == "ValueError: no config 1"
    lines = shell("dlq", "show", letter).out.splitlines()
    assert lines[0] == f"letter        {letter}"
    assert "error         ValueError: no config 1" in lines
    assert '    "n": 1' in lines
    assert "  ValueError: no config 1" in lines


def test_what_people_copy_from_a_letter_is_on_one_line_however_narrow_the_terminal(
    shell: Shell, one_node: LocalMesh, tmp_path: Path
) -> None:
    where = str(tmp_path.joinpath(*["a_directory_with_a_long_name"] * 5, "failing.py"))
    error = "no such model: " + "hex8_2p/checkpoints/" * 20 + "latest.pt"
    handlers: dict[str, Callable[[mesh.Event], None]] = {}
    exec(compile(f"def handle(event):\n    raise RuntimeError({error!r})", where, "exec"), handlers)
    topic, note = "gpu." + "health" * 30, "what happened " * 40
    bus = one_node.connect(name="trainer")
    bus.subscribe(topic, handlers["handle"], name="feedback" * 20, attempts=1)
    event = bus.publish(topic, {"note": note}).wait(10).event_id
    eventually(lambda: shell("dlq", "--json").json["dead"], what="the letter")
    lines = shell("dlq", "show", 1).out.splitlines()
    assert f"event         {event}" in lines
    assert f"consumer      {'feedback' * 20}" in lines
    assert f"error         RuntimeError: {error}" in lines
    assert f'    "note": "{note}"' in lines
    assert f'    File "{where}", line 2, in handle' in lines
    assert f"  RuntimeError: {error}" in lines


def test_in_a_pipe_a_letter_is_one_line(one_node: LocalMesh, shell: Shell, terminal: Terminal) -> None:
    Trainer(one_node, "cluster.*").fail(shell, 1, 2, topic="cluster." + "training." * 15)
    del terminal.environment["COLUMNS"]
    header, *lines = terminal.run("dlq", "list").out.splitlines()
    assert header.split() == ["id", "state", "age", "next", "tries", "consumer,", "topic", "error"]
    ends = [f"feedback, cluster.{'training.' * 15} ValueError: no config {number}" for number in (1, 2)]
    assert [line.split(maxsplit=5)[5] for line in lines] == ends
    groups = terminal.run("dlq", "errors").out.splitlines()
    assert len(groups) == 2
    assert "ValueError, cli/shell.py:" in groups[1]


def test_a_letter_that_is_not_there_exits_1_and_says_where_to_look(shell: Shell) -> None:
    said = shell("dlq", "show", 99)
    assert (said.code, said.out, said.err) == (1, "", "mesh: there is no letter 99 at this node; see `mesh dlq list`\n")


def test_errors_are_grouped_with_the_most_frequent_first(shell: Shell, one_node: LocalMesh) -> None:
    assert shell("dlq", "errors").out == "no letters\n"
    trainer = Trainer(one_node)
    trainer.fail(shell, 1, topic="TRAINING_FAILED")
    trainer.fail(shell, 2, 3)
    rows = shell("dlq", "errors", "--json").json
    assert [set(row) for row in rows] == [
        {"error_type", "place", "topic", "consumer", "count", "first_failed_at", "last_failed_at"}
    ] * 2
    assert [(row["topic"], row["count"]) for row in rows] == [("TRAINING_COMPLETED", 2), ("TRAINING_FAILED", 1)]
    lines = shell("dlq", "errors").out.splitlines()
    assert [line.split()[-1] for line in (lines[1], lines[3])] == ["ValueError", "ValueError"]
    assert "cli/shell.py:" in lines[2]
    assert lines[2].endswith("in _handle")


def test_watching_as_json_prints_one_summary_a_line_and_ends_with_ctrl_c_and_0(terminal: Terminal) -> None:
    process = terminal.start("dlq", "watch", "--interval", 0.1, "--json")
    process.wait_lines(2)
    process.signal(signal.SIGINT)
    said = process.end()
    assert (said.code, said.err) == (0, "")
    assert {frozenset(json.loads(line)) for line in said.out.splitlines()} == {frozenset(SUMMARY_KEYS)}


def test_watching_shows_summary_and_errors(shell: Shell, one_node: LocalMesh, terminal: Terminal) -> None:
    Trainer(one_node).fail(shell, 1)
    process = terminal.start("dlq", "watch")
    process.wait_lines(12)
    process.signal(signal.SIGINT)
    said = process.end()
    assert (said.code, said.err) == (0, "")
    titles = [line for line in said.out.splitlines() if line in ("by topic", "by consumer", "errors")]
    assert titles == ["by topic", "by consumer", "errors"]
