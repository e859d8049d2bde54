import struct

import pytest
from blake3 import blake3
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mesh.errors import InvalidTopic, MalformedFrame
from mesh.frame import (
    DIRECTED,
    EPHEMERAL,
    NO_HASH,
    REPLAYED,
    Frame,
    content_hash,
    decode,
    encode,
    pack_event,
    pack_record,
)
from mesh.limits import BATCH_BYTES_MAX, FRAME_BYTES_MAX, META_BYTES_MAX, PAYLOAD_BYTES_MAX
from mesh.records import Record, hashes, records, with_hashes
from mesh.topic import check_topic
from tests.mesh.frames import PUBLISHER, bodies, event, topics

# One whole frame, byte for byte. If it has to change, nodes of two versions cannot talk: raise the version instead.
LITERAL = bytes.fromhex(
    "412e 62 00"  # topic A.b, closing 0x00
    "01 02 03 03"  # version 1 · flags: replayed · 3 hops · origin of 3 bytes
    "0002 0000"  # 2 events · reserved
    "0102030405060708"  # publisher
    "0000000000000007"  # number
    "0000000000000009"  # sequence
    "71f00d08383f2211245e014392e002d1"  # digest
    "6e2e31"  # origin n.1
    "00060a24181e4000"  # event 1: time 1_700_000_000_000_000
    "c779d6d218d51b2a6d8ef7c0f27c5569"  # hash
    "0000 00000002"  # no meta, body of 2 bytes
    "7b7d"  # {}
    "00060a24181e4001"  # event 2: one microsecond later
    "2755c1549dde26a8940281a737ff0c59"  # hash
    "000e 00000007"  # meta of 14 bytes, body of 7
    "7b22736f75726365223a2278227d"  # {"source":"x"}
    "7b2261223a317d"  # {"a":1}
)
LITERAL_HEADER = 4
LITERAL_FRAME = Frame("A.b", REPLAYED, 3, PUBLISHER, 7, 9, 2, "n.1", LITERAL[LITERAL_HEADER + 48 + 3 :])

origins = st.text("azAZ09.-_", min_size=1, max_size=20)
countings = st.integers(1, (1 << 63) - 2000)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    topic = draw(topics)
    events = [event(topic, body, meta, time_us) for time_us, meta, body in draw(st.lists(bodies, min_size=1))]
    flags, hops = draw(st.sampled_from([0, REPLAYED, DIRECTED, REPLAYED | DIRECTED])), draw(st.integers(0, 255))
    frame = Frame(topic, flags, hops, draw(st.binary(min_size=8, max_size=8)), 0, 0, len(events), "", b"".join(events))
    match draw(st.sampled_from(["publisher", "node", "ephemeral"])):
        case "publisher":
            return frame._replace(number=draw(countings))
        case "node":
            return frame._replace(number=draw(countings), sequence=draw(countings), origin=draw(origins))
        case _:
            return frame._replace(flags=flags | EPHEMERAL, origin=draw(origins | st.just("")))


ONE_EVENT = event("A")


def sealed(
    *,
    topic=b"A\0",
    version=1,
    flags=0,
    hops=0,
    origin_len=None,
    count=1,
    reserved=0,
    publisher=PUBLISHER,
    number=1,
    sequence=0,
    origin=b"",
    events=ONE_EVENT,
    digest=None,
):
    """The layout written a second time, from its picture: a frame with any fields one likes and a digest that fits."""
    origin_len = len(origin) if origin_len is None else origin_len
    covered = topic + publisher + struct.pack("!QQHB", number, sequence, count, origin_len) + origin + events
    digest = blake3(covered).digest(16) if digest is None else digest
    head = struct.pack("!BBBBHH", version, flags, hops, origin_len, count, reserved)
    return topic + head + publisher + struct.pack("!QQ", number, sequence) + digest + origin + events


def kind_of(data: bytes) -> str:
    with pytest.raises(MalformedFrame) as caught:
        decode(data)
    return caught.value.kind


class TestLayout:
    def test_the_literal_frame_decodes_to_what_its_comments_say(self):
        assert decode(LITERAL) == LITERAL_FRAME
        assert records(LITERAL_FRAME) == [
            Record(1_700_000_000_000_000, bytes.fromhex("c779d6d218d51b2a6d8ef7c0f27c5569"), b"", b"{}", 0),
            Record(
                1_700_000_000_000_001,
                bytes.fromhex("2755c1549dde26a8940281a737ff0c59"),
                b'{"source":"x"}',
                b'{"a":1}',
                32,
            ),
        ]

    def test_what_the_comments_say_encodes_to_the_literal_frame(self):
        events = b"".join(
            (
                event("A.b", time_us=1_700_000_000_000_000),
                event("A.b", b'{"a":1}', b'{"source":"x"}', 1_700_000_000_000_001),
            )
        )
        assert encode(LITERAL_FRAME._replace(events=events)) == LITERAL

    def test_the_content_hashes_of_the_literal_frame_are_right(self):
        assert with_hashes(LITERAL_FRAME) == (LITERAL_FRAME, hashes(LITERAL_FRAME))

    @given(frames())
    def test_a_frame_made_from_the_picture_is_the_frame_that_encode_makes(self, frame):
        fields = frame._asdict() | {"topic": check_topic(frame.topic), "origin": frame.origin.encode()}
        assert sealed(**fields) == encode(frame)


