"""`mesh events orphans` and `check` at a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.bus import EventBus
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Shell

WIRED = ("TRAINING_COMPLETED", "EVALUATION_COMPLETED", "MODEL_PROMOTED", "TASK_FAILED")
PLANTED = "NEW_GAMES_AVAILABLE"


@pytest.fixture
def bus(one_node: LocalMesh) -> Iterator[EventBus]:
    """A program in which every announced type has its handler, but for one."""
    bus = one_node.connect(name="pipeline")
    for topic in WIRED:
        bus.subscribe(topic, lambda event: None, name=f"handler of {topic}")
    bus.subscribe("*", lambda event: None, name="archive")
    for topic in (*WIRED, PLANTED):
        bus.publish(topic, {"config_key": "hex8_2p"}).wait(10)
    bus.report_wiring({"groups": {}, "critical": list(WIRED)})
    eventually(lambda: bus.flush(10))
    return bus


def kinds(said: Any) -> list[tuple[str, str]]:
    return [(gap["kind"], gap["topic"]) for gap in said.json["gaps"] if gap["kind"] != "never-seen"]


def test_orphans_finds_exactly_the_planted_one(bus: EventBus, shell: Shell) -> None:
    said = shell("events", "orphans", "--json")
    assert (said.code, kinds(said)) == (1, [("orphan", PLANTED)])
    (gap,) = said.json["gaps"]
    assert (gap["nodes"], gap["text"]) == (
        ["n0"],
        "announced, and no consumer subscribes to it; only archive takes in everything",
    )
    assert (said.json["nodes"], said.json["complete"]) == (["n0"], False)


def test_an_orphan_that_gets_a_subscriber_is_none(bus: EventBus, shell: Shell) -> None:
    bus.subscribe("NEW_GAMES_*", lambda event: None, name="scheduler")
    said = shell("events", "orphans")
    assert (said.code, said.out) == (
        0,
        "every announced event has a subscriber (asked: n0)\n",
    )


def test_check_names_what_is_to_be_mended_and_counts_what_was_never_seen(bus: EventBus, shell: Shell) -> None:
    bus.subscribe("TRAINING_PROGRESS", lambda event: None, name="display")
    with bus.subscribe("TASK_SPAWNED", lambda event: None, name="away", durable=True):
        pass
    said = shell("events", "check", "--json")
    assert said.code == 1
    assert kinds(said) == [
        ("orphan", PLANTED),
        ("no-emitter", "TASK_SPAWNED"),
        ("no-emitter", "TRAINING_PROGRESS"),
        ("critical", PLANTED),
        ("critical", "TASK_SPAWNED"),
    ]
    said = shell("events", "check")
    assert said.code == 1
    assert "away is not attached" in " ".join(said.out.split())
    assert said.out.splitlines()[-1].startswith("5 found; 343 types of the catalogue were never seen")
    assert "never-seen" not in said.out
    assert "never-seen" in shell("events", "check", "--all").out


def test_an_allow_list_makes_a_check_pass(bus: EventBus, shell: Shell, tmp_path: Path) -> None:
    allow = tmp_path / "allow.txt"
    allow.write_text(f"orphan {PLANTED}  # nobody needs it yet\ncritical {PLANTED}\n")
    assert shell("events", "orphans", "--allow", allow).code == 0
    said = shell("events", "check", "--allow", allow)
    assert (said.code, " ".join(said.out.split())) == (
        0,
        "the wiring is complete; 345 types of the catalogue were never seen (asked: n0)",
    )
    allow.write_text("orphan A B\n")
    said = shell("events", "check", "--allow", allow)
    assert (said.code, said.err) == (
        1,
        f"mesh: {allow}:1: 'orphan A B'; write a topic, or one of orphan, no-emitter, critical, never-seen and one\n",
    )
    said = shell("events", "check", "--allow", tmp_path / "nothing")
    assert said.code == 2
    assert "cannot be read" in said.err


def test_without_a_node_it_exits_3(bare_shell: Shell) -> None:
    assert bare_shell("events", "orphans").code == 3


def test_verify_wiring_is_the_same_for_programs(bus: EventBus, one_node: LocalMesh) -> None:
    from mesh.coordination import verify_wiring

    place = one_node.nodes[0].data_dir
    verified = verify_wiring(place)
    assert (verified.orphans, verified.complete) == ([PLANTED], False)
    assert verify_wiring(place, allow=[PLANTED]).complete


def test_every_linked_node_is_asked_and_a_subscriber_anywhere_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalMesh(nodes=2) as mesh:
        shell = Shell(mesh.nodes[0].data_dir, capsys, monkeypatch)
        mesh.connect(node=1, name="far").subscribe("TASK_FAILED", lambda event: None, name="far")
        bus = mesh.connect(node=0)
        for topic in ("TASK_FAILED", PLANTED):
            bus.publish(topic, {"config_key": "hex8_2p"}).wait(10)
        said = shell("events", "orphans", "--json")
        assert (said.code, kinds(said), said.json["nodes"]) == (1, [("orphan", PLANTED)], ["n0", "n1"])
        bus.subscribe(PLANTED, lambda event: None, name="near")
        assert shell("events", "orphans").code == 0
        assert shell("events", "check").code == 0
