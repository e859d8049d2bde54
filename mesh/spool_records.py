"""A spool's file: what stands in it, and what of it is to be sent. Bytes and decisions only; `mesh.spool` does it.

    header   ┌──────────┬──────┬───────────┬─────┬─────┬───────┐
             │ MESHSPL1 │ boot │ publisher │ pid │ one │ first │     first: the oldest number without a receipt
             │ 8 bytes  │ 16   │ 8         │ u32 │ u32 │ u64   │     boot: the kernel's id of this start of the machine
             └──────────┴──────┴───────────┴─────┴─────┴───────┘     one: below
    record   ┌──────────────────────────┬────────────────────────────────────────────┐
             │ head                     │ body                                       │
             │ length │ crc32  │ crc32  │ number u64 · topic_len u8 · topic · event  │     an event, as in its frame
             │ u32    │ of the │ of the ├────────────────────────────────────────────┤
             │ of body│ body   │ two    │ number u64 · 0 u8 · count u16              │     `count` events are one frame
             └──────────────────────────┴────────────────────────────────────────────┘

A file that cannot grow has no room for the record of a frame. `one` is in the place of it, for the one frame that
begins at `first`: the count of its events, else 0.

A record that ends too early was cut off by the death of its process: `publish` never returned for it, and nobody has
seen it. If anything else is wrong, or the machine was started anew since, an end of the file may be missing that the
node knows. Then its numbers must not be given a second time: what there is goes under a new publisher's id
(`left_over`), and what of it had arrived arrives twice.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from mesh.limits import META_BYTES_MAX, PAYLOAD_BYTES_MAX, TOPIC_BYTES_MAX

_MAGIC = b"MESHSPL1"
_HEADER = Struct("!8s16s8sIIQ")
HEADER_BYTES = _HEADER.size
_FIRST = Struct("!IQ")
FIRST_AT = HEADER_BYTES - _FIRST.size
"""Where `one` and `first` stand: they alone are written again and again, with one write."""

_HEAD = Struct("!III")
_LENGTH_AND_CHECK = Struct("!II")
_PLACE = Struct("!QB")
_COUNT = Struct("!H")
_EVENT_HEAD_BYTES_MAX = 64
_LENGTH_MAX = _PLACE.size + TOPIC_BYTES_MAX + _EVENT_HEAD_BYTES_MAX + META_BYTES_MAX + PAYLOAD_BYTES_MAX


class Header(NamedTuple):
    """Whose events are in the file, which process holds it, and from which number on there is no receipt.

    `one`: events of the frame that begins there, if the file has no record of it.
    """

    boot: bytes
    publisher: bytes
    pid: int
    first: int
    one: int = 0


class Content(NamedTuple):
    """What a file holds. `events`: number → topic, packed event, where its record begins; `frames`: number → count.

    `end` is where the last whole record ends; `sound` says that nothing follows it but a record that was cut off.
    """

    events: dict[int, tuple[str, bytes, int]]
    frames: dict[int, int]
    end: int
    sound: bool


class Kept(NamedTuple):
    """What earlier starts have left: (topic, packed event) from number `first` on.

    `frames` are the counts of the frames they were put into, one after the other; what is behind was never sent.
    """

    publisher: bytes
    first: int
    events: list[tuple[str, bytes]]
    frames: list[int]


def pack_header(header: Header) -> bytes:
    """The beginning of a file."""
    return _HEADER.pack(_MAGIC, header.boot, header.publisher, header.pid, header.one, header.first)


def unpack_header(data: bytes) -> Header | None:
    """The header of a file; None when it is no spool."""
    if len(data) < HEADER_BYTES or not data.startswith(_MAGIC):
        return None
    _, boot, publisher, pid, one, first = _HEADER.unpack_from(data)
    return Header(boot, publisher, pid, first, one)


def pack_first(first: int, one: int = 0) -> bytes:
    """What is written at `FIRST_AT`."""
    return _FIRST.pack(one, first)


def pack_event(number: int, topic: str, event: bytes) -> bytes:
    """One event's record."""
    wire = topic.encode()
    return _pack(_PLACE.pack(number, len(wire)) + wire + event)


def pack_frame(number: int, count: int) -> bytes:
    """The record that says: `count` events from `number` on are one frame."""
    return _pack(_PLACE.pack(number, 0) + _COUNT.pack(count))


def _pack(body: bytes) -> bytes:
    head = _LENGTH_AND_CHECK.pack(len(body), crc32(body))
    return head + crc32(head).to_bytes(4) + body


def read_records(data: bytes) -> Content:
    """The whole records of a file, up to the first that is none. A number that stands there twice: the later counts."""
    found = Content({}, {}, 0, True)
    at, size = HEADER_BYTES, len(data)
    while at + _HEAD.size <= size:
        length, check, head_check = _HEAD.unpack_from(data, at)
        start = at + _HEAD.size
        if crc32(data[at : at + _LENGTH_AND_CHECK.size]) != head_check or not _PLACE.size < length <= _LENGTH_MAX:
            return found._replace(end=at, sound=False)
        if start + length > size:
            break
        body = data[start : start + length]
        if crc32(body) != check:
            return found._replace(end=at, sound=False)
        _take(body, at, found)
        at = start + length
    return found._replace(end=at)


def _take(body: bytes, at: int, found: Content) -> None:
    number, topic_len = _PLACE.unpack_from(body)
    rest = body[_PLACE.size :]
    if topic_len:
        found.events[number] = (rest[:topic_len].decode(), rest[topic_len:], at)
    else:
        found.frames[number] = int.from_bytes(rest)


def left_over(header: Header, content: Content, boot: bytes, fresh: bytes) -> Kept:
    """Decide what of a file is to be sent. `boot`: this start of the machine; `fresh`: an id no publisher ever had."""
    numbers = sorted(number for number in content.events if number >= header.first)
    events = [content.events[number][:2] for number in numbers]
    end = header.first + len(numbers)
    if not content.sound or header.boot != boot or numbers != list(range(header.first, end)):
        return Kept(fresh, 1, events, [])
    counts = {header.first: header.one} | content.frames
    frames, number = [], header.first
    while (count := counts.get(number, 0)) and number + count <= end:
        frames.append(count)
        number += count
    return Kept(header.publisher, header.first, events, frames)
