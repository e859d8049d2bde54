"""The spool's file: held by one, mended at the start, kept small; and the outbox that begins with what it holds."""

import contextlib
import errno
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesh.spool
from mesh.errors import SpoolError
from mesh.frame import content_hash, decode, pack_record
from mesh.outbox import Outbox
from mesh.receipt import Receipt
from mesh.records import records
from mesh.spool import Spool
from mesh.spool_records import HEADER_BYTES, pack_event, read_records
from mesh.topic import check_topic
from tests import forking


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool"


def dies(spool: Spool) -> None:
    """What is left of a process that was killed: its file, and no lock."""
    os.close(spool._fd)


def record(topic: str, n: int) -> bytes:
    body = b'{"n":%d}' % n
    return pack_record(1, content_hash(check_topic(topic), body), b"", body)


@contextlib.contextmanager
def full_disk(monkeypatch):
    """There is room for five more bytes at the end of every file, and for anything within it."""
    pwrite = os.pwrite

    def within(fd, data, at):
        return pwrite(fd, data[: max(5, os.fstat(fd).st_size - at)], at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", within)
        yield


@contextlib.contextmanager
def dead_disk(monkeypatch):
    """Nothing can be written."""

    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fails)
        yield


def numbers_in(path: Path) -> list[int]:
    return list(read_records(path.read_bytes()).events)


def filled(path: Path, count: int) -> Spool:
    spool = Spool(path)
    for n in range(1, count + 1):
        spool.keep(n, "A", b"event %d" % n)
    return spool


# ---- the file


def test_a_new_spool_is_empty_and_its_owners_only(path):
    spool = Spool(path)
    assert (spool.kept.first, spool.kept.events, spool.kept.frames) == (1, [], [])
    assert path.stat().st_mode & 0o777 == 0o600
    spool.close()


def test_the_next_start_finds_the_publisher_the_events_and_the_frames(path):
    spool = filled(path, 5)
    spool.frame(1, 2)
    dies(spool)
    again = Spool(path)
    assert again.kept == spool.kept._replace(events=[("A", b"event %d" % n) for n in range(1, 6)], frames=[2])
    again.close()


def test_what_is_receipted_is_not_found_again_and_numbers_go_on(path):
    spool = filled(path, 5)
    spool.receipted(3)
    dies(spool)
    again = Spool(path)
    assert (again.kept.first, len(again.kept.events)) == (4, 2)
    again.receipted(5)
    again.close()
    assert path.stat().st_size == HEADER_BYTES
    third = Spool(path)
    assert (third.kept.publisher, third.kept.first, third.kept.events) == (spool.kept.publisher, 6, [])
    third.close()


def test_a_second_bus_is_refused_and_told_who_holds_the_file(path):
    spool = Spool(path)
    with pytest.raises(SpoolError, match=f"held by process {os.getpid()}; give every bus a spool of its own"):
        Spool(path)
    spool.close()
    Spool(path).close()


def test_a_file_that_is_no_spool_is_left_alone(path):
    path.write_text("precious")
    with pytest.raises(SpoolError, match="is no spool"):
        Spool(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/spool", "."])
def test_a_path_that_cannot_be_opened_is_named(tmp_path, name):
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / name)


def test_a_torn_record_is_cut_off_and_the_next_one_takes_its_place(path):
    dies(filled(path, 2))
    path.write_bytes(path.read_bytes() + pack_event(3, "A", b"never returned")[:-1])
    again = Spool(path)
    assert len(again.kept.events) == 2
    again.keep(3, "B", b"new")
    dies(again)
    assert Spool(path).kept.events[2:] == [("B", b"new")]


def test_of_a_damaged_file_the_whole_records_go_under_a_new_publisher(path, caplog):
    spool = filled(path, 3)
    spool.receipted(1)
    dies(spool)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    again = Spool(path)
    assert "is damaged at byte" in caplog.text
    assert again.kept.publisher != spool.kept.publisher
    assert (again.kept.first, again.kept.events) == (1, [("A", b"event 2")])
    again.keep(2, "A", b"event 3")
    dies(again)
    third = Spool(path)
    assert (third.kept.publisher, third.kept.events) == (again.kept.publisher, [("A", b"event 2"), ("A", b"event 3")])
    third.close()


def test_after_a_start_of_the_machine_the_publisher_is_another(path, tmp_path, monkeypatch):
    spool = filled(path, 3)
    spool.receipted(1)
    dies(spool)
    boot = tmp_path / "boot_id"
    boot.write_text("00000000-1111-2222-3333-444444444444\n")
    monkeypatch.setattr(mesh.spool, "_BOOT_ID", boot)
    again = Spool(path)
    assert again.kept.publisher != spool.kept.publisher
    assert (again.kept.first, again.kept.events) == (1, [("A", b"event 2"), ("A", b"event 3")])
    again.receipted(1)
    again.close()


