"""Ephemeral events: sent as soon as the socket takes them, and never lost in silence."""

import threading

import pytest

from mesh.errors import BufferFull, BusClosed, EventRejected
from mesh.express import NOT_ATTACHED, Express
from mesh.frame import EPHEMERAL, decode, pack_event
from mesh.limits import BATCH_EVENTS_MAX
from mesh.outbox import Outbox
from mesh.receipt import Receipt
from tests.conditions import DEADLINE_S

PUBLISHER = b"12345678"


def put(express: Express, topic: str) -> Receipt:
    return express.put(topic, pack_event(1, b"", b"{}"))


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
    frames = []
    while (framed := express.next()) is not None:
        frames.append(decode(framed.data))
        express.sent(0.0)
    assert [(f.topic, f.count, f.number, f.sequence, f.flags, f.publisher) for f in frames] == [
        ("A", 2, 0, 0, EPHEMERAL, PUBLISHER),
        ("B", 1, 0, 0, EPHEMERAL, PUBLISHER),
    ]
    assert not express


def test_what_the_socket_took_is_accepted_and_what_it_did_not_take_is_next_again():
    express = attached()
    one = put(express, "A")
    framed = express.next()
    later = put(express, "A")
    assert express.next() is framed
    assert (one.status, later.status) == ("pending", "pending")
    express.sent(5.0)
    assert (one.status, one.event_id, later.status) == ("accepted", "", "pending")
    assert (express.gone_count, express.sent_at) == (1, 5.0)


def test_a_frame_the_socket_did_not_take_is_refused_when_the_node_goes():
    express = attached()
    both = [put(express, "A"), put(express, "A")]
    express.next()
    express.detach()
    assert [one.status for one in both] == ["rejected", "rejected"]
    assert (express.gone_count, express.next()) == (2, None)


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
    assert (express.coming.count, express.gone_count) == (1, 1)


def test_a_refusal_in_the_middle_of_another_put_takes_nothing_out_of_its_hands():
    express, refused = fresh(), []
    vain = express.put  # a thread that has come so far and no further
    express.attach()

    class Interrupted(str):
        """A topic whose comparison is the moment at which a signal handler publishes."""

        def __eq__(self, other):
            refused.append(vain("B", pack_event(1, b"", b"{}")))
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    waiting = [put(express, topic) for topic in ("A", Interrupted("A"), "A")]
    framed = decode(express.next().data)
    express.sent(0.0)
    assert (framed.topic, framed.count, express.next()) == ("A", 3, None)
    assert [receipt.status for receipt in waiting + refused] == ["accepted"] * 3 + ["rejected"]
    assert express.coming.count == express.gone_count


def test_once_closed_an_event_is_not_even_refused():
    express = fresh()
    express.coming.close("closed")
    with pytest.raises(BusClosed, match="closed"):
        put(express, "A")


@pytest.mark.parametrize("seen_by", ["refuse", "attach"])
def test_what_is_put_just_as_the_node_goes_away_is_refused_when_it_is_seen(seen_by):
    express = attached()
    late = express.put  # a thread that has come so far and no further
    express.detach()
    receipt = late("A", pack_event(1, b"", b"{}"))
    getattr(express, seen_by)()
    assert receipt.status == "rejected"
    assert express.next() is None


def test_what_waits_to_be_sent_is_bounded():
    express = attached(events_max=2)
    for _ in range(2):
        put(express, "A")
    with pytest.raises(BufferFull, match="2 events wait to be sent, which is the bound for ephemeral events"):
        put(express, "A")
    express.next()
    express.sent(0.0)
    put(express, "A")


def test_a_frame_filled_in_the_middle_of_another_put_does_not_wait_for_a_sender_that_waits_for_that_put():
    box = Outbox(PUBLISHER, 10_000, 1 << 20, lambda: None)
    box.attach()
    put(box.express, "A")
    sending, interrupted = threading.Event(), threading.Event()

    def take(_: bytes) -> bool:
        sending.set()
        return interrupted.wait(DEADLINE_S)

    def publish() -> None:
        with box.express.coming.lock:  # as a signal handler finds it that has interrupted a put
            sending.wait(DEADLINE_S)
            interrupted.set()
            for _ in range(BATCH_EVENTS_MAX + 1):
                put(box.express, "B")

    sender = threading.Thread(target=box.send, args=(take, 0.0), daemon=True)
    publisher = threading.Thread(target=publish, daemon=True)
    for thread in (sender, publisher):
        thread.start()
    for thread in (publisher, sender):
        thread.join(DEADLINE_S)
    assert (publisher.is_alive(), sender.is_alive(), box.empty) == (False, False, True)


def test_a_flush_waits_for_ephemeral_events_too():
    box = Outbox(PUBLISHER, 10, 1 << 20, lambda: None)
    box.attach()
    one = put(box.express, "A")
    assert not box.flush(0.0)
    assert box.send(lambda data: True, 0.0)
    assert box.flush(0.0)
    assert one.status == "accepted"


def test_a_full_pipe_keeps_both_kinds_and_takes_them_in_turn():
    box = Outbox(PUBLISHER, 10, 1 << 20, lambda: None)
    box.attach()
    lasting = [box.put(topic, pack_event(1, b"", b"{}")) for topic in "ABC"]
    passing = [put(box.express, topic) for topic in "ABC"]
    room, took = 0, []

    def take(data: bytes) -> bool:
        if len(took) < room:
            took.append(decode(data))
            return True
        return False

    assert not box.send(take, 0.0)
    for room in (4, 6):
        assert box.send(take, 0.0) is (room == 6)
    assert [(frame.topic, frame.ephemeral) for frame in took] == [(t, kind) for t in "ABC" for kind in (True, False)]
    assert [receipt.status for receipt in passing] == ["accepted"] * 3
    assert [receipt.status for receipt in lasting] == ["pending"] * 3
