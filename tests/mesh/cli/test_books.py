"""`mesh consumers` and `mesh audit` against a real node."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.client import NodeClient
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Shell, Trainer

UNBALANCED: dict[str, Any] = {
    "balanced": False,
    "streams": [
        {"origin": "n0.1", "topic": "A", "published": 3, "in_log": 2, "deleted": 0, "missing": 1, "balanced": False}
    ],
    "consumers": [
        {
            **{"consumer": "feedback", "published": 3, "settled": 2, "waiting": 0, "dead": 0, "expired": 0},
            **{"lost": 0, "in_flight": 0, "balanced": False},
        }
    ],
    "lost_ranges": [
        {"consumer": "feedback", "origin": "n0.1", "topic": "A", "first": 2, "last": 2, "reason": "gone", "at_us": 5},
        {"consumer": None, "origin": "n1.1", "topic": "B", "first": 7, "last": 9, "reason": "all asked", "at_us": 5},
    ],
}


def test_the_books_of_an_empty_node_balance(shell: Shell) -> None:
    said = shell("audit")
    assert (said.code, said.out, said.err) == (0, "the books balance\n", "")


def test_an_audit_as_json_has_the_fixed_shape(shell: Shell, one_node: LocalMesh) -> None:
    Trainer(one_node).fail(shell, 1)
    said = shell("audit", "--json")
    assert said.code == 0
    assert set(said.json) == {"balanced", "streams", "consumers", "lost_ranges"}
    assert said.json["balanced"] is True
    (row,) = said.json["consumers"]
    keys = ("consumer", "published", "settled", "waiting", "dead", "expired", "lost", "in_flight")
    assert [row[key] for key in keys] == ["feedback", 1, 0, 0, 1, 0, 0, 0]


def test_an_audit_for_people_has_consumers_and_streams(shell: Shell, one_node: LocalMesh) -> None:
    Trainer(one_node).fail(shell, 1)
    lines = shell("audit").out.splitlines()
    assert lines[0] == "the books balance"
    assert ["✓", "feedback", "1", "0", "0", "1", "0", "0", "0"] in [line.split() for line in lines]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_an_audit_exits_1_when_the_books_do_not_balance(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr(NodeClient, "request", lambda *_, **__: {**UNBALANCED, "id": 1, "ok": True})
    said = shell("audit", *flags)
    assert (said.code, said.err) == (1, "")
    if flags:
        assert said.json == UNBALANCED
    else:
        assert said.out.splitlines()[0] == "the books do not balance: 2 rows marked ✗ do not add up"
        rows = [line.split(maxsplit=4) for line in said.out.splitlines()]
        assert ["feedback", "n0.1/A", "2", "2", "gone"] in rows
        assert ["(this", "node)", "n1.1/B", "7", "9 all asked"] in rows


def test_consumers_as_json_is_a_list_of_rows(shell: Shell, one_node: LocalMesh) -> None:
    bus = one_node.connect(name="trainer")
    bus.subscribe("A", lambda event: None, name="feedback", durable=True)
    bus.publish("A", {}).wait(10)
    rows = eventually(lambda: [row for row in shell("consumers", "--json").json if row["settled"]], what="it settled")
    assert [set(row) for row in rows] == [
        {
            *("consumer", "pattern", "durable", "state", "process", "lag", "lag_s", "in_flight"),
            *("settled", "failed", "lost", "last_report_s"),
        }
    ]
    assert [rows[0][key] for key in ("consumer", "durable", "state", "settled")] == ["feedback", True, "attached", 1]


def test_consumers_for_people_is_a_table(shell: Shell, one_node: LocalMesh) -> None:
    assert shell("consumers").out == "no consumers: nobody has subscribed at this node\n"
    one_node.connect(name="trainer").subscribe("A", print, name="feedback", durable=True)
    lines = shell("consumers").out.splitlines()
    assert lines[0].split() == ["consumer,", "pattern", "state", "lag", "behind", "settled", "failed", "lost", "seen"]
    assert lines[1].split()[:6] == ["feedback", "attached", "durable", "0", "-", "0"]
    assert lines[2] == "A"


def test_a_durable_consumer_can_be_forgotten_when_its_program_is_gone(shell: Shell, one_node: LocalMesh) -> None:
    with one_node.nodes[0].connect(name="trainer") as bus:
        bus.subscribe("A", lambda event: None, name="feedback", durable=True)
        held = shell("consumers", "forget", "feedback")
        assert (held.code, held.err) == (1, "mesh: consumer 'feedback' is attached; stop its program first\n")
    assert [row["state"] for row in shell("consumers", "--json").json] == ["detached"]
    said = shell("consumers", "forget", "feedback")
    assert (said.code, said.out, said.err) == (0, "feedback is forgotten\n", "")
    assert shell("consumers", "--json").json == []
    again = shell("consumers", "forget", "feedback")
    assert (again.code, again.err) == (1, "mesh: there is no consumer 'feedback'; see `mesh consumers`\n")