def test_a_write_that_fails_half_is_an_error_and_leaves_no_trace(path, monkeypatch):
    spool = filled(path, 1)
    whole = path.read_bytes()
    with full_disk(monkeypatch), pytest.raises(SpoolError, match="No space left on device"):
        spool.keep(2, "A", b"no room")
    assert path.read_bytes() == whole
    spool.keep(2, "A", b"room")
    assert numbers_in(path) == [1, 2]
    spool.close()


def test_a_file_without_anything_left_is_emptied_once_it_is_large(path, monkeypatch):
    monkeypatch.setattr(mesh.spool, "EMPTY_FROM_BYTES", 200)
    spool = filled(path, 2)
    spool.receipted(2)
    assert numbers_in(path) == [1, 2]
    for n in range(3, 9):
        spool.keep(n, "A", b"event")
    spool.receipted(8)
    assert path.stat().st_size == HEADER_BYTES
    spool.keep(9, "A", b"event")
    assert numbers_in(path) == [9]
    spool.close()


def test_a_file_that_is_never_empty_stays_small_and_locked(path, monkeypatch):
    monkeypatch.setattr(mesh.spool, "COMPACT_FROM_BYTES", 2000)
    monkeypatch.setattr(mesh.spool, "CHECKPOINT_EVENTS", 8)
    spool, largest = Spool(path), 0
    for n in range(1, 2001):
        spool.keep(n, "A", b"event %d" % n)
        if n > 20:
            spool.frame(n - 20, 1)
            spool.receipted(n - 20)
        largest = max(largest, path.stat().st_size)
    assert largest < 6000
    with pytest.raises(SpoolError, match="held by"):
        Spool(path)
    dies(spool)
    again = Spool(path)
    assert (again.kept.publisher, again.kept.first) == (spool.kept.publisher, 1981)
    assert again.kept.events == [("A", b"event %d" % n) for n in range(1981, 2001)]
    assert [each.name for each in path.parent.iterdir()] == ["spool"]
    again.close()


def test_tidying_that_fails_costs_nothing_but_room(path, monkeypatch, caplog):
    monkeypatch.setattr(mesh.spool, "COMPACT_FROM_BYTES", 100)
    monkeypatch.setattr(mesh.spool, "CHECKPOINT_EVENTS", 1)
    spool = filled(path, 20)
    path.with_name("spool.new").mkdir()
    spool.receipted(19)
    assert "cannot be tidied" in caplog.text
    spool.keep(21, "A", b"event 21")
    dies(spool)
    again = Spool(path)
    assert (again.kept.first, [event for _, event in again.kept.events]) == (20, [b"event 20", b"event 21"])
    again.close()


def test_a_child_process_does_not_keep_the_lock(path):
    spool = Spool(path)
    told, tell = os.pipe()

    def act():
        spool.forked()
        os.write(tell, b"x")
        signal.pause()

    child = forking.begin(act)
    try:
        assert os.read(told, 1) == b"x"
        dies(spool)
        Spool(path).close()
    finally:
        os.kill(child, signal.SIGKILL)
        forking.end(child)
        os.close(told)
        os.close(tell)


# ---- the outbox


def outbox(spool: Spool, events_max: int = 1000) -> Outbox:
    return Outbox(spool.kept.publisher, events_max, 1 << 30, lambda: None, spool)


def put(box: Outbox, topics: str, first: int = 1) -> list[Receipt]:
    return [box.put(topic, record(topic, n)) for n, topic in enumerate(topics, first)]


def send_all(box: Outbox) -> list[bytes]:
    sent = []
    while (framed := box.next()) is not None:
        sent.append(framed.data)
        box.flight.sent(0.0)
    return sent


def receipts(number: int, count: int) -> dict[str, object]:
    return {"t": "receipts", "origin": "n.1", "runs": [(number, count, "A", number)]}


def test_frames_that_were_sent_are_sent_again_byte_for_byte_and_news_is_batched_anew(path):
    box = outbox(first := Spool(path))
    put(box, "AAB")
    sent = send_all(box)
    put(box, "BB", 4)
    dies(first)
    box = outbox(Spool(path))
    again = send_all(box)
    assert again[:2] == sent
    assert [(f.topic, f.number, f.count) for f in map(decode, again)] == [("A", 1, 2), ("B", 3, 1), ("B", 4, 2)]


def test_what_was_receipted_is_not_sent_again(path):
    box = outbox(first := Spool(path))
    put(box, "AB")
    send_all(box)
    box.receipts(receipts(1, 1), 0.0)
    dies(first)
    box = outbox(Spool(path))
    assert box.first == 2
    assert [decode(data).number for data in send_all(box)] == [2]
    box.receipts(receipts(2, 1), 0.0)
    assert box.empty
    assert box.flush(0.0)


