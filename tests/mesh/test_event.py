from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import NotSerializable
from mesh.event import Event, EventId, received_events
from mesh.frame import Frame, content_hash, pack_record
from mesh.packing import pack_meta, pack_payload


def received(topic, origin, sequence, time_us, hash_, meta, body, position=0, attempt=1, replayed=False):
    """One event as it comes out of a frame."""
    events = pack_record(time_us, hash_ or bytes(16), meta, body)
    frame = Frame(topic, 0, 0, bytes(8), 1, sequence, 1, origin, events)
    (event,), _ = received_events(frame, position, attempt, replayed, 0, 0, 1)
    return event


class TestEventId:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("gpu-17.9f3a61c2/TRAINING_COMPLETED/42", ("gpu-17.9f3a61c2", "TRAINING_COMPLETED", 42)),
            ("n.1/a/b/c/7", ("n.1", "a/b/c", 7)),
            ("n.1//a//7", ("n.1", "/a/", 7)),
        ],
    )
    def test_an_id_reads_back_as_it_was_written(self, text, parts):
        assert EventId.parse(text) == EventId(*parts)
        assert str(EventId.parse(text)) == text

    @pytest.mark.parametrize(
        "text", ["", "a", "a/b", "a/b/", "a//7", "/b/7", "a/b/-7", "a/b/x", "a/b/1.5", "a/b/٣", "//"]
    )
    def test_what_is_no_id_is_refused_with_its_form(self, text):
        with pytest.raises(ValueError, match="is no event id; it looks like ORIGIN/TOPIC/SEQUENCE"):
            EventId.parse(text)


class TestEvent:
    def test_a_publisher_fills_in_what_it_has_to_say_and_the_rest_is_empty(self):
        event = Event("A", {"a": 1}, source="me", trace={"id": "7"})
        assert (event.topic, event.event_type, event.payload) == ("A", "A", {"a": 1})
        assert (event.source, event.trace) == ("me", {"id": "7"})
        assert (event.origin, event.sequence, event.position, event.hash) == ("", 0, 0, "")
        assert (event.attempt, event.replayed) == (1, False)
        assert repr(event) == "<Event A>"

    def test_an_event_without_payload_source_or_trace_says_so(self):
        event = Event("A")
        assert (event.payload, event.source, event.trace) == ({}, "", None)

    def test_a_trace_that_is_no_object_is_refused_at_once(self):
        with pytest.raises(NotSerializable, match=r"^trace is a str"):
            Event("A", trace="abc")  # type: ignore[arg-type]

    def test_a_received_event_has_everything(self):
        meta, body = pack_meta("me", {"id": "7"}), pack_payload({"a": [1]})
        event = received(
            "A", "n.1", 42, 1_700_000_000_123_456, bytes(range(16)), meta, body, position=9, attempt=2, replayed=True
        )
        assert event.id == "n.1/A/42"
        assert event.time == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC)
        assert event.hash == "000102030405060708090a0b0c0d0e0f"
        assert (event.payload, event.source, event.trace) == ({"a": [1]}, "me", {"id": "7"})
        assert (event.position, event.attempt, event.replayed) == (9, 2, True)
        assert repr(event) == "<Event n.1/A/42 attempt 2>"

    def test_the_hash_of_an_ephemeral_event_is_made_when_it_is_asked_for(self):
        assert received("A", "n.1", 0, 0, b"", b"", b"{}").hash == content_hash(b"A\0", b"{}").hex()

    def test_the_json_is_decoded_when_it_is_first_read_and_once(self):
        event = received("A", "n.1", 1, 0, b"", b"no json", b'{"a":1}')
        assert event.payload is event.payload
        with pytest.raises(orjson.JSONDecodeError):
            _ = event.source

    def test_an_event_without_meta_has_neither_source_nor_trace(self):
        event = received("A", "n.1", 1, 0, b"", b"", b"{}")
        assert (event.source, event.trace) == ("", None)

    @given(st.integers(0, 4_000_000_000_000_000))
    def test_the_time_is_exact_to_the_microsecond(self, time_us):
        event = received("A", "n.1", 1, time_us, b"", b"", b"{}")
        assert event.time == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
