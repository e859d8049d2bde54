"""Stages are topics, and whoever emits one may wait for its handlers."""

import asyncio
import threading

from mesh.coordination import StageEvent, default_catalog, get_router, get_stage_bus, publish, subscribe
from tests.conditions import eventually


def test_every_stage_is_a_type_of_the_catalogue():
    assert [stage for stage in StageEvent if default_catalog().get(stage.value) is None] == []


def test_an_emission_waits_for_every_handler_and_says_how_each_ended(local):
    bus, order = get_stage_bus(), []

    def good(event):
        order.append(event.payload["config_key"])

    def bad(event):
        raise ValueError(f"no model for {event.payload['config_key']}")

    async def later(event):
        await asyncio.sleep(0.05)
        order.append("later")

    names = [bus.subscribe("training_completed", each).name for each in (good, bad, later)]
    emission = bus.emit_and_wait(StageEvent.TRAINING_COMPLETED, {"config_key": "hex8_2p"}, timeout=10.0)
    assert order == ["hex8_2p", "later"]
    assert sorted(emission.handled) == sorted([names[0], names[2]])
    assert emission.failed == {names[1]: "ValueError: no model for hex8_2p"}
    assert (emission.unfinished, emission.succeeded, emission.receipt.status) == ([], False, "accepted")


def test_an_emission_that_is_not_handled_in_time_says_who_is_missing(local):
    bus, gate = get_stage_bus(), threading.Event()
    subscription = bus.subscribe("TRAINING_STARTED", lambda event: gate.wait(30.0))
    emission = bus.emit_and_wait("TRAINING_STARTED", {"job_id": "1"}, timeout=0.1)
    assert (emission.unfinished, emission.succeeded) == ([subscription.name], False)
    gate.set()
    assert emission.wait(10.0).succeeded


def test_in_a_coroutine_the_emission_is_awaited(local):
    async def story():
        bus, loop = get_stage_bus(), asyncio.get_running_loop()
        loops = []

        async def handler(event):
            loops.append(asyncio.get_running_loop() is loop)

        bus.subscribe("TRAINING_STARTED", handler)
        emission = await bus.emit_and_wait("TRAINING_STARTED", {"job_id": "1"}, timeout=10.0)
        return emission.succeeded, loops

    assert asyncio.run(story()) == (True, [True])


def test_a_duplicate_is_delivered_to_nobody_and_waited_for_by_nobody(local):
    bus, received = get_stage_bus(), []
    bus.subscribe("TRAINING_STARTED", received.append)
    assert bus.emit_and_wait("TRAINING_STARTED", {"job_id": "1"}, timeout=10.0).succeeded
    again = bus.emit_and_wait("TRAINING_STARTED", {"job_id": "1"}, timeout=60.0)
    assert (again.receipt.status, again.handled, len(received)) == ("duplicate", [], 1)


def test_a_stage_is_an_event_like_any_other(local):
    bus, staged, plain = get_stage_bus(), [], []
    bus.subscribe(StageEvent.TRAINING_STARTED, staged.append)
    subscribe("TRAINING_STARTED", plain.append)
    bus.emit("TRAINING_STARTED", {"job_id": "1"}, source="pipeline")
    publish("TRAINING_STARTED", {"job_id": "2"})
    for list_ in (staged, plain):
        eventually(lambda list_=list_: len(list_) == 2)
        assert [event.payload["job_id"] for event in list_] == ["1", "2"]
    assert bus.unsubscribe("training_started", staged.append)
    assert not bus.unsubscribe("training_started", staged.append)
    assert bus.emit_and_wait("TRAINING_STARTED", {"job_id": "3"}, timeout=10.0).succeeded
    eventually(lambda: len(plain) == 3)
    assert len(staged) == 2
    assert list(get_router().list_subscribers()) == ["TRAINING_STARTED"]
