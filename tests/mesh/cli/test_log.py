"""`mesh log` against a real node."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from typing import Any

import pytest

from node.testing import LocalMesh
from tests.mesh.cli.shell import Shell, Terminal

ROW_KEYS = {
    *("id", "topic", "origin", "sequence", "position", "time"),
    *("appended_at", "publisher", "number", "hash", "meta", "payload"),
}


def fill(one_node: LocalMesh, *topics: str, dull: int = 0) -> None:
    """One event of each topic, numbered; before them `dull` batches of something else."""
    bus = one_node.connect(name="publisher")
    for number in range(dull):
        bus.publish(f"dull.{number % 2}", {"n": number}, dedup=False)
    for number, topic in enumerate(topics):
        bus.publish(topic, {"n": number}, dedup=False)
    assert bus.flush(20)


def payloads(rows: list[Any]) -> list[int]:
    return [row["payload"]["n"] for row in rows]


def test_stats_as_json_has_size_and_streams(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, "A", "B", "A")
    said = shell("log", "stats", "--json")
    assert said.code == 0
    assert set(said.json) == {"batches", "events", "bytes", "first_position", "last_position", "streams"}
    assert [(row["topic"], row["head"], row["in_log"]) for row in said.json["streams"]] == [("A", 2, 2), ("B", 1, 1)]


def test_stats_for_people_has_a_row_per_stream(shell: Shell, one_node: LocalMesh) -> None:
    assert shell("log", "stats").out.splitlines()[0] == "events     0"
    fill(one_node, "A", "B", "A")
    lines = shell("log", "stats").out.splitlines()
    assert lines[0] == "events     3"
    assert lines[3] == "positions  1 to 3"
    assert lines[-2].split() == [one_node.nodes[0].description["origin"], "A", "2", "2"]


def test_the_tail_is_the_last_events_with_the_oldest_first(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, *["A"] * 12)
    said = shell("log", "tail", "--json")
    assert said.code == 0
    assert [set(row) for row in said.rows] == [ROW_KEYS] * 10
    assert payloads(said.rows) == list(range(2, 12))
    assert payloads(shell("log", "tail", "-n", 3, "--json").rows) == [9, 10, 11]
    assert shell("log", "tail", "-n", 0).out == ""


def test_the_tail_for_people_is_a_line_an_event(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, "A")
    time, id_, payload = shell("log", "tail").out.rstrip("\n").split("  ")
    assert len(time) == len("2026-01-05 12:03:04.123")
    assert (id_, payload) == (f"{one_node.nodes[0].description['origin']}/A/1", '{"n":0}')


def test_the_tail_of_a_rare_topic_looks_through_many_pages(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, "rare.1", "rare.2")
    fill(one_node, dull=1500)
    assert shell("log", "stats", "--json").json["batches"] > 600
    assert payloads(shell("log", "tail", "rare.*", "--json").rows) == [0, 1]
    assert payloads(shell("log", "tail", "rare.*", "-n", 1, "--json").rows) == [1]
    assert shell("log", "tail", "never").out == ""


def test_following_prints_what_is_new_and_ends_with_ctrl_c_and_0(
    shell: Shell, one_node: LocalMesh, terminal: Terminal
) -> None:
    fill(one_node, "A", "B")
    process = terminal.start("log", "tail", "A", "--follow", "--json")
    process.wait_lines(1)
    fill(one_node, "B", "A")
    lines = process.wait_lines(2)
    process.signal(signal.SIGINT)
    said = process.end()
    assert (said.code, said.err) == (0, "")
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2]


def test_a_replay_prints_everything_since_a_moment_in_order_and_ends(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, "A", "B", dull=1500)
    fill(one_node, "A", "B", "A")
    said = shell("log", "replay", "A", "--since", "earliest", "--json")
    assert said.code == 0
    assert [set(row) for row in said.rows] == [ROW_KEYS] * 3
    assert payloads(said.rows) == [0, 0, 2]
    everything = shell("log", "replay", "*", "--since", "1h", "--json").rows
    assert [row["position"] for row in everything] == list(range(1, 1506))


def test_a_replay_begins_at_the_moment_asked_for(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, "A")
    fill(one_node, "A")
    first, second = shell("log", "tail", "--json").rows
    assert second["appended_at"] > first["appended_at"]
    moment = (first["appended_at"] + second["appended_at"]) / 2
    since = datetime.fromtimestamp(moment, UTC).isoformat()
    assert [row["id"] for row in shell("log", "replay", "*", "--since", since, "--json").rows] == [second["id"]]
    assert shell("log", "replay", "*", "--since", "now").out == ""


def test_one_event_is_shown_in_full(shell: Shell, one_node: LocalMesh) -> None:
    fill(one_node, "A", "B", "A")
    id_ = f"{one_node.nodes[0].description['origin']}/A/2"
    found = shell("log", "show", id_, "--json").json
    assert set(found) == ROW_KEYS
    assert (found["id"], found["payload"]) == (id_, {"n": 2})
    lines = shell("log", "show", id_).out.splitlines()
    assert lines[0] == f"event      {id_}"
    assert lines[-2] == '    "n": 2'


def test_an_event_that_is_not_in_the_log_exits_1(shell: Shell) -> None:
    said = shell("log", "show", "n9.1/A/1")
    assert (said.code, said.out, said.err) == (1, "", "mesh: event n9.1/A/1 is not in the log of n0\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("show", "A"), "'A' is no event id; it looks like ORIGIN/TOPIC/SEQUENCE"),
        (("tail", "a b"), "pattern 'a b' has white space"),
        (("tail", "-n", "-1"), "-n"),
        (("replay", "A"), "Missing option '--since'"),
        (("replay", "A", "--since", "never"), "'never' is no point in time"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(bare_shell: Shell, arguments: tuple[str, ...], error: str) -> None:
    said = bare_shell("log", *arguments)
    assert (said.code, said.out) == (2, "")
    assert error in said.err
    assert said.err.count("\n") == 1
