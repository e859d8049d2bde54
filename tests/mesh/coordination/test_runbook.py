"""The runbook's samples, each run against a real node.

`runbook/*.txt` are the runbook's Python blocks word for word, but for the package in their import lines. Most run as
they stand; those that are pieces of something get the least frame in which they mean anything, here, around their text.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shlex
import textwrap
import threading
import urllib.request
from pathlib import Path
from time import time

import pytest

import mesh.coordination
from mesh.client import NodeClient
from mesh.coordination import (
    bootstrap,
    close_default_bus,
    default_catalog,
    get_dead_letter_queue,
    get_event_bus,
    get_registry,
    publish,
    subscribe,
)
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Shell

BLOCKS = {path.stem[3:]: path.read_text() for path in sorted((Path(__file__).parent / "runbook").glob("*.txt"))}
PAYLOAD = {"config_key": "hex8_2p", "model_path": "models/canonical_hex8_2p.pth", "epochs_completed": 50}


def run(name, **names):
    """Run a block; returns its names."""
    exec(compile(BLOCKS[name], f"runbook block {name}", "exec"), names)
    return names


def hear(topic):
    received = []
    subscribe(topic, received.append)
    return received


@pytest.fixture
def failed(local):
    """One event that a handler has failed on, and a switch that mends the handler."""
    switch = []

    def evaluate(event):
        if not switch:
            raise ValueError("no model")

    subscribe("TRAINING_COMPLETED", evaluate, attempts=1)
    publish("TRAINING_COMPLETED", {"config_key": "hex8_2p"}).wait(10)
    eventually(lambda: get_dead_letter_queue().get_pending_count() == 1)
    return switch


def test_there_is_a_story_for_every_block():
    stories = [name.removeprefix("test_block_") for name in globals() if name.startswith("test_block_")]
    assert stories == list(BLOCKS)


def test_every_name_the_runbook_imports_is_also_one_of_the_package():
    imports = [
        line for block in BLOCKS.values() for line in re.findall(r"^from [\w.]+ import (?:\([^)]*\)|.*)", block, re.M)
    ]
    names = {name for line in imports for name in re.findall(r"\w+", line.partition(" import ")[2])}
    assert {"subscribe", "DataEvent", "get_router", "emit_model_promoted", "publish_cross_process"} < names
    assert [name for name in sorted(names) if not hasattr(mesh.coordination, name)] == []


def test_block_critical_subscriptions(local, client):
    """A list of names: as a group of the registry they are wired, critical, and known to the node."""
    group = re.match(r"# (\w+) group", BLOCKS["critical_subscriptions"])
    topics = re.findall(r"^- (\w+)$", BLOCKS["critical_subscriptions"], re.MULTILINE)
    run("critical_subscriptions", **dict.fromkeys(topics, 1))
    get_registry().add_group(group[1], dict.fromkeys(topics, print))
    assert bootstrap(require_critical=True).subscribed == {"manager_events": topics}
    assert [topic for topic in topics if not default_catalog().get(topic).critical] == []
    eventually(lambda: client.request("wiring.view")["rows"][0]["critical"] == sorted(topics))


def test_block_subscription_with_retry(local):
    """A method: in a class, with the imports its own module has."""
    source = "import asyncio\nfrom typing import Any\nfrom mesh.coordination import subscribe\nclass Orchestrator:\n"
    names = {}
    exec(source + textwrap.indent(BLOCKS["subscription_with_retry"], "    "), names)
    received = []
    orchestrator = names["Orchestrator"]()
    assert asyncio.run(orchestrator._subscribe_with_retry("TRAINING_COMPLETED", received.append, is_critical=True))
    publish("TRAINING_COMPLETED", PAYLOAD).wait(10)
    eventually(lambda: received)


def test_block_dlq_operations(failed):
    """`event_id` is one of the events that the lines before it return."""
    failed.append("mended")
    (pending,) = get_dead_letter_queue().get_pending_events()
    names = run("dlq_operations", event_id=pending.id)
    assert [each.event_type for each in names["failed"]] == ["TRAINING_COMPLETED"]
    assert names["dlq"].get_pending_count() == 0


def test_block_deduplication(local):
    """What the lines decide is what the node decides: as a function of an event and what was seen."""
    source = "def is_news(event, recent_events, now):\n" + textwrap.indent(BLOCKS["deduplication"], "    ")
    names = {"hashlib": hashlib, "json": json}
    exec(source + "\n    recent_events[hash_key] = now\n    return True\n", names)
    seen, recent, received = [], {}, hear("TRAINING_COMPLETED")
    payloads = [PAYLOAD, dict(reversed(PAYLOAD.items())), {**PAYLOAD, "epochs_completed": 51}, PAYLOAD]
    for payload in payloads:
        receipt = get_event_bus().publish("TRAINING_COMPLETED", payload).wait(10)
        seen.append(receipt.status)
    eventually(lambda: len(received) == 2)
    event = type("Said", (), {"event_type": "TRAINING_COMPLETED"})
    news = []
    for payload in payloads:
        event.payload = payload
        news.append("accepted" if names["is_news"](event, recent, time()) else "duplicate")
    assert seen == news == ["accepted", "duplicate", "accepted", "duplicate"]


def test_block_subscribing(local):
    names = run("subscribing")
    calls = []
    subscribe("TRAINING_COMPLETED", lambda event: calls.append(event.payload["config_key"]))
    consumers = get_event_bus().list_subscribers()["TRAINING_COMPLETED"]
    assert len([consumer for consumer in consumers if ":my_handler:" in consumer]) == 1
    publish("TRAINING_COMPLETED", PAYLOAD).wait(10)
    eventually(lambda: calls)
    assert names["my_handler"].__globals__ is names
    with NodeClient() as client:
        eventually(lambda: sum(row["settled"] for row in client.request("consumers")["rows"]) == 2)


def test_block_typed_emitters(local):
    received = hear("TRAINING_COMPLETED")
    names = run("typed_emitters")
    eventually(lambda: received)
    assert [event.payload for event in received] == [PAYLOAD]
    assert names["emit_data_sync_completed"](files_synced=3).wait(10).status == "accepted"
    assert names["emit_model_promoted"](model_id="m").wait(10).status == "accepted"


def test_block_publishing(local):
    received = hear("TRAINING_COMPLETED")
    run("publishing")
    eventually(lambda: received)
    assert [(event.payload, event.source) for event in received] == [
        ({"config_key": "hex8_2p", "model_path": "..."}, "TrainingCoordinator")
    ]


def test_block_cross_process(local):
    names = run("cross_process")
    assert [(event.topic, event.payload) for event in names["events"]] == [
        ("TRAINING_COMPLETED", {"config_key": "hex8_2p"})
    ]


def test_block_not_delivered(local, capsys):
    subscribe("TRAINING_COMPLETED", print, name="feedback")
    run("not_delivered")
    assert capsys.readouterr().out == "Subscribers: {'TRAINING_COMPLETED': ['feedback']}\n"


def test_block_duplicates(local, capsys):
    publish("TRAINING_COMPLETED", PAYLOAD)
    publish("TRAINING_COMPLETED", PAYLOAD)
    run("duplicates")
    assert capsys.readouterr().out == "Recent events: 2\n"


def test_block_dlq_growing(failed, capsys):
    """Its first line is in the module it is from."""
    run("dlq_growing", get_dead_letter_queue=get_dead_letter_queue)
    assert capsys.readouterr().out == "Pending events: 1\nErrors: {'ValueError': 1}\n"


def test_block_wiring_verification(local, capsys):
    subscribe("training_completed", print)
    run("wiring_verification")
    warned = capsys.readouterr().out.splitlines()
    everything = {f"WARNING: {each.name} has no subscribers" for each in default_catalog()}
    assert len(warned) == len(default_catalog()) - 1
    assert everything - set(warned) == {"WARNING: TRAINING_COMPLETED has no subscribers"}


# ---- the shell blocks

CURLS = [
    "curl -s http://localhost:8770/status | jq '.event_subscription_status'",
    "curl -s http://localhost:8770/status | jq '.handler_timeouts'",
]


@pytest.fixture
def page(environment):
    """What a line of `CURLS` prints, asked of a node with pages that MESH_NODE names."""
    with LocalMesh(http="127.0.0.1:0") as mesh:
        environment.setenv("MESH_NODE", str(mesh.nodes[0].data_dir))

        def ask(line):
            url = line.split()[2].replace("localhost:8770", mesh.nodes[0].description["http"])
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)[re.search(r"jq '\.(\w+)'", line)[1]]

        yield ask
        close_default_bus()


def test_the_status_shows_what_a_program_has_wired_and_which_handlers_ran_into_their_timeout(page, environment):
    environment.setenv("RINGRIFT_EVENT_HANDLER_TIMEOUT", "0.2")
    hung = threading.Event()
    get_registry().add("TASK_FAILED", lambda event: hung.wait(30.0), group="manager_events", attempts=1)
    bootstrap(require_critical=True)
    publish("TASK_FAILED", {"task_id": "1"}).wait(10)
    eventually(lambda: page(CURLS[1])["total"] == 1)
    hung.set()
    wired = page(CURLS[0])
    assert (wired["ready"], [row["topic"] for row in wired["critical"]]) == (True, ["TASK_FAILED"])
    assert [(row["group"], row["topics"]) for row in wired["groups"]] == [
        ("manager_events", {"TASK_FAILED": "subscribed"})
    ]


DASHBOARD = {
    "python scripts/dlq_dashboard.py": "mesh dlq",
    "python scripts/dlq_dashboard.py --pending --limit 20": "mesh dlq list --limit 20",
    "python scripts/dlq_dashboard.py --retry --max-events 10": "mesh dlq retry --all --max 10",
    "python scripts/dlq_dashboard.py --watch --interval 30": "mesh dlq watch --interval 30",
}


@pytest.fixture
def shell(local, capsys, monkeypatch):
    return Shell(local.nodes[0].data_dir, capsys, monkeypatch)


def command(shell, old):
    return shell(*shlex.split(DASHBOARD[old])[1:])


def test_the_dashboard_lists_and_retries_as_its_old_flags_did(failed, shell):
    assert "1 dead" in command(shell, "python scripts/dlq_dashboard.py").out
    assert "TRAINING_COMPLETED" in command(shell, "python scripts/dlq_dashboard.py --pending --limit 20").out
    failed.append("mended")
    said = command(shell, "python scripts/dlq_dashboard.py --retry --max-events 10")
    assert (said.code, said.out.splitlines()[-1]) == (0, "1 resolved")
    assert get_dead_letter_queue().get_pending_count() == 0


def test_the_dashboard_watches_until_it_is_interrupted(failed, shell, monkeypatch):
    waited = []

    def interrupted(seconds):
        waited.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("mesh.cli.repeat.time.sleep", interrupted)
    said = command(shell, "python scripts/dlq_dashboard.py --watch --interval 30")
    assert (said.code, waited) == (0, [30.0])
    assert "1 dead" in said.out
