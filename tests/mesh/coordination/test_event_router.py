"""Publishing and subscribing by event type, against a real node."""

import asyncio
import threading
from time import monotonic

import pytest

from mesh.coordination import (
    DataEvent,
    DataEventType,
    get_event_bus,
    get_router,
    publish,
    subscribe,
    unsubscribe,
)
from mesh.errors import InvalidOption, InvalidPayload, UnknownEventType
from tests.conditions import eventually

SPELLINGS = ["TRAINING_COMPLETED", "training_completed", "Training_Completed", DataEventType.TRAINING_COMPLETED]


def log_of(client, pattern="*"):
    return [(row["topic"], row["payload"]) for row in client.request("log.tail", pattern=pattern)["rows"]]


@pytest.mark.parametrize("heard", SPELLINGS)
@pytest.mark.parametrize("said", SPELLINGS)
def test_name_alias_and_enum_are_one_topic(router_of_all, said, heard):
    router, received = router_of_all
    mark = f"{said!r} {heard!r}"
    router.publish(said, {"config_key": mark}).wait(10)
    eventually(lambda: mark in [event.payload["config_key"] for event in received[heard]])
    assert {event.topic for event in received[heard]} == {"TRAINING_COMPLETED"}


@pytest.fixture(scope="module")
def router_of_all():
    """One router with a handler for each spelling."""
    from mesh.coordination.catalog import default_catalog
    from mesh.coordination.event_router import EventRouter
    from node.testing import LocalMesh

    with LocalMesh() as mesh:
        router = EventRouter(mesh.connect(name="p"), default_catalog())
        received = {spelling: [] for spelling in SPELLINGS}
        for spelling, list_ in received.items():
            router.subscribe(spelling, list_.append)
        yield router, received


def test_a_data_event_is_published_with_its_source(local):
    received = []
    subscribe("training_completed", received.append)
    event = DataEvent(DataEventType.TRAINING_COMPLETED, {"config_key": "hex8_2p"}, "TrainingCoordinator")
    assert get_event_bus().publish(event).wait(10).status == "accepted"
    eventually(lambda: received)
    assert [(each.topic, each.event_type, each.payload, each.source) for each in received] == [
        ("TRAINING_COMPLETED", "TRAINING_COMPLETED", {"config_key": "hex8_2p"}, "TrainingCoordinator")
    ]


def test_a_handler_subscribed_twice_is_called_once(local):
    received = []
    handler = received.append
    first = subscribe("TRAINING_COMPLETED", handler)
    assert subscribe("training_completed", received.append) is first
    assert subscribe(DataEventType.TRAINING_COMPLETED, handler) is first
    publish("TRAINING_COMPLETED", {"config_key": "a"}).wait(10)
    publish("TRAINING_COMPLETED", {"config_key": "b"}).wait(10)
    eventually(lambda: len(received) >= 2)
    assert [event.payload["config_key"] for event in received] == ["a", "b"]
    with pytest.raises(InvalidOption, match="is subscribed to TRAINING_COMPLETED with no options, not"):
        subscribe("TRAINING_COMPLETED", handler, attempts=2)


def test_unsubscribe_really_ends_it(local, client):
    received, others = [], []
    subscribe("TRAINING_COMPLETED", received.append, name="ended")
    subscribe("TRAINING_COMPLETED", others.append, name="other")
    publish("TRAINING_COMPLETED", {"config_key": "a"}).wait(10)
    eventually(lambda: received and others)
    assert unsubscribe("training_completed", received.append)
    assert not unsubscribe("training_completed", received.append)
    publish("TRAINING_COMPLETED", {"config_key": "b"}).wait(10)
    eventually(lambda: len(others) == 2)
    assert len(received) == 1
    assert get_event_bus().list_subscribers() == {"TRAINING_COMPLETED": ["other"]}
    states = {row["consumer"]: row["state"] for row in client.request("consumers")["rows"]}
    assert states == {"ended": "detached", "other": "attached"}
    subscribe("TRAINING_COMPLETED", received.append)
    publish("TRAINING_COMPLETED", {"config_key": "c"}).wait(10)
    eventually(lambda: len(received) == 2)


def test_the_names_of_consumers_do_not_depend_on_the_order_of_subscriptions(local):
    def handler():
        return lambda event: None

    name, one, twin = get_router().bus.name, handler(), handler()
    place = "test_the_names_of_consumers_do_not_depend_on_the_order_of_subscriptions.<locals>.handler.<locals>.<lambda>"
    for topic in ("TRAINING_STARTED", "TRAINING_COMPLETED"):
        assert subscribe(topic, one).name == f"{name}:{place}:{topic}"
    assert subscribe("TRAINING_STARTED", twin).name == f"{name}:{place}:TRAINING_STARTED#2"


@pytest.fixture
def strict(local, environment):
    environment.setenv("MESH_EVENT_VALIDATION_STRICT", "true")
    return get_router()


