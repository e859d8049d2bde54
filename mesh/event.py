"""The event: what a publisher says, and what a handler is given.

A program makes an `Event` from a topic and a payload; the bus packs it (`mesh.packing`). A handler receives an `Event`
that is a view into a frame: nothing of the JSON is decoded until somebody asks for it, so an event nobody looks at
costs a dozen attribute stores.

    id  =  origin / topic / sequence        gpu-17.9f3a61c2/TRAINING_COMPLETED/42
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from mesh.frame import RECORD, Frame, content_hash
from mesh.packing import meta_fields
from mesh.topic import check_topic


class EventId(NamedTuple):
    """An event's identity in the mesh. `sequence` counts 1, 2, 3 … per origin and topic."""

    origin: str
    topic: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.origin}/{self.topic}/{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> EventId:
        """Read `origin/topic/sequence`; a topic may hold slashes. Raises `ValueError` with what is expected."""
        origin, _, rest = text.partition("/")
        topic, _, sequence = rest.rpartition("/")
        if not origin or not topic or not (sequence.isascii() and sequence.isdecimal()):
            raise ValueError(f"{text!r} is no event id; it looks like ORIGIN/TOPIC/SEQUENCE")
        return cls(origin, topic, int(sequence))


class Event:
    """One event. Made from `topic` and `payload` by a publisher; given to a handler with everything filled in.

    topic      the topic it was published to
    payload    the JSON object, decoded when first read
    source     who announced it, free text of the publisher ("" when not given)
    trace      the publisher's trace context, or None
    origin     `name.generation` of the node where it entered ("" before that)
    sequence   1, 2, 3 … per origin and topic (0 before that, and for ephemeral events)
    time       when it was published, by the publisher's wall clock (aware datetime, UTC)
    hash       hex of the content hash
    attempt    1 for the first time this consumer is given the event, 2 for the second …
    replayed   True when it came from the log instead of live
    position   place in the log of the node that delivered it (0 when not logged)
    """

    __slots__ = (
        "_body",
        "_hash",
        "_meta",
        "_parsed_meta",
        "_payload",
        "attempt",
        "origin",
        "position",
        "replayed",
        "sequence",
        "time_us",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        trace: Mapping[str, Any] | None = None,
    ) -> None:
        self.topic = topic
        self._payload: Mapping[str, Any] | None = {} if payload is None else payload
        self._parsed_meta: dict[str, Any] | None = meta_fields(source, trace)
        self._body = self._meta = self._hash = b""
        self.origin = ""
        self.sequence = self.position = self.time_us = 0
        self.attempt = 1
        self.replayed = False

    @property
    def payload(self) -> Any:
        """The JSON object. Handlers of one event share it: copy before changing it."""
        if self._payload is None:
            self._payload = orjson.loads(self._body)
        return self._payload

    @property
    def _fields(self) -> dict[str, Any]:
        if self._parsed_meta is None:
            self._parsed_meta = orjson.loads(self._meta) if self._meta else {}
        return self._parsed_meta

    @property
    def source(self) -> str:
        """Who announced it, in the publisher's words."""
        return str(self._fields.get("source", ""))

    @property
    def trace(self) -> dict[str, Any] | None:
        """The publisher's trace context, or None."""
        return self._fields.get("trace")

    @property
    def event_type(self) -> str:
        """The topic, under the name the coordination event system uses."""
        return self.topic

    @property
    def id(self) -> str:
        """`origin/topic/sequence`."""
        return f"{self.origin}/{self.topic}/{self.sequence}"

    @property
    def time(self) -> datetime:
        """Publication time by the publisher's wall clock, aware, UTC."""
        return datetime.fromtimestamp(self.time_us / 1e6, UTC)

    @property
    def hash(self) -> str:
        """The content hash as 32 hex digits ("" before it was published). That of an ephemeral event is made here."""
        if self._body and not self.sequence:
            return content_hash(check_topic(self.topic), self._body).hex()
        return self._hash.hex()

    def __repr__(self) -> str:
        return f"<Event {self.id} attempt {self.attempt}>" if self.origin else f"<Event {self.topic}>"


def received_events(
    frame: Frame, position: int, attempt: int, replayed: bool, start: int, at: int, count: int
) -> tuple[list[Event], int]:
    """`count` events of a decoded frame as handlers are given them, and where the next begins; JSON stays bytes.

    position   of the frame's first event in the log of the node that delivers it (0: not logged)
    start, at  index of the first of them, and where it begins in `Frame.events`

    Written out flat, because every delivered event comes by here: a constructor's call alone would double the time.
    Made first and filled then they cost a fifth less than made one by one.
    """
    topic, origin, sequence, events, new = frame.topic, frame.origin, frame.sequence, frame.events, Event.__new__
    sequence_step, position_step, unpack, record_bytes = bool(sequence), bool(position), RECORD.unpack_from, RECORD.size
    sequence += sequence_step * start
    position += position_step * start
    found = [new(Event) for _ in range(count)]
    for event in found:
        event.time_us, event._hash, meta_len, body_len = unpack(events, at)
        body_at = at + record_bytes + meta_len
        event._meta = events[body_at - meta_len : body_at] if meta_len else b""
        at = body_at + body_len
        event._body = events[body_at:at]
        event._payload = event._parsed_meta = None
        event.topic = topic
        event.origin = origin
        event.sequence = sequence
        event.position = position
        event.attempt = attempt
        event.replayed = replayed
        sequence += sequence_step
        position += position_step
    return found, at
