"""The registry: groups, critical subscriptions, retries, and what the node is told."""

import asyncio
import threading

import pytest

from mesh.coordination import bootstrap, get_registry, get_router, publish, subscribe_with_retry
from mesh.coordination.bootstrap import RETRIED
from mesh.coordination.default_bus import default_bus
from mesh.coordination.registry import SubscriptionRegistry, delays_s
from mesh.errors import CriticalSubscriptionsMissing
from tests.conditions import eventually

MANAGER_EVENTS = ("TRAINING_STARTED", "TRAINING_COMPLETED", "TASK_SPAWNED")


def reported(client):
    """What the node has been told by this program: group → topic → state, and the critical topics."""
    (row,) = client.request("wiring.view")["rows"]
    return row["critical"]


@pytest.fixture
def registry(local):
    assert default_bus().wait_attached(10.0)
    registry = SubscriptionRegistry(look_every_s=0.02)
    yield registry
    registry.stop()


@pytest.fixture
def holder(local):
    """Another program that has the durable name `evaluator`."""
    return local.connect(name="holder").subscribe("TASK_FAILED", print, name="evaluator", durable=True)


def test_a_group_is_wired_and_its_critical_types_are_told_to_the_node(registry, client):
    received = []
    registry.add_group("manager_events", {topic.lower(): received.append for topic in MANAGER_EVENTS})
    registry.add("TRAINING_PROGRESS", received.append, group="display")
    report = registry.wire()
    assert report.subscribed == {"manager_events": list(MANAGER_EVENTS), "display": ["TRAINING_PROGRESS"]}
    assert (report.complete, report.failed, report.critical_missing) == (True, {}, {})
    assert registry.status() == {
        "groups": {
            "manager_events": {"topics": dict.fromkeys(MANAGER_EVENTS, "subscribed")},
            "display": {"topics": {"TRAINING_PROGRESS": "subscribed"}},
        },
        "critical": sorted(MANAGER_EVENTS),
    }
    eventually(lambda: reported(client) == sorted(MANAGER_EVENTS))
    publish("TASK_SPAWNED", {"task_id": "1"}).wait(10)
    eventually(lambda: received)


def test_what_failed_is_tried_again_after_one_two_and_four_seconds(registry, holder):
    registry.add("TASK_FAILED", print, group="g", name="evaluator", durable=True)
    pauses = []
    report = registry.wire(attempts=4, pause=pauses.append)
    assert pauses == [1.0, 2.0, 4.0] == list(delays_s(4))
    assert list(report.failed) == ["g"]
    assert "is attached by holder" in report.failed["g"]["TASK_FAILED"]
    assert report.critical_missing == report.failed["g"]
    assert registry.status()["groups"]["g"]["topics"]["TASK_FAILED"].startswith("failed: durable consumer 'evaluator'")


def test_what_could_not_be_had_is_had_later_without_a_restart(registry, holder, client):
    registry.add("TASK_FAILED", print, name="evaluator", durable=True)
    assert not registry.wire(attempts=1).complete
    holder.close()
    eventually(lambda: registry.state().complete)
    eventually(lambda: registry.status()["groups"]["default"]["topics"] == {"TASK_FAILED": "subscribed"})


def test_without_a_node_every_subscription_says_so_at_once_and_follows_when_there_is_one(
    environment, tmp_path, monkeypatch
):
    from mesh.coordination import close_default_bus
    from mesh.coordination import registry as module
    from node.embedded import EmbeddedNode

    environment.setenv("MESH_NODE", str(tmp_path))
    monkeypatch.setattr(module, "ATTACH_S", 0.01)
    registry, received = SubscriptionRegistry(look_every_s=0.02), []
    try:
        registry.add_group("g", dict.fromkeys(MANAGER_EVENTS, received.append))
        report = registry.wire(pause=lambda seconds: None)
        assert report.failed == {
            "g": dict.fromkeys(MANAGER_EVENTS, f"no node answers at {tmp_path}; start it with mesh-node")
        }
        with EmbeddedNode(tmp_path, "n"):
            eventually(lambda: registry.state().complete)
            publish("TASK_SPAWNED", {"task_id": "1"}).wait(10)
            eventually(lambda: received)
            registry.stop()
            close_default_bus()
    finally:
        registry.stop()
        close_default_bus()


