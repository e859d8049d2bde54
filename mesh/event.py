"""The event: what a publisher says, and what a handler is given.

A program makes an `Event` from a topic and a payload; the bus packs it (`pack`). A handler receives an `Event` that is
a view into a frame: nothing of the JSON is decoded until somebody asks for it, so an event nobody looks at costs a
dozen attribute stores.

    id  =  origin / topic / sequence        gpu-17.9f3a61c2/TRAINING_COMPLETED/42

The payload is a JSON object, serialised once with sorted keys. The bytes that were hashed are the bytes that travel.
orjson turns NaN and infinities into null without a word, which would be a silent change of the user's value; a payload
that yields `null` somewhere is therefore looked through, and refused if a float was the cause.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

import orjson

from mesh.errors import InvalidOption, NotSerializable, PayloadTooLarge
from mesh.frame import HASH_BYTES, RECORD, Frame, content_hash
from mesh.limits import META_BYTES_MAX, PAYLOAD_BYTES_MAX
from mesh.topic import check_topic

_OPTIONS = orjson.OPT_SORT_KEYS
_LEAVES = frozenset({str, int, bool, type(None)})


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
        self._parsed_meta: dict[str, Any] | None = _meta_fields(source, trace)
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


def pack_payload(payload: Mapping[str, Any] | None) -> bytes:
    """Serialise a payload: a JSON object with sorted keys. Raises `NotSerializable` or `PayloadTooLarge`."""
    if payload is None:
        return b"{}"
    if type(payload) is not dict:
        payload = _as_dict(payload, "payload")
    try:
        body = orjson.dumps(payload, option=_OPTIONS)
    except (TypeError, ValueError) as error:
        raise NotSerializable(f"payload is no JSON: {error}; use objects, lists, strings, numbers, booleans") from None
    if len(body) > PAYLOAD_BYTES_MAX:
        raise PayloadTooLarge(
            f"payload has {len(body)} bytes, at most {PAYLOAD_BYTES_MAX} are allowed; store it and publish its address"
        )
    null_at = body.rfind(b"null")  # in 8 KB without one: 1.5 µs, where `in` and `count` take 4
    if null_at >= 0 and not (None in payload.values() and body.rfind(b"null", 0, null_at) < 0):  # one, and it is None
        nulls = body.count(b"null")  # usually as many as the values themselves: then nothing is looked through
        if nulls > [*payload.values()].count(None):
            _refuse_lost_float(payload, "payload")  # more nulls than plain None accounts for
    return body


def pack_meta(
    source: str, trace: Mapping[str, Any] | None, dedup: bool = True, dedup_key: bytes | None = None
) -> bytes:
    """Serialise what stands beside the payload; empty when there is nothing to say.

    `dedup=False` tells the node where the event enters to keep it even if its content was announced before;
    `dedup_key`, 16 bytes, stands there for the content. Raises `InvalidOption` for a key of another length.
    """
    if not source and trace is None and dedup and dedup_key is None:
        return b""
    fields = _meta_fields(source, trace)
    if not dedup:
        fields["dedup"] = False
    if dedup_key is not None:
        fields["dedup_key"] = _key_text(dedup_key)
    try:
        meta = orjson.dumps(fields, option=_OPTIONS)
    except (TypeError, ValueError) as error:
        raise NotSerializable(f"source or trace is no JSON: {error}") from None
    if len(meta) > META_BYTES_MAX:
        raise PayloadTooLarge(f"source and trace have {len(meta)} bytes, at most {META_BYTES_MAX} are allowed")
    if b"null" in meta:
        _refuse_lost_float(fields.get("trace"), "trace")
    return meta


def _meta_fields(source: str, trace: Mapping[str, Any] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if source:
        fields["source"] = source
    if trace is not None:
        fields["trace"] = _as_dict(trace, "trace")
    return fields


def _key_text(key: bytes) -> str:
    if len(key) != HASH_BYTES:
        raise InvalidOption(f"dedup_key has {len(key)} bytes; give {HASH_BYTES}, a digest of what makes the fact")
    return key.hex()


def _as_dict(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise NotSerializable(
            f"{what} is a {type(value).__name__}, not a JSON object; wrap it, for example {{'value': …}}"
        )
    return dict(value)


def _refuse_lost_float(value: object, what: str) -> None:
    """Raise if a NaN or an infinity stands where the JSON says null (iterative: depth is the user's).

    A place is () or (place of the parent, key): it is spelt out only when there is something to complain about.
    """
    waiting: list[tuple[object, tuple[Any, ...]]] = [(value, ())]
    while waiting:
        value, place = waiting.pop()
        if type(value) in _LEAVES:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            place_text = _spell(what, place)
            raise NotSerializable(f"{place_text} is {value}, which JSON cannot carry; use null or a string")
        waiting += [(child, (place, key)) for key, child in _children(value)]


def _children(value: object) -> Iterable[tuple[object, object]]:
    """(key, child) of everything orjson looks into."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, Enum):
        return (("value", value.value),)
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name, None)) for field in fields_of(value)]
    return ()


def _spell(what: str, place: tuple[Any, ...]) -> str:
    keys = ""
    while place:
        place, key = place
        keys = f"[{key!r}]{keys}"
    return what + keys