class TestRoundTrip:
    @given(frames())
    def test_a_frame_comes_back_as_it_was(self, frame):
        assert decode(encode(frame)) == frame

    def test_the_largest_frame_there_can_be_is_a_frame(self):
        topic, origin = "t" * 200, "o" * 96
        filler, last = event(topic, b"x" * 1000), event(topic, b"x" * PAYLOAD_BYTES_MAX, b"x" * META_BYTES_MAX)
        filling = BATCH_BYTES_MAX // len(filler)
        frame = Frame(topic, 0, 0, PUBLISHER, 1, 1, filling + 1, origin, filler * filling + last)
        assert decode(encode(frame)) == frame
        assert BATCH_BYTES_MAX + len(last) + 201 + 48 + 96 <= FRAME_BYTES_MAX

    @pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 100_000])
    def test_the_hashes_are_the_same_however_they_are_computed(self, size):
        events = event("A", b"x" * size)
        assert content_hash(b"A\0", b"x" * size) == blake3(b"A\0" + b"x" * size).digest(16)
        assert encode(Frame("A", 0, 0, PUBLISHER, 1, 0, 1, "", events)) == sealed(events=events)

    def test_the_last_sequence_is_that_of_the_last_event(self):
        assert [LITERAL_FRAME.last, LITERAL_FRAME._replace(count=1).last] == [10, 9]

    def test_a_topic_that_is_none_is_not_encoded(self):
        with pytest.raises(InvalidTopic):
            encode(LITERAL_FRAME._replace(topic="a b"))


class TestContentHash:
    def test_it_is_blake3_over_topic_zero_and_body(self):
        assert content_hash(b"A\0", b"{}").hex() == "a54860d60a4e66eab89bd5613976c069"

    @given(topics, topics, st.binary(max_size=20), st.binary(max_size=20))
    @example("A", "A1", b"1", b"")
    def test_it_differs_with_the_topic_and_with_the_body(self, topic, other_topic, body, other_body):
        assume((topic, body) != (other_topic, other_body))
        assert content_hash(check_topic(topic), body) != content_hash(check_topic(other_topic), other_body)

    def test_a_publisher_packs_an_event_without_one(self):
        assert pack_event(7, b"{}", b'{"a":1}') == pack_record(7, NO_HASH, b"{}", b'{"a":1}')


MALFORMED = {
    "empty": (b"", "topic"),
    "empty topic": (sealed(topic=b"\0"), "topic"),
    "a control message": (b'\0{"a":1}', "topic"),
    "no zero": (b"A" * 300, "topic"),
    "topic of 201 bytes": (sealed(topic=b"x" * 201 + b"\0"), "topic"),
    "topic with white space": (sealed(topic=b"a b\0"), "topic"),
    "topic of the system": (sealed(topic=b"!a\0"), "topic"),
    "topic with a star": (sealed(topic=b"a*\0"), "topic"),
    "topic that is no UTF-8": (sealed(topic=b"\xff\0"), "topic"),
    "larger than any frame": (b"A\0" + bytes(FRAME_BYTES_MAX - 1), "size"),
    "topic alone": (b"A\0", "truncated"),
    "header one byte short": (sealed()[: 2 + 47], "truncated"),
    "version 0": (sealed(version=0), "version"),
    "version 2": (sealed(version=2), "version"),
    "wrong digest": (sealed(digest=bytes(16)), "digest"),
    "unknown flag": (sealed(flags=8), "flags"),
    "reserved bits": (sealed(reserved=1), "flags"),
    "ephemeral with a number": (sealed(flags=EPHEMERAL, number=1), "flags"),
    "ephemeral with a sequence": (sealed(flags=EPHEMERAL, number=0, sequence=1, origin=b"n.1"), "flags"),
    "no number": (sealed(number=0), "flags"),
    "sequence without origin": (sealed(sequence=1), "flags"),
    "origin without sequence": (sealed(origin=b"n.1"), "flags"),
    "number past the end": (sealed(number=(1 << 63) - 1024), "count"),
    "sequence past the end": (sealed(sequence=(1 << 63) - 1024, origin=b"n.1"), "count"),
    "no events": (sealed(count=0, events=b""), "count"),
    "1025 events": (sealed(count=1025, events=event("A") * 1025), "count"),
    "origin of 97 bytes": (sealed(sequence=1, origin=b"o" * 97), "origin"),
    "origin that is no ASCII": (sealed(sequence=1, origin="ö".encode()), "origin"),
    "origin with a slash": (sealed(sequence=1, origin=b"a/b"), "origin"),
    "origin with a blank": (sealed(sequence=1, origin=b"a b"), "origin"),
    "origin with a newline at its end": (sealed(sequence=1, origin=b"ab\n"), "origin"),
    "origin longer than the frame": (sealed(sequence=1, origin=b"n.1", origin_len=9, events=b""), "truncated"),
    "fewer events than counted": (sealed(count=2), "truncated"),
    "more events than counted": (sealed(events=event("A") * 2), "truncated"),
    "event without its last byte": (sealed(events=event("A")[:-1]), "truncated"),
    "event cut in its head": (sealed(events=event("A")[:29]), "truncated"),
    "one byte after the events": (sealed(events=event("A") + b"x"), "truncated"),
    "meta too large": (sealed(events=pack_record(1, bytes(16), b"x" * (META_BYTES_MAX + 1), b"{}")), "size"),
    "payload too large": (sealed(events=pack_record(1, bytes(16), b"", b"x" * (PAYLOAD_BYTES_MAX + 1))), "size"),
}


