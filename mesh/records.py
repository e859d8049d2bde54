"""Records: the events in a frame. They are taken apart, given their hashes, and cut out into frames of their own.

    Frame.events  ┌──────────┬──────────┬──────────┐ ──with_hashes──▶ the same, no hash left out     where it enters
                  │ record 0 │ record 1 │ record 2 │ ──select───────▶ record 0, record 2             without duplicates
                  └──────────┴──────────┴──────────┘ ──single───────▶ record 1                       to one consumer

The hash is made once, of the bytes that travel, where the event enters the mesh (`with_hashes`): by the node, which
needs it, and not by the publisher, whom it would cost a quarter of a `publish`. What a node makes need not be believed,
and on the way there the digest covers every byte. A publisher may fill it in all the same; then it must be right. An
ephemeral event is compared with nothing, so nobody makes its hash but a handler that asks for it.

Sequences are dense: events that turn out to be content duplicates are cut out of the frame by the node where they
enter (`select`), so `count` events always take `count` sequences and the books can be balanced by subtraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from blake3 import blake3

from mesh.errors import MalformedFrame
from mesh.frame import COPY_BYTES_MAX, HASH_BYTES, LENGTHS, NO_HASH, RECORD, Frame, check_records, content_hash
from mesh.limits import META_BYTES_MAX, PAYLOAD_BYTES_MAX
from mesh.topic import check_topic

_RECORD_BYTES = RECORD.size
_HASH_AT = 8
_unpack_hash_and_lengths = Struct("!8x16sHI").unpack_from
_new = tuple.__new__
"""As in `mesh.frame`: a named tuple's own constructor takes longer."""


class Record(NamedTuple):
    """One event inside a frame. `start` is the record's offset in `Frame.events`, in bytes."""

    time_us: int
    hash: bytes
    meta: bytes
    body: bytes
    start: int


def records(frame: Frame) -> list[Record]:
    """The events of a decoded frame, in order."""
    found, at, unpack, events = [], 0, RECORD.unpack_from, frame.events
    for _ in range(frame.count):
        time_us, hash_, meta_len, body_len = unpack(events, at)
        middle = at + _RECORD_BYTES + meta_len
        end = middle + body_len
        meta = events[at + _RECORD_BYTES : middle]
        found.append(_new(Record, (time_us, hash_, meta, events[middle:end], at)))
        at = end
    return found


def record_at(frame: Frame, index: int) -> int:
    """Where in `events` a decoded frame's record begins, in bytes."""
    events, at = frame.events, 0
    for _ in range(index):
        meta_len, body_len = LENGTHS.unpack_from(events, at)
        at += _RECORD_BYTES + meta_len + body_len
    return at


def hashes(frame: Frame) -> list[bytes]:
    """The content hashes of a decoded frame's events, in order; nothing else of them is taken apart."""
    found, at, unpack, events = [], 0, RECORD.unpack_from, frame.events
    for _ in range(frame.count):
        _, hash_, meta_len, body_len = unpack(events, at)
        found.append(hash_)
        at += _RECORD_BYTES + meta_len + body_len
    return found


def with_hashes(frame: Frame) -> tuple[Frame, list[bytes]]:
    """An unsealed frame whose events all have their content hash, and these hashes, in order.

    Raises `MalformedFrame`: of kind `hash` when a hash that was filled in is wrong, or what `check_records` has to say.
    Nearly half of what a node spends on an event of a burst is this loop, so it walks the records, hashes them and
    fills the hashes in in one go, the bytes between two hashes as one piece. One hasher serves them all, which takes
    0.43 µs for 200 bytes where a new one takes 0.54.
    """
    events, topic_wire = frame.events, check_topic(frame.topic)
    hasher = blake3()
    reset, update, digest = hasher.reset, hasher.update, hasher.digest
    found: list[bytes] = []
    pieces: list[bytes] = []
    at, kept, size = 0, 0, len(events)
    while at + _RECORD_BYTES <= size:
        given, meta_len, body_len = _unpack_hash_and_lengths(events, at)
        hash_at, start = at + _HASH_AT, at + _RECORD_BYTES + meta_len
        at = start + body_len
        if at > size or meta_len > META_BYTES_MAX or body_len > PAYLOAD_BYTES_MAX:
            break
        if body_len <= COPY_BYTES_MAX:
            reset()
            update(topic_wire + events[start:at])
            hash_ = digest(16)
        else:
            hash_ = content_hash(topic_wire, events[start:at])
        if given == NO_HASH:
            pieces += events[kept:hash_at], hash_
            kept = hash_at + HASH_BYTES
        elif given != hash_:
            raise MalformedFrame(
                "hash", f"event {len(found)} of {frame.count} on {frame.topic} does not match its content hash"
            )
        found.append(hash_)
    if len(found) != frame.count or at != size:
        check_records(frame)
    return (_new(Frame, (*frame[:-1], b"".join((*pieces, events[kept:])))) if kept else frame), found


def select(frame: Frame, taken: Sequence[Record], keep: Sequence[int]) -> Frame:
    """The frame with only the events at the indexes `keep` (ascending); used where duplicates are cut out."""
    ends = [record.start for record in taken[1:]] + [len(frame.events)]
    events = b"".join(frame.events[taken[index].start : ends[index]] for index in keep)
    return frame._replace(events=events, count=len(keep))


def single(frame: Frame, index: int, flags: int) -> Frame:
    """The event at `index` as a frame of its own: same identity, `flags` added."""
    number = frame.number + index if frame.number else 0
    sequence = frame.sequence + index if frame.sequence else 0
    one = select(frame, records(frame), [index])
    return one._replace(number=number, sequence=sequence, flags=frame.flags | flags)
