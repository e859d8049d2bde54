"""The events in a frame: they come out as they went in, have the hash of their content, and stay byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MalformedFrame
from mesh.frame import DIRECTED, EPHEMERAL, REPLAYED, decode, encode, pack_event
from mesh.records import hashes, record_at, records, select, single, with_hashes
from tests.mesh.frames import bodies, event, frame_of, topics


class TestRecords:
    @given(topics, st.lists(bodies, min_size=1, max_size=5))
    def test_the_events_of_a_frame_come_back_with_hashes_that_fit(self, topic, events):
        frame = frame_of(*(event(topic, body, meta, time_us) for time_us, meta, body in events), topic=topic)
        taken = records(decode(encode(frame)))
        assert with_hashes(frame) == (frame, hashes(frame))
        assert hashes(frame) == [record.hash for record in taken]
        assert [(record.time_us, record.meta, record.body) for record in taken] == events

    @given(st.lists(bodies, min_size=1, max_size=5))
    def test_each_begins_where_the_one_before_has_ended(self, events):
        sections = [event("A", body, meta, time_us) for time_us, meta, body in events]
        frame = frame_of(*sections)
        starts = [len(b"".join(sections[:index])) for index in range(len(sections))]
        assert [record.start for record in records(frame)] == starts
        assert [record_at(frame, index) for index in range(len(sections))] == starts


class TestWithHashes:
    @given(topics, st.lists(st.tuples(bodies, st.booleans()), min_size=1, max_size=5))
    def test_a_hash_is_filled_in_where_the_publisher_left_it_out_and_nothing_else_changes(self, topic, events):
        whole = [event(topic, body, meta, time_us) for (time_us, meta, body), _ in events]
        packed = [pack_event(*each) if bare else full for full, (each, bare) in zip(whole, events, strict=True)]
        frame = frame_of(*whole, topic=topic)
        assert with_hashes(frame_of(*packed, topic=topic)) == (frame, hashes(frame))

    @pytest.mark.parametrize("size", [1000, 16_384, 100_000])
    def test_a_hash_is_filled_in_whatever_the_size(self, size):
        frame = frame_of(*2 * [event("A", b"x" * size)])
        assert with_hashes(frame_of(*2 * [pack_event(1, b"", b"x" * size)])) == (frame, hashes(frame))

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_one_wrong_hash_in_a_batch_is_named(self, index):
        bad = [event("A"), event("A"), event("A")]
        bad[index] = event("B")
        frame = decode(encode(frame_of(*bad)))
        with pytest.raises(MalformedFrame) as caught:
            with_hashes(frame)
        assert caught.value.kind == "hash"
        assert caught.value.detail == f"event {index} of 3 on A does not match its content hash"


class TestSelect:
    @given(st.lists(bodies, min_size=1, max_size=6), st.data())
    def test_what_is_kept_stays_byte_for_byte_and_in_order(self, events, data):
        sections = [event("A", body, meta, time_us) for time_us, meta, body in events]
        keep = sorted(data.draw(st.sets(st.sampled_from(range(len(events))), min_size=1)))
        frame = frame_of(*sections)
        chosen = select(frame, records(frame), keep)
        assert chosen == frame._replace(count=len(keep), events=b"".join(sections[index] for index in keep))
        assert decode(encode(chosen)) == chosen

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_a_single_event_keeps_its_identity_and_is_marked(self, index):
        sections = [event("A", body) for body in (b"{}", b'{"a":1}', b'{"a":2}')]
        one = single(frame_of(*sections, flags=REPLAYED), index, DIRECTED)
        assert one == frame_of(sections[index], flags=REPLAYED | DIRECTED, number=7 + index, sequence=9 + index)
        assert decode(encode(one)) == one

    def test_a_single_event_of_a_publishers_frame_has_no_sequence(self):
        frame = frame_of(event("A"), event("A"), sequence=0)._replace(origin="")
        assert single(frame, 1, 0) == frame._replace(count=1, number=8, events=event("A"))

    def test_a_single_ephemeral_event_has_no_identity(self):
        frame = frame_of(event("A"), event("A"), flags=EPHEMERAL, number=0, sequence=0)
        assert single(frame, 1, 0) == frame._replace(count=1, events=event("A"))
