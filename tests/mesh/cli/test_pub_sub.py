"""`mesh pub` and `mesh sub` against a real node."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from typing import Any, cast

import pytest

import mesh.bus
from mesh.bus import EventBus
from mesh.cli.asked import Asked
from mesh.cli.pub_sub import CONSUMER, Receipts, publish_all
from mesh.errors import EventRejected, MeshError, NodeUnreachable
from mesh.receipt import Answer, Answers, Receipt
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Process, Said, Shell, Terminal

EVENT_KEYS = [
    *("id", "topic", "origin", "sequence", "position", "time", "hash"),
    *("attempt", "replayed", "source", "trace", "payload"),
]


def published(shell: Shell, topic: str) -> list[Any]:
    return [row["payload"] for row in shell("log", "tail", topic, "-n", 1000, "--json").rows]


# ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_publishing_prints_the_event_id(shell: Shell, one_node: LocalMesh) -> None:
    said = shell("pub", "A", '{"n": 1}')
    origin = one_node.nodes[0].description["origin"]
    assert (said.code, said.out, said.err) == (0, f"{origin}/A/1\n", "")


def test_a_duplicate_is_fine_and_says_so(shell: Shell) -> None:
    first = shell("pub", "A", '{"n": 1}').out.strip()
    said = shell("pub", "A", '{"n": 1}')
    assert (said.code, said.out) == (0, f"{first}  duplicate: this content was announced before\n")
    assert shell("pub", "A", '{"n": 1}', "--json").rows == [{"event_id": first, "status": "duplicate"}]


def test_without_deduplication_the_same_content_is_another_event(shell: Shell) -> None:
    ids = [shell("pub", "A", '{"n": 1}', "--no-dedup", "--json").rows[0]["event_id"] for _ in range(2)]
    assert [id_.rsplit("/")[-1] for id_ in ids] == ["1", "2"]


def test_publishing_without_json_publishes_an_empty_object_and_source_travels(shell: Shell) -> None:
    shell("pub", "A", "--source", "ops")
    (row,) = shell("log", "tail", "A", "--json").rows
    assert (row["payload"], row["meta"]) == ({}, {"source": "ops"})


def test_an_ephemeral_event_has_no_id(shell: Shell) -> None:
    said = shell("pub", "A", "--ephemeral")
    assert (said.code, said.out) == (0, "sent (ephemeral events have no id)\n")
    assert shell("pub", "A", "--ephemeral", "--json").rows == [{"event_id": None, "status": "accepted"}]
    assert published(shell, "A") == []


def test_a_payload_is_read_from_standard_input(terminal: Terminal, shell: Shell) -> None:
    said = terminal.run("pub", "A", "-", stdin='{"n":\n 1}\n')
    assert said.code == 0
    assert published(shell, "A") == [{"n": 1}]


def test_lines_are_published_in_order_with_one_row_each(terminal: Terminal, shell: Shell) -> None:
    said = terminal.run("pub", "A", "--lines", "--json", stdin='{"n":1}\n\n{"n":2}\n{"n":1}\n{"n":3}')
    assert said.code == 0
    assert [row["status"] for row in said.rows] == ["accepted", "accepted", "duplicate", "accepted"]
    assert said.rows[2]["event_id"] == said.rows[0]["event_id"]
    assert published(shell, "A") == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_line_is_published_and_printed_before_the_next_one_comes(terminal: Terminal) -> None:
    process = terminal.start("pub", "A", "--lines")
    process.say('{"n":1}\n')
    process.wait_lines(1)
    process.say('{"n":2}\n')
    process.wait_lines(2)
    assert process.end().code == 0


def test_many_lines_pass_through_a_small_buffer(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    small = functools.partial(mesh.bus.connect, buffer_events=7)
    monkeypatch.setattr(mesh.bus, "connect", small)
    lines = tmp_path_factory.mktemp("lines") / "lines"
    lines.write_text("".join(f'{{"n":{number}}}\n' for number in range(500)))
    with lines.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        said = shell("pub", "A", "--lines")
    assert (said.code, len(said.out.splitlines())) == (0, 500)
    assert published(shell, "A") == [{"n": number} for number in range(500)]


def test_a_bad_line_ends_with_2_after_the_lines_before_it(terminal: Terminal, shell: Shell) -> None:
    said = terminal.run("pub", "A", "--lines", stdin='{"n":1}\n{"n":2}\nnope\n{"n":3}\n')
    assert (said.code, len(said.out.splitlines())) == (2, 2)
    assert said.err.startswith("mesh: Invalid value: line 3 is no JSON")
    assert published(shell, "A") == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a b",), "topic 'a b' has white space"),
        (("gpu.*",), "topic 'gpu.*' holds '*'"),
        (("@A",), "starts with '@'"),
        (("A", "{"), "the payload is no JSON"),
        (("A", "[1]"), "the payload is no JSON object"),
        (("A", "{}", "--lines"), "--lines reads standard input"),
        ((), "Missing argument 'topic'"),
    ],
)
def test_what_cannot_be_published_exits_2_without_asking_a_node(
    bare_shell: Shell, arguments: tuple[str, ...], error: str
) -> None:
    said = bare_shell("pub", *arguments)
    assert (said.code, said.out) == (2, "")
    assert error in said.err
    assert said.err.count("\n") == 1


def test_a_payload_that_is_too_large_exits_2(shell: Shell) -> None:
    said = shell("pub", "A", json.dumps({"text": "x" * (1 << 20)}))
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("mesh: payload has 1048587 bytes, at most 1048576 are allowed")


@pytest.mark.parametrize("command", [("pub", "A"), ("sub", "A")])
def test_no_node_exits_3_after_the_timeout(bare_shell: Shell, command: tuple[str, ...]) -> None:
    said = bare_shell(*command, "--timeout", 0.2)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("mesh: no node answers at ")
    assert said.err.endswith(" within 0.2 s; is mesh-node running there?\n")


def test_publishing_and_listening_go_to_an_address_too(bare_shell: Shell) -> None:
    with LocalMesh(local_tcp="tcp://127.0.0.1:0") as mesh:
        address = mesh.nodes[0].description["ctl"]
        assert bare_shell("pub", "A", '{"i": 1}', "--node", address).code == 0
        (event,) = bare_shell("sub", "A", "--since", "earliest", "-n", 1, "--json", "--node", address).rows
        assert (event["topic"], event["payload"]) == ("A", {"i": 1})


@pytest.mark.parametrize("command", [("pub", "A"), ("sub", "A"), ("peers",)])
@pytest.mark.parametrize("place", ["", "http://127.0.0.1:1", "tcp://nowhere"])
def test_what_names_no_node_is_wrong_usage(bare_shell: Shell, command: tuple[str, ...], place: str) -> None:
    said = bare_shell(*command, "--node", place)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"mesh: {place!r} ")
    assert "write a data directory or tcp://HOST:PORT" in said.err


class FakeBus:
    """As much of a bus as receipts need."""

    def __init__(self, attached: bool = True) -> None:
        self.attached = attached
        self.place = "/srv/mesh"


def receipts(as_json: bool = False, attached: bool = True) -> Receipts:
    return Receipts(Asked(None, as_json), cast(EventBus, FakeBus(attached)), 0.05)


def answered(answer: Answer) -> Receipt:
    answers = Answers()
    answers.say_all(answer)
    return Receipt(answers, 0)


def rejected() -> Receipt:
    return answered(Answer("rejected", error=EventRejected("the node refused the event (hash): it does not match")))


def accepted(sequence: int) -> Receipt:
    return answered(Answer("accepted", "n0.1/A/", sequence))


def test_a_rejected_event_exits_1_and_the_others_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [accepted(1), rejected(), accepted(2)]
    assert publish_all(iter([{}, {}, {}]), lambda value: answers.pop(0), receipts()) == 1
    said = Said(1, *capsys.readouterr())
    assert said.out == "n0.1/A/1\nn0.1/A/2\n"
    assert said.err == "mesh: the node refused the event (hash): it does not match\n"


def test_a_rejected_event_as_json_has_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert publish_all(iter([{}]), lambda value: rejected(), receipts(as_json=True)) == 1
    assert json.loads(capsys.readouterr().out) == {
        "event_id": None,
        "status": "rejected",
        "error": "the node refused the event (hash): it does not match",
    }


@pytest.mark.parametrize(
    ("attached", "kind", "words"),
    [(True, MeshError, "the node gave no receipt within 0.05 s"), (False, NodeUnreachable, "no node answers")],
)
def test_a_receipt_that_does_not_come_is_an_error(attached: bool, kind: type[MeshError], words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        publish_all(iter([{}]), lambda value: Receipt(Answers(), 0), receipts(attached=attached))
    assert type(raised.value) is kind


# ── listening ────────────────────────────────────────────────────────────────────────────────────────────────────────


def listening(terminal: Terminal, shell: Shell, *arguments: object) -> Process:
    process = terminal.start("sub", *arguments)

    def registered() -> bool:
        rows = shell("consumers", "--json").json
        return any(row["consumer"] == CONSUMER and row["state"] == "attached" for row in rows)

    eventually(registered, what="mesh sub is registered")
    return process


def test_listening_prints_each_event_at_once_and_ends_with_ctrl_c_and_0(terminal: Terminal, shell: Shell) -> None:
    process = listening(terminal, shell, "gpu.*", "--json")
    shell("pub", "cpu.load", '{"n":0}')
    shell("pub", "gpu.health", '{"n":1}', "--source", "ops")
    (line,) = process.wait_lines(1)
    process.signal(signal.SIGINT)
    said = process.end()
    assert (said.code, said.err, said.out) == (0, "", line)
    row = json.loads(line)
    assert list(row) == EVENT_KEYS
    assert {"topic": "gpu.health", "sequence": 1, "payload": {"n": 1}, "source": "ops"}.items() <= row.items()


def test_listening_ends_after_as_many_events_as_asked_for(terminal: Terminal, shell: Shell) -> None:
    process = listening(terminal, shell, "A", "-n", 2)
    for number in range(3):
        shell("pub", "A", json.dumps({"n": number}))
    said = process.end()
    assert said.code == 0
    assert [line.split("  ")[1:] for line in said.out.splitlines()] == [
        [shell("log", "tail", "A", "--json").rows[number]["id"], f'{{"n":{number}}}'] for number in range(2)
    ]


@pytest.mark.parametrize("since", ["earliest", "1h", "3600", "2020-01-01"])
def test_listening_begins_in_the_past_if_asked_to(shell: Shell, since: str) -> None:
    for number in range(3):
        shell("pub", "A", json.dumps({"n": number}))
    said = shell("sub", "A", "--since", since, "-n", 2, "--json")
    assert said.code == 0
    assert [(row["payload"], row["replayed"]) for row in said.rows] == [({"n": 0}, True), ({"n": 1}, True)]


def test_listening_makes_no_letters_and_leaves_the_books_balanced(shell: Shell) -> None:
    for number in range(50):
        shell("pub", "A", json.dumps({"n": number}))
    shell("sub", "A", "--since", "earliest", "-n", 3)
    assert shell("dlq", "--json").json["message"] == "no dead letters"
    assert shell("audit").code == 0


def test_a_reader_that_goes_away_ends_it_quietly(terminal: Terminal, shell: Shell) -> None:
    shell("pub", "A", '{"n":0}')
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "mesh.cli", "sub", "A", "--since", "earliest"]
    with subprocess.Popen(command, stdout=write_end, stderr=subprocess.PIPE, env=terminal.environment) as process:
        os.close(write_end)
        with os.fdopen(read_end) as output:
            assert output.readline().endswith('{"n":0}\n')
        shell("pub", "A", '{"n":1}')
        shell("pub", "A", '{"n":2}')
        _, complaint = process.communicate(timeout=20)
        assert (process.returncode, complaint) == (0, b"")
    assert shell("dlq", "--json").json["message"] == "no dead letters"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a b",), "pattern 'a b' has white space"),
        (("A", "--since", "never"), "'never' is no point in time"),
        (("A", "-n", "0"), "-n"),
    ],
)
def test_what_cannot_be_listened_to_exits_2(bare_shell: Shell, arguments: tuple[str, ...], error: str) -> None:
    said = bare_shell("sub", *arguments)
    assert (said.code, said.out) == (2, "")
    assert error in said.err
    assert said.err.count("\n") == 1
