"""The outbox without sockets: numbers, batches, receipts, going back."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import BufferFull, BusClosed, EventRejected
from mesh.flight import ASKED_AGAIN_S, RESEND_AFTER_S
from mesh.frame import Frame, content_hash, decode, pack_record
from mesh.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from mesh.outbox import Outbox
from mesh.receipt import Receipt
from mesh.topic import check_topic

PUBLISHER = b"12345678"


def record(topic: str, body: bytes = b"{}") -> bytes:
    return pack_record(1, content_hash(check_topic(topic), body), b"", body)


def outbox(events_max: int = 10_000, bytes_max: int = 1 << 30) -> Outbox:
    return Outbox(PUBLISHER, events_max, bytes_max, lambda: None)


def put(box: Outbox, topics: str) -> list[Receipt]:
    return [box.put(topic, record(topic)) for topic in topics]


def send_all(box: Outbox, now: float = 0.0) -> list[Frame]:
    sent = []
    while (framed := box.next()) is not None:
        sent.append(decode(framed.data))
        box.flight.sent(now)
    return sent


def shape(frames: list[Frame]) -> list[tuple[str, int, int]]:
    return [(frame.topic, frame.number, frame.count) for frame in frames]


def receipts(*runs: tuple[int, int, str, int], **more: object) -> dict[str, object]:
    return {"t": "receipts", "origin": "n.1", "runs": runs, **more}


@pytest.mark.parametrize(
    ("topics", "frames"),
    [
        ("A", [("A", 1, 1)]),
        ("AAA", [("A", 1, 3)]),
        ("AABBA", [("A", 1, 2), ("B", 3, 2), ("A", 5, 1)]),
        ("ABC", [("A", 1, 1), ("B", 2, 1), ("C", 3, 1)]),
    ],
)
def test_a_batch_is_a_run_of_one_topic(topics, frames):
    box = outbox()
    put(box, topics)
    assert shape(send_all(box)) == frames


def test_a_batch_ends_at_the_bound_of_events():
    box = outbox()
    put(box, "A" * (BATCH_EVENTS_MAX + 1))
    assert shape(send_all(box)) == [("A", 1, BATCH_EVENTS_MAX), ("A", BATCH_EVENTS_MAX + 1, 1)]


def test_a_batch_ends_at_the_bound_of_bytes_but_takes_one_event_of_any_size():
    box = outbox()
    big = record("A", b'"' + b"x" * BATCH_BYTES_MAX + b'"')
    for each in (big, record("A"), record("A"), big):
        box.put("A", each)
    assert shape(send_all(box)) == [("A", 1, 1), ("A", 2, 2), ("A", 4, 1)]


def test_a_frame_of_a_publisher_has_no_origin_and_no_sequence():
    box = outbox()
    put(box, "A")
    (frame,) = send_all(box)
    assert (frame.publisher, frame.origin, frame.sequence, frame.flags) == (PUBLISHER, "", 0, 0)


def test_receipts_come_in_runs_and_resolve_every_number_of_them():
    box = outbox()
    given_ = put(box, "AABA")
    send_all(box)
    box.receipts(receipts((1, 2, "A", 7), (3, 1, "B", 1), (4, 1, "A", 9)), 1.0)
    assert [receipt.event_id for receipt in given_] == ["n.1/A/7", "n.1/A/8", "n.1/B/1", "n.1/A/9"]
    assert {receipt.status for receipt in given_} == {"accepted"}
    assert box.empty


def test_a_batch_with_duplicates_and_refusals_is_resolved_event_by_event():
    box = outbox()
    given_ = put(box, "AAAA")
    send_all(box)
    box.receipts(
        receipts((1, 1, "A", 1), (4, 1, "A", 2), duplicates=[(2, "n.1/A/1")], rejected=[(3, 1, "size", "too big")]), 0.0
    )
    assert [receipt.status for receipt in given_] == ["accepted", "duplicate", "rejected", "accepted"]
    assert given_[1].event_id == "n.1/A/1"
    assert isinstance(given_[2].error, EventRejected)
    assert "too big" in str(given_[2].error)
    assert given_[3].event_id == "n.1/A/2"
    assert box.empty


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_a_run_of_receipts_may_begin_and_end_inside_a_frame_and_reach_over_several(counts, data):
    box, given_ = outbox(), []
    for index, count in enumerate(counts):
        given_ += put(box, "AB"[index % 2] * count)
    send_all(box)
    total, answered = len(given_), set()
    while not box.empty:
        first = data.draw(st.integers(1, total))
        count = data.draw(st.integers(1, total - first + 1))
        box.receipts(receipts((first, count, "A", 100 + first)), 0.0)
        answered |= set(range(first, first + count))
        assert [receipt.done for receipt in given_] == [n in answered for n in range(1, total + 1)]
        if len(answered) < total and data.draw(st.booleans()):
            box.flight.go_back()
    assert [receipt.event_id for receipt in given_] == [f"n.1/A/{100 + n}" for n in range(1, total + 1)]


def test_a_receipt_that_comes_twice_changes_nothing():
    box = outbox()
    (receipt,) = put(box, "A")
    send_all(box)
    box.receipts(receipts((1, 1, "A", 1)), 0.0)
    box.receipts(receipts((1, 1, "A", 99)), 0.0)
    assert receipt.event_id == "n.1/A/1"


def test_going_back_sends_the_same_bytes_again_in_order():
    box = outbox()
    put(box, "AABBA")
    first = []
    while (framed := box.next()) is not None:
        first.append(framed.data)
        box.flight.sent(0.0)
    box.flight.go_back()
    second = []
    while (framed := box.next()) is not None:
        second.append(framed.data)
        box.flight.sent(0.0)
    assert second == first


@pytest.mark.parametrize(("number", "frames"), [(1, "ABA"), (2, "ABA"), (3, "BA"), (4, "BA"), (5, "A"), (6, "")])
def test_going_back_to_a_number_starts_with_the_frame_that_holds_it(number, frames):
    box = outbox()
    put(box, "AABBA")
    send_all(box)
    box.flight.go_back(number)
    assert "".join(frame.topic for frame in send_all(box)) == frames


def test_many_requests_to_resend_the_same_number_are_answered_once():
    box = outbox()
    put(box, "ABC")
    send_all(box, now=1.0)
    sent = []
    for now in (1.0, 1.1, 1.2, 1.0 + ASKED_AGAIN_S):
        box.flight.resend(2, now)
        sent.append(len(send_all(box, now)))
    assert sent == [2, 0, 0, 2]


def test_what_was_receipted_is_not_sent_again():
    box = outbox()
    put(box, "AB")
    send_all(box)
    box.receipts(receipts((1, 1, "A", 1)), 0.0)
    box.attach()
    assert box.first == 2
    assert shape(send_all(box)) == [("B", 2, 1)]


def test_a_lost_receipt_in_the_middle_keeps_the_numbers_unbroken():
    box = outbox()
    put(box, "ABC")
    send_all(box)
    box.receipts(receipts((3, 1, "C", 1)), 0.0)
    box.flight.go_back()
    assert shape(send_all(box)) == [("A", 1, 1), ("B", 2, 1), ("C", 3, 1)]


def test_a_receipt_for_a_frame_that_waits_to_be_resent_is_taken():
    box = outbox()
    (receipt,) = put(box, "A")
    send_all(box)
    box.flight.go_back()
    box.receipts(receipts((1, 1, "A", 1)), 0.0)
    assert receipt.done
    assert send_all(box) == []


def test_a_frame_without_receipt_is_resent_after_a_while_and_then_less_often():
    box = outbox()
    put(box, "A")
    send_all(box, now=100.0)
    assert not box.flight.resend_overdue(100.0 + RESEND_AFTER_S - 0.1)
    assert box.flight.resend_overdue(100.0 + RESEND_AFTER_S)
    send_all(box, now=106.0)
    assert not box.flight.resend_overdue(106.0 + RESEND_AFTER_S)
    assert box.flight.resend_overdue(106.0 + 2 * RESEND_AFTER_S)


def test_the_buffer_is_bounded_by_events():
    box = outbox(events_max=2)
    put(box, "AA")
    with pytest.raises(BufferFull, match="2 events wait for a receipt"):
        put(box, "A")
    send_all(box)
    box.receipts(receipts((1, 2, "A", 1)), 0.0)
    put(box, "A")


def test_the_buffer_is_bounded_by_bytes():
    size = len(record("A"))
    box = outbox(bytes_max=2 * size)
    put(box, "AA")
    with pytest.raises(BufferFull, match=f"{2 * size} bytes wait for a receipt"):
        put(box, "A")


def test_a_closed_outbox_takes_nothing():
    box = outbox()
    box.close("the bus is closed")
    with pytest.raises(BusClosed, match="the bus is closed"):
        put(box, "A")


def test_giving_up_resolves_everything_that_is_left():
    box = outbox()
    given_ = put(box, "AB")
    send_all(box)
    given_ += put(box, "C")
    box.give_up(BusClosed("closed"))
    assert [receipt.status for receipt in given_] == ["rejected"] * 3


def test_flush_waits_for_the_receipts_of_what_was_put_before():
    box = outbox()
    put(box, "A")
    send_all(box)
    assert box.flush(0.0) is False
    box.receipts(receipts((1, 1, "A", 1)), 0.0)
    assert box.flush(0.0) is True


def test_many_threads_get_numbers_without_a_gap():
    box = outbox(events_max=100_000)
    threads = [threading.Thread(target=put, args=(box, name * 500)) for name in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = send_all(box)
    assert sum(frame.count for frame in frames) == 2000
    assert [frame.number for frame in frames][1:] == [frame.number + frame.count for frame in frames][:-1]


@given(st.lists(st.sampled_from(["put", "put2", "send", "receipt", "lose", "back", "attach"]), max_size=60))
def test_whatever_happens_the_node_admits_every_number_once_and_every_receipt_resolves(steps):
    box, given_, admitted, line, node = outbox(), [], [], [], {"last": 0}

    def admit(frame: Frame) -> None:
        if frame.number == node["last"] + 1:
            node["last"] = frame.number + frame.count - 1
            admitted.extend(range(frame.number, frame.number + frame.count))
        if frame.number <= node["last"]:
            line.append((frame.number, frame.count, frame.topic, frame.number))

    for step in steps:
        if step.startswith("put"):
            given_ += put(box, "AAB" if step == "put" else "BA")
        elif step == "send" and (framed := box.next()) is not None:
            admit(decode(framed.data))
            box.flight.sent(0.0)
        elif step == "receipt" and line:
            box.receipts(receipts(line.pop(0)), 0.0)
        elif step == "lose" and line:
            line.pop(0)
        elif step == "back":
            box.flight.go_back(node["last"] + 1)
        elif step == "attach":
            box.attach()
    box.attach()
    for frame in send_all(box):
        admit(frame)
    box.receipts(receipts(*line), 0.0)
    assert admitted == list(range(1, len(given_) + 1))
    assert [receipt.event_id.rpartition("/")[2] for receipt in given_] == [str(n) for n in admitted]
    assert box.empty
