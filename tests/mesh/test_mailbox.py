"""A mailbox: events wait until they are asked for, and are settled when their consumer says so."""

import threading

import pytest

from mesh.client import NodeClient
from mesh.errors import InvalidOption
from mesh.limits import QUEUE_BYTES
from mesh.mailbox import Mailbox
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.batches import Told, batch, piece


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def mailbox(told):
    mailbox = Mailbox()
    mailbox.bind(told.finished, told.passed)
    return mailbox


def sequences(events):
    return [event.sequence for event in events]


def test_what_is_pending_stays_pending_until_it_is_acknowledged(mailbox, told):
    mailbox.put(piece(1, 3))
    first = mailbox.pending(limit=2)
    assert sequences(first) == [1, 2]
    assert mailbox.pending(limit=2) == first
    assert mailbox.acknowledge(first[0]) == 1
    assert sequences(mailbox.pending()) == [2, 3]
    assert told.words == [("ok", 1)]


def test_consecutive_events_are_settled_in_one_word_and_others_apart(mailbox, told):
    mailbox.put(piece(1, 6))
    events = mailbox.pending()
    assert mailbox.acknowledge([events[0], events[1], events[4], events[5]]) == 4
    assert told.runs == [(1, 2), (5, 2)]


def test_an_event_acknowledged_twice_is_settled_once(mailbox, told):
    mailbox.put(piece(1))
    (event,) = mailbox.pending()
    assert [mailbox.acknowledge(event), mailbox.acknowledge(event)] == [1, 0]
    assert told.words == [("ok", 1)]


def test_a_failed_event_is_told_with_its_error_and_pending_no_more(mailbox, told):
    mailbox.put(piece(1, 2))
    event, other = mailbox.pending()
    assert mailbox.fail(event, ValueError("no such model"))
    assert not mailbox.fail(event, ValueError("no such model"))
    assert told.words == [("failed", 1, "ValueError")]
    assert mailbox.pending() == [other]


def test_a_redelivery_is_settled_by_its_letter(mailbox, told):
    mailbox.put(piece(7, letter=3, attempt=2))
    (event,) = mailbox.pending()
    assert (event.sequence, event.attempt) == (7, 2)
    mailbox.acknowledge(event)
    assert (told.words, told.runs) == ([("ok", 3)], [])


def test_who_waits_is_woken_by_an_event_and_by_the_end(mailbox):
    found = []
    waiting = threading.Thread(target=lambda: found.append(sequences(mailbox.pending(timeout=10.0))))
    waiting.start()
    mailbox.put(piece(1))
    waiting.join(10.0)
    assert found == [[1]]
    assert mailbox.close() == 1
    assert mailbox.pending(timeout=10.0) == []


def test_the_end_counts_what_was_held_and_what_was_never_asked_for(mailbox, told):
    mailbox.put(piece(1, 5))
    held = mailbox.pending(limit=2)
    mailbox.acknowledge(held[0])
    assert mailbox.close() == 4
    assert mailbox.acknowledge(held[1]) == 0
    assert told.words == [("ok", 1)]


def test_bytes_count_until_the_acknowledgement(mailbox):
    one = len(batch(1).frame.events)
    mailbox.put(piece(1, 4))
    events = mailbox.pending()
    assert mailbox.queued_bytes == 4 * one
    mailbox.acknowledge(events[:3])
    assert mailbox.queued_bytes == one
    mailbox.acknowledge(events)
    assert mailbox.queued_bytes == 0


def test_a_mailbox_serves_one_subscription_and_gives_at_least_one_event(mailbox, told):
    with pytest.raises(InvalidOption, match="belongs to a subscription already"):
        mailbox.bind(told.finished, told.passed)
    with pytest.raises(InvalidOption, match="limit is 0; ask for one event or more"):
        mailbox.pending(limit=0)


# ---- at a real node


@pytest.fixture
def local():
    with LocalMesh() as found:
        yield found


def gather(mailbox, count):
    eventually(lambda: len(mailbox.pending(limit=count, timeout=0.1)) == count, what=f"{count} pending events")
    return mailbox.pending(limit=count)


def lag(local):
    with NodeClient(local.nodes[0].data_dir) as client:
        return {row["consumer"]: row["lag"] for row in client.request("consumers")["rows"]}


def test_what_was_not_acknowledged_comes_again_to_the_next_process_with_that_name(local):
    publisher = local.connect(name="publisher")
    with local.connect(name="reader") as bus:
        mailbox = Mailbox()
        bus.subscribe("A", mailbox, name="archive", durable=True)
        for number in range(10):
            publisher.publish("A", {"n": number})
        events = gather(mailbox, 10)
        mailbox.acknowledge(events[:4])
    with local.connect(name="reader") as bus:
        again = Mailbox()
        bus.subscribe("A", again, name="archive", durable=True)
        assert [event.payload["n"] for event in gather(again, 6)] == [4, 5, 6, 7, 8, 9]
        again.acknowledge(again.pending())
        eventually(lambda: lag(local) == {"archive": 0})


def test_a_mailbox_nobody_asks_holds_a_bounded_part_and_the_rest_waits_in_the_log(local):
    bus = local.connect()
    mailbox = Mailbox()
    bus.subscribe("A", mailbox, name="archive", durable=True, queue=10)
    for number in range(2000):
        bus.publish("A", {"n": number, "x": "x" * 8000})
    assert bus.flush(20.0)
    seen, largest = [], 0
    while len(seen) < 2000:
        events = mailbox.pending(timeout=10.0)
        largest = max(largest, mailbox.queued_bytes)
        seen += [event.payload["n"] for event in events]
        mailbox.acknowledge(events)
    assert seen == list(range(2000))
    assert largest < QUEUE_BYTES + (2 << 20)  # one answer of the log above the bound


def test_a_failed_event_becomes_a_letter_and_is_given_to_the_mailbox_again(local):
    bus = local.connect()
    mailbox = Mailbox()
    bus.subscribe("A", mailbox, name="archive", durable=True, attempts=2, backoff=(0.01, 0.01))
    bus.publish("A", {"n": 1})
    (event,) = gather(mailbox, 1)
    mailbox.fail(event, ValueError("no such model"))
    (again,) = gather(mailbox, 1)
    assert (again.id, again.attempt) == (event.id, 2)
    mailbox.acknowledge(again)
    with NodeClient(local.nodes[0].data_dir) as client:
        eventually(lambda: client.request("dlq.summary")["resolved"] == 1)
        assert client.request("audit")["balanced"]


def test_ephemeral_events_are_pending_too_and_settle_nothing(local):
    bus = local.connect()
    mailbox = Mailbox()
    subscription = bus.subscribe("A", mailbox)
    for number in range(3):
        bus.publish("A", {"n": number}, ephemeral=True)
    events = gather(mailbox, 3)
    assert mailbox.acknowledge(events) == 3
    assert mailbox.pending() == []
    subscription.close()
    assert mailbox.pending(timeout=10.0) == []