class TestMalformed:
    @pytest.mark.parametrize(("data", "kind"), MALFORMED.values(), ids=MALFORMED)
    def test_every_malformed_frame_has_its_kind(self, data, kind):
        assert kind_of(data) == kind

    def test_the_frame_those_are_made_from_is_fine(self):
        assert decode(sealed()) == Frame("A", 0, 0, PUBLISHER, 1, 0, 1, "", event("A"))
        assert decode(sealed(number=(1 << 63) - 1025)).number == (1 << 63) - 1025
        assert decode(sealed(sequence=1, origin=b"o" * 96)).origin == "o" * 96
        assert decode(sealed(count=1024, events=event("A") * 1024)).count == 1024

    def test_a_frame_cut_short_at_any_byte_is_malformed(self):
        kinds = [kind_of(LITERAL[:end]) for end in range(len(LITERAL))]
        topic, header = LITERAL_HEADER, 48
        assert kinds == ["topic"] * topic + ["truncated"] * header + ["digest"] * (len(LITERAL) - topic - header)

    def test_a_frame_with_anything_behind_it_is_malformed(self):
        assert kind_of(LITERAL + b"\0") == "digest"

    @pytest.mark.parametrize("frame", [LITERAL_FRAME, decode(sealed()), decode(sealed(flags=EPHEMERAL, number=0))])
    def test_every_flipped_bit_is_caught_but_those_that_may_change_on_the_way(self, frame):
        data, survivors = encode(frame), {}
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 0x80 >> bit % 8
            try:
                survivors[divmod(bit, 8)] = decode(bytes(flipped))
            except MalformedFrame:
                continue
        flags_at = len(check_topic(frame.topic)) + 1
        assert set(survivors) == {(flags_at, 5), (flags_at, 6), *((flags_at + 1, bit) for bit in range(8))}
        assert {found._replace(flags=0, hops=0) for found in survivors.values()} == {frame._replace(flags=0, hops=0)}
        assert {found.ephemeral for found in survivors.values()} == {frame.ephemeral}

    @given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"A\0\1" + tail))
    def test_random_bytes_are_malformed_and_nothing_worse(self, data):
        assert kind_of(data) in {"topic", "truncated", "version", "digest"}

    @given(frames(), st.data())
    def test_a_frame_with_a_piece_replaced_is_malformed_or_means_the_same(self, frame, data):
        whole = encode(frame)
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 16)))
        try:
            found = decode(whole[:start] + data.draw(st.binary(max_size=16)) + whole[end:])
        except MalformedFrame:
            return
        assert found._replace(flags=0, hops=0) == frame._replace(flags=0, hops=0)
        assert found.ephemeral == frame.ephemeral

    @given(
        st.fixed_dictionaries(
            {
                "topic": st.binary(max_size=4).map(lambda name: name.replace(b"\0", b"") + b"\0"),
                "flags": st.integers(0, 255),
                "origin_len": st.none() | st.integers(0, 255),
                "count": st.integers(0, 3) | st.integers(0, (1 << 16) - 1),
                "reserved": st.sampled_from([0, 0, 1, 65_535]),
                "number": st.sampled_from([0, 1, (1 << 63) - 1025, (1 << 64) - 1]),
                "sequence": st.sampled_from([0, 1, (1 << 63) - 1025, (1 << 64) - 1]),
                "origin": st.binary(max_size=4),
                "events": st.binary(max_size=70) | st.integers(0, 3).map(lambda times: event("A") * times),
            }
        )
    )
    def test_a_forger_who_knows_the_digest_gets_a_sound_frame_or_none(self, fields):
        try:
            frame = decode(sealed(**fields))
        except MalformedFrame:
            return
        assert decode(encode(frame)) == frame
        assert len(records(frame)) == frame.count
        assert b"".join(pack_record(*record[:4]) for record in records(frame)) == frame.events