def test_strict_validation_sends_nothing_and_says_what_was_meant(strict, client):
    with pytest.raises(UnknownEventType, match="did you mean TRAINING_COMPLETED"):
        strict.publish("TRAINING_COMPLETD", {"config_key": "a"})
    with pytest.raises(InvalidPayload, match="config_ky"):
        strict.publish("TRAINING_COMPLETED", {"config_ky": "a"})
    with pytest.raises(InvalidPayload, match="epochs_completed"):
        strict.publish(DataEvent("TRAINING_COMPLETED", {"epochs_completed": "fifty"}))
    with pytest.raises(UnknownEventType, match="did you mean TRAINING_COMPLETED"):
        strict.subscribe("TRAINING_COMPLETD", print)
    assert strict.publish("TRAINING_COMPLETED", {"epochs_completed": 50}).wait(10).status == "accepted"
    assert log_of(client) == [("TRAINING_COMPLETED", {"epochs_completed": 50})]
    assert len(strict.recent_events) == 1
    assert strict.list_subscribers() == {}


def test_without_strict_validation_it_is_sent_and_counted(local, client):
    publish("TRAINING_COMPLETD", {"n": 1}).wait(10)
    publish("TRAINING_COMPLETD", {"n": 2}).wait(10)
    assert log_of(client) == [("TRAINING_COMPLETD", {"n": 1}), ("TRAINING_COMPLETD", {"n": 2})]
    assert get_router().validator.counts == {"TRAINING_COMPLETD": 2}


def test_subscribing_to_what_is_not_in_the_catalogue_is_warned_of_and_done(local, caplog):
    received = []
    subscribe("TRAINING_COMPLETD", received.append)
    assert "did you mean TRAINING_COMPLETED" in caplog.text
    assert get_router().validator.counts == {}
    publish("TRAINING_COMPLETD", {"n": 1})
    eventually(lambda: received)


def test_recent_events_show_what_was_taken_for_a_duplicate(local):
    first = publish("TRAINING_COMPLETED", {"config_key": "a"}, source="x").wait(10)
    again = publish("training_completed", {"config_key": "a"}, source="y").wait(10)
    assert (again.status, again.event_id) == ("duplicate", first.event_id)
    router = get_router()
    assert len(router._recent_events) == len(router.recent_events) == 2
    assert [(each.topic, each.source, each.receipt.status) for each in router.recent_events] == [
        ("TRAINING_COMPLETED", "x", "accepted"),
        ("TRAINING_COMPLETED", "y", "duplicate"),
    ]


def test_recent_events_are_those_of_the_window_and_bounded():
    from mesh.coordination.recent_events import RecentEvents
    from mesh.receipt import Answers, Receipt

    now = [0.0]
    recent = RecentEvents(lambda: now[0], window_s=60.0, events_max=3)
    for moment in (0.0, 10.0, 20.0, 30.0):
        now[0] = moment
        recent.note(f"T{moment:g}", "", Receipt(Answers(), 0))
    assert [each.topic for each in recent] == ["T10", "T20", "T30"]
    now[0] = 75.0
    assert [each.topic for each in recent] == ["T20", "T30"]
    assert len(recent) == 2


def test_a_slow_handler_delays_neither_the_publisher_nor_another_handler(local):
    quick, slow, gate = [], [], threading.Event()

    def sleeper(event):
        gate.wait(1.0)
        slow.append(monotonic())

    subscribe("TRAINING_STARTED", sleeper)
    subscribe("TRAINING_STARTED", lambda event: quick.append(monotonic()))
    began = monotonic()
    receipt = publish("TRAINING_STARTED", {"job_id": "1"})
    returned = monotonic()
    receipt.wait(10)
    eventually(lambda: quick and slow)
    assert slow[0] - began >= 1.0
    assert returned - began < 0.2
    assert quick[0] - began < 0.8


def test_a_handler_that_hangs_is_timed_out_counted_and_its_event_dead(local, environment, client):
    environment.setenv("RINGRIFT_EVENT_HANDLER_TIMEOUT", "0.3")
    hung, timeouts = threading.Event(), []
    subscribe("HANDLER_TIMEOUT", timeouts.append)
    subscribe("TRAINING_STARTED", lambda event: hung.wait(60.0), name="hanging", attempts=1)
    publish("TRAINING_STARTED", {"job_id": "1"}).wait(10)
    (letter,) = eventually(lambda: client.request("dlq.list")["rows"])
    hung.set()
    assert (letter["consumer"], letter["state"], letter["error_type"]) == ("hanging", "dead", "TimeoutError")
    assert letter["error"] == "the handler ran longer than 0.3 s"
    (told,) = eventually(lambda: timeouts)
    assert (told.payload["consumer"], told.payload["topic"]) == ("hanging", "TRAINING_STARTED")


def test_a_coroutine_handler_runs_on_the_loop_it_was_subscribed_on(local):
    async def story():
        loop, seen = asyncio.get_running_loop(), asyncio.Queue()

        async def handler(event):
            await seen.put((asyncio.get_running_loop() is loop, event.payload["job_id"]))

        subscribe("TRAINING_STARTED", handler)
        receipt = await publish("TRAINING_STARTED", {"job_id": "7"})
        return receipt.status, await asyncio.wait_for(seen.get(), 10)

    assert asyncio.run(story()) == ("accepted", (True, "7"))
