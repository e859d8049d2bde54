"""Ephemeral events: sent now or never, and never in silence."""

import pytest

from mesh.errors import BufferFull, EventRejected
from mesh.express import NOT_ATTACHED, TOO_FAST, Express
from mesh.frame import EPHEMERAL, decode, pack_event
from mesh.outbox import Outbox
from mesh.receipt import Receipt
from mesh.topic import check_topic

PUBLISHER = b"12345678"


def put(express: Express, topic: str) -> Receipt:
    return express.put(topic, pack_event(1, check_topic(topic), b"", b"{}"))


def fresh(events_max: int = 10) -> Express:
    return Express(PUBLISHER, events_max, 1 << 20, lambda: None, lambda: None)


def attached(events_max: int = 10) -> Express:
    express = fresh(events_max)
    express.attach()
    return express


def test_events_of_one_topic_are_one_frame_without_a_number():
    express = attached()
    for topic in "AAB":
        put(express, topic)
    frames = [decode(framed.data) for framed in iter(express.next, None)]
    assert [(f.topic, f.count, f.number, f.sequence, f.flags, f.publisher) for f in frames] == [
        ("A", 2, 0, 0, EPHEMERAL, PUBLISHER),
        ("B", 1, 0, 0, EPHEMERAL, PUBLISHER),
    ]
    assert not express


@pytest.mark.parametrize(("taken", "status"), [(True, "accepted"), (False, "rejected")])
def test_what_the_socket_took_is_accepted_and_what_it_did_not_take_is_lost(taken, status):
    express = attached()
    one = put(express, "A")
    express.sent(express.next(), taken)
    assert (one.status, one.event_id) == (status, "")
    assert (str(one.error) == TOO_FAST) is not taken


def test_without_a_node_an_event_is_refused_at_once():
    express = fresh()
    one = put(express, "A")
    assert one.status == "rejected"
    assert isinstance(one.error, EventRejected)
    assert str(one.error) == NOT_ATTACHED
    assert not express


def test_what_waits_when_the_node_goes_is_refused_and_what_comes_later_too():
    express = attached()
    waiting = put(express, "A")
    express.detach()
    later = put(express, "A")
    assert (waiting.status, later.status) == ("rejected", "rejected")
    assert (express.coming.count, express.gone_count) == (2, 2)


def test_what_waits_to_be_sent_is_bounded():
    express = attached(events_max=2)
    for _ in range(2):
        put(express, "A")
    with pytest.raises(BufferFull, match="2 events wait to be sent, which is the bound for ephemeral events"):
        put(express, "A")
    express.sent(express.next(), taken=True)
    put(express, "A")


def test_a_flush_waits_for_ephemeral_events_too():
    box = Outbox(PUBLISHER, 10, 1 << 20, lambda: None)
    box.attach()
    one = put(box.express, "A")
    assert not box.flush(0.0)
    box.express.sent(box.express.next(), taken=True)
    assert box.flush(0.0)
    assert one.status == "accepted"