def test_what_is_left_over_counts_against_the_bounds_and_for_a_flush(path):
    box = outbox(first := Spool(path))
    put(box, "AA")
    dies(first)
    box = outbox(Spool(path), events_max=2)
    with pytest.raises(mesh.BufferFull):
        box.put("A", record("A", 3))
    assert not box.flush(0.0)
    send_all(box)
    box.receipts(receipts(1, 2), 0.0)
    assert box.flush(0.0)


def test_an_event_that_cannot_be_written_is_not_taken(path, monkeypatch):
    box = outbox(Spool(path))
    put(box, "A")
    with full_disk(monkeypatch), pytest.raises(SpoolError):
        box.put("A", record("A", 2))
    put(box, "A", 3)
    (frame,) = map(decode, send_all(box))
    assert [each.body for each in records(frame)] == [b'{"n":1}', b'{"n":3}']


def test_a_frame_that_cannot_be_written_down_is_not_sent_and_tried_again(path, monkeypatch):
    box = outbox(first := Spool(path))
    put(box, "AAB")
    with dead_disk(monkeypatch):
        assert not box.send(lambda data: True, 0.0)
        assert box.flight.in_flight_since < 0.0
    sent = send_all(box)
    assert [decode(data).count for data in sent] == [2, 1]
    dies(first)
    assert send_all(outbox(Spool(path))) == sent


def test_a_spool_on_a_full_disk_gets_rid_of_what_it_holds_a_frame_at_a_time(path, monkeypatch, caplog):
    box = outbox(first := Spool(path))
    put(box, "AABB")
    with full_disk(monkeypatch):
        assert [(f.number, f.count) for f in map(decode, send_all(box))] == [(1, 2)]
        assert not box.send(lambda data: True, 0.0)
        box.receipts(receipts(1, 2), 0.0)
        sent = send_all(box)
    assert [(f.number, f.count) for f in map(decode, sent)] == [(3, 2)]
    assert caplog.text.count("No space left on device") == 1
    put(box, "B", 5)
    sent += send_all(box)
    dies(first)
    dies(second := Spool(path))
    assert (second.kept.first, second.kept.frames) == (3, [2, 1])
    box = outbox(third := Spool(path))
    assert send_all(box) == sent
    box.receipts(receipts(3, 2), 0.0)
    dies(third)
    assert Spool(path).kept.frames == [1]


def test_ephemeral_events_are_not_spooled(path):
    box = outbox(Spool(path))
    box.attach()
    box.express.put("A", record("A", 1))
    assert numbers_in(path) == []


def test_a_signal_handler_that_publishes_in_the_middle_comes_after_the_call_it_interrupted(path, monkeypatch):
    box = outbox(first := Spool(path))
    inner: list[Receipt] = []
    pwrite = os.pwrite

    def interrupted(fd, data, at):
        if not inner:
            inner.append(box.put("B", record("B", 2)))
        return pwrite(fd, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", interrupted)
        put(box, "A")
    sent = send_all(box)
    assert [(decode(data).topic, decode(data).number) for data in sent] == [("A", 1), ("B", 2)]
    dies(first)
    assert send_all(outbox(Spool(path))) == sent


@given(st.lists(st.sampled_from(["put", "put", "other", "send", "arrive", "receipt", "lose", "crash"]), max_size=60))
def test_whatever_crashes_when_every_event_whose_publish_returned_is_admitted_once_and_in_order(steps):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spool"
        spool = Spool(path)
        box, published, wire, answers, admitted, last = outbox(spool), 0, [], [], [], 0

        def arrive(data: bytes) -> int:
            """The node's rule: the next number is news, an older frame is receipted again, a later one is dropped."""
            frame = decode(data)
            if frame.number == last + 1:
                admitted.extend(each.body for each in records(frame))
            if frame.number <= last + 1:
                answers.append((frame.number, frame.count))
            return max(last, frame.number + frame.count - 1) if frame.number <= last + 1 else last

        for step in steps:
            if step in ("put", "other"):
                published += 1
                topic = "AB"[step == "other"]
                box.put(topic, record(topic, published))
            elif step == "send" and (framed := box.next()) is not None:
                wire.append(framed.data)
                box.flight.sent(0.0)
            elif step == "arrive" and wire:
                last = arrive(wire.pop(0))
            elif step == "receipt" and answers:
                box.receipts(receipts(*answers.pop(0)), 0.0)
            elif step == "lose" and answers:
                answers.pop(0)
            elif step == "crash":
                dies(spool)
                spool = Spool(path)
                box = outbox(spool)
        box.attach()
        for data in [*wire, *send_all(box)]:
            last = arrive(data)
        for answer in answers:
            box.receipts(receipts(*answer), 0.0)
        assert admitted == [b'{"n":%d}' % n for n in range(1, published + 1)]
        assert box.empty
        spool.close()
        assert path.stat().st_size == HEADER_BYTES
