"""A spool's file as bytes: what is read back, what a cut or a flipped bit does to it, what of it is to be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.spool_records import (
    FIRST_AT,
    HEADER_BYTES,
    Content,
    Header,
    Kept,
    left_over,
    pack_event,
    pack_first,
    pack_frame,
    pack_header,
    read_records,
    unpack_header,
)

BOOT, PUBLISHER, FRESH = b"b" * 16, b"publishr", b"anotherp"
HEADER = Header(BOOT, PUBLISHER, 77, 1)

events = st.tuples(st.integers(1, 2**63), st.text("aü.", min_size=1, max_size=9), st.binary(max_size=40))
frames = st.tuples(st.integers(1, 2**63), st.integers(1, 1024))
records = st.lists(events | frames, max_size=8)


def pack(record) -> bytes:
    return pack_frame(*record) if len(record) == 2 else pack_event(*record)


def expected(taken) -> tuple[dict, dict]:
    """What should be read of these records: events without their places, frames."""
    return {r[0]: r[1:] for r in taken if len(r) == 3}, {r[0]: r[1] for r in taken if len(r) == 2}


def plain(content: Content) -> tuple[dict, dict]:
    return {number: event[:2] for number, event in content.events.items()}, content.frames


def content(numbers, frames=None, sound=True) -> Content:
    return Content({n: ("A", b"%d" % n, 0) for n in numbers}, frames or {}, 0, sound)


def test_a_header_is_read_back_and_its_first_number_can_be_written_alone():
    data = bytearray(pack_header(HEADER))
    assert unpack_header(bytes(data)) == HEADER
    data[FIRST_AT:] = pack_first(9)
    assert unpack_header(bytes(data)) == HEADER._replace(first=9)


@pytest.mark.parametrize("data", [b"", b"MESHSPL", pack_header(HEADER)[:-1], b"\x7fELF" + bytes(100)])
def test_what_has_no_header_is_no_spool(data):
    assert unpack_header(data) is None


@given(records)
def test_every_record_is_read_back(taken):
    data = pack_header(HEADER) + b"".join(map(pack, taken))
    found = read_records(data)
    assert plain(found) == expected(taken)
    assert (found.end, found.sound) == (len(data), True)
    assert all(data[at:].startswith(pack_event(n, topic, event)) for n, (topic, event, at) in found.events.items())


@given(records, st.data())
def test_a_torn_tail_costs_the_record_that_was_cut_and_nothing_before_it(taken, data):
    packed = [pack(record) for record in taken]
    whole = b"".join(packed)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [sum(map(len, packed[:n])) for n in range(len(packed) + 1)]
    kept = max(n for n, end in enumerate(ends) if end <= cut)
    found = read_records(pack_header(HEADER) + whole[:cut])
    assert plain(found) == expected(taken[:kept])
    assert (found.end, found.sound) == (HEADER_BYTES + ends[kept], True)


@given(records.filter(bool), st.data())
def test_a_flipped_bit_anywhere_is_noticed_and_costs_nothing_before_it(taken, data):
    packed = [pack(record) for record in taken]
    spoiled = bytearray(b"".join(packed))
    bit = data.draw(st.integers(0, 8 * len(spoiled) - 1))
    spoiled[bit // 8] ^= 1 << bit % 8
    ends = [sum(map(len, packed[:n])) for n in range(len(packed) + 1)]
    kept = max(n for n, end in enumerate(ends) if end <= bit // 8)
    found = read_records(pack_header(HEADER) + spoiled)
    assert plain(found) == expected(taken[:kept])
    assert (found.end, found.sound) == (HEADER_BYTES + ends[kept], False)


def test_a_number_that_stands_there_twice_is_the_later_one():
    data = pack_header(HEADER) + pack_event(1, "A", b"interrupted") + pack_event(1, "B", b"counts")
    assert plain(read_records(data)) == ({1: ("B", b"counts")}, {})


def test_what_has_no_receipt_is_left_over_with_its_numbers_and_its_frames():
    found = left_over(HEADER._replace(first=3), content(range(1, 8), {1: 2, 3: 2, 5: 1}), BOOT, FRESH)
    assert found == Kept(PUBLISHER, 3, [("A", b"%d" % n) for n in range(3, 8)], [2, 1])


def test_of_an_empty_file_only_the_publisher_and_the_next_number_are_left():
    assert left_over(HEADER._replace(first=41), content([]), BOOT, FRESH) == Kept(PUBLISHER, 41, [], [])


@pytest.mark.parametrize(
    ("frames", "counts"),
    [({}, []), ({2: 2}, []), ({1: 2, 4: 1}, [2]), ({1: 9}, []), ({1: 5}, [5]), ({1: 1, 2: 9}, [1])],
)
def test_frames_count_as_far_as_they_are_whole_and_follow_each_other(frames, counts):
    assert left_over(HEADER, content(range(1, 6), frames), BOOT, FRESH).frames == counts


@pytest.mark.parametrize(
    ("found", "boot"),
    [
        (content([1, 2], {1: 2}, sound=False), BOOT),
        (content([1, 2], {1: 2}), b"c" * 16),
        (content([1, 3], {1: 1}), BOOT),
        (content([2, 3], {2: 2}), BOOT),
    ],
    ids=["damaged", "another start of the machine", "a gap", "the beginning is missing"],
)
def test_numbers_that_may_be_taken_are_not_given_again_what_is_there_goes_under_a_new_publisher(found, boot):
    kept = [event[:2] for event in found.events.values()]
    assert left_over(HEADER, found, boot, FRESH) == Kept(FRESH, 1, kept, [])
