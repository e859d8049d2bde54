"""The cross-process queue: every consumer sees every event, and what is not acknowledged comes again."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mesh.coordination import close_default_bus, get_cross_process_queue, publish_cross_process
from mesh.coordination.default_bus import default_bus
from mesh.errors import ConsumerHeld, InvalidOption
from mesh.mailbox import Mailbox
from tests.conditions import eventually


def numbers(events):
    return [event.payload["samples"] for event in events]


def announce(count):
    for number in range(count):
        publish_cross_process("training_started", {"samples": number})
    assert default_bus().flush(10.0)


def test_what_was_published_before_the_queue_was_made_is_in_it(local):
    publish_cross_process("TRAINING_COMPLETED", {"config_key": "hex8_2p"})
    (event,) = get_cross_process_queue().get_pending_events()
    assert (event.topic, event.payload) == ("TRAINING_COMPLETED", {"config_key": "hex8_2p"})


def test_pending_is_what_is_not_acknowledged_and_nothing_else(local):
    queue = get_cross_process_queue()
    announce(5)
    eventually(lambda: len(queue.get_pending_events()) == 5)
    assert numbers(queue.get_pending_events(limit=3)) == [0, 1, 2]
    assert queue.acknowledge(queue.get_pending_events(limit=3)) == 3
    (event, _) = queue.get_pending_events()
    assert queue.acknowledge(event) == 1
    assert numbers(queue.get_pending_events()) == [4]
    assert get_cross_process_queue() is queue


def test_who_did_not_acknowledge_is_given_it_again_after_a_new_start(local):
    announce(4)
    queue = get_cross_process_queue("evaluator")
    eventually(lambda: len(queue.get_pending_events()) == 4)
    queue.acknowledge(queue.get_pending_events(limit=1))
    close_default_bus()
    again = get_cross_process_queue("evaluator")
    assert again is not queue
    eventually(lambda: len(again.get_pending_events()) == 3)
    assert numbers(again.get_pending_events()) == [1, 2, 3]


def test_what_one_consumer_acknowledges_is_nothing_to_the_others(local):
    one, two = get_cross_process_queue("one"), get_cross_process_queue("two")
    announce(3)
    for queue in (one, two):
        eventually(lambda queue=queue: len(queue.get_pending_events()) == 3)
    one.acknowledge(one.get_pending_events())
    assert one.get_pending_events(timeout=0) == []
    assert numbers(two.get_pending_events()) == [0, 1, 2]


def test_a_second_process_of_a_program_has_a_queue_of_its_own(local):
    other = local.connect(name=default_bus().name)
    other.subscribe("*", Mailbox(), name=f"{other.name}.queue", durable=True)
    assert get_cross_process_queue().name == f"{other.name}.queue#2"
    with pytest.raises(ConsumerHeld, match="is attached by"):
        get_cross_process_queue(f"{other.name}.queue")


def test_a_queue_takes_in_what_its_pattern_says(local):
    queue = get_cross_process_queue("trainer", pattern="training_started")
    assert queue.pattern == "TRAINING_STARTED"
    publish_cross_process("TASK_FAILED", {"task_id": "1"})
    announce(1)
    eventually(queue.get_pending_events)
    assert [event.topic for event in queue.get_pending_events()] == ["TRAINING_STARTED"]
    with pytest.raises(InvalidOption, match="queue 'trainer' takes in TRAINING_STARTED, not TASK_FAILED"):
        get_cross_process_queue("trainer", pattern="TASK_FAILED")


def test_a_failed_event_is_a_dead_letter_of_that_consumer(local, client):
    queue = get_cross_process_queue("evaluator")
    announce(1)
    (event,) = eventually(queue.get_pending_events)
    assert queue.fail(event, ConnectionError("no evaluation server"))
    (letter,) = eventually(lambda: client.request("dlq.list")["rows"])
    assert (letter["consumer"], letter["error_type"], letter["error"]) == (
        "evaluator",
        "ConnectionError",
        "no evaluation server",
    )


def test_a_closed_queue_is_opened_anew(local):
    queue = get_cross_process_queue("evaluator")
    queue.close()
    assert queue.get_pending_events(timeout=10.0) == []
    again = get_cross_process_queue("evaluator")
    announce(1)
    assert numbers(eventually(again.get_pending_events)) == [0]


def test_threads_that_ask_at_once_have_one_queue(local):
    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: get_cross_process_queue(), range(6)))
    assert len(found) == 1