def test_a_coroutine_handler_that_is_wired_late_still_runs_on_its_loop(registry, holder):
    async def story():
        loop, seen = asyncio.get_running_loop(), asyncio.Queue()

        async def handler(event):
            await seen.put(asyncio.get_running_loop() is loop)

        registry.add("TASK_FAILED", handler, name="evaluator", durable=True)
        await asyncio.to_thread(registry.wire, 1)
        await asyncio.to_thread(holder.close)
        await asyncio.to_thread(eventually, lambda: registry.state().complete)
        await publish("TASK_FAILED", {"task_id": "1"})
        return await asyncio.wait_for(seen.get(), 10)

    assert asyncio.run(story())


def test_what_is_removed_is_ended_and_reported_no_more(registry, client):
    entry = registry.add("TASK_FAILED", print)
    registry.wire()
    eventually(lambda: reported(client) == ["TASK_FAILED"])
    registry.remove(entry)
    eventually(lambda: reported(client) == [])
    assert get_router().list_subscribers() == {}


def test_bootstrap_refuses_to_start_without_what_is_critical(registry, holder):
    registry.add("TRAINING_PROGRESS", print)
    registry.add("TASK_FAILED", print, name="evaluator", durable=True)
    report = bootstrap(registry, attempts=1)
    assert (report.subscribed, list(report.critical_missing)) == ({"default": ["TRAINING_PROGRESS"]}, ["TASK_FAILED"])
    with pytest.raises(CriticalSubscriptionsMissing, match=r"missing \(TASK_FAILED: durable consumer 'evaluator' is"):
        bootstrap(registry, attempts=1, require_critical=True)


def test_bootstrap_starts_without_what_is_not_critical(registry, local):
    local.connect(name="holder").subscribe("TRAINING_PROGRESS", print, name="display", durable=True)
    registry.add("TRAINING_PROGRESS", print, name="display", durable=True)
    assert list(bootstrap(registry, attempts=1, require_critical=True).failed) == ["default"]


def retry(sleeps, *arguments, **options):
    async def sleep(seconds):
        sleeps.append(seconds)

    return asyncio.run(subscribe_with_retry(*arguments, sleep=sleep, **options))


def test_subscribe_with_retry_subscribes_at_once_where_it_can(local, client):
    sleeps, received = [], []
    assert retry(sleeps, "training_progress", received.append, is_critical=True) is True
    assert sleeps == []
    publish("TRAINING_PROGRESS", {"job_id": "1"}).wait(10)
    eventually(lambda: received)
    eventually(lambda: reported(client) == ["TRAINING_PROGRESS"])


def test_subscribe_with_retry_tries_three_times_and_goes_on_in_the_background(local, holder):
    sleeps = []
    assert retry(sleeps, "TASK_FAILED", print, name="evaluator", durable=True) is False
    assert sleeps == [1.0, 2.0]
    assert list(get_registry().state().failed) == [RETRIED]
    holder.close()
    eventually(lambda: get_registry().state().complete)


def test_subscribe_with_retry_succeeds_when_the_name_comes_free_between_two_attempts(local, holder):
    async def sleep(seconds):
        await asyncio.to_thread(holder.close)

    done = subscribe_with_retry("TASK_FAILED", print, name="evaluator", durable=True, sleep=sleep)
    assert asyncio.run(done) is True


def test_stopping_the_registry_ends_its_thread(registry):
    registry.wire()
    registry.stop()
    assert "mesh wiring" not in [thread.name for thread in threading.enumerate()]
