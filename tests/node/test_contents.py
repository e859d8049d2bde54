"""What an event counts as in the dedup window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.frame import Frame, content_hash, pack_record
from mesh.packing import pack_meta, pack_payload
from mesh.records import hashes, records
from node.contents import contents, opted_out

KEY = bytes(range(16))


def frame_of(*events: tuple[bytes, bytes]) -> Frame:
    """A frame of (meta, body)s."""
    packed = b"".join(pack_record(1, content_hash(b"A\x00", body), meta, body) for meta, body in events)
    return Frame("A", 0, 0, b"p" * 8, 1, 0, len(events), "", packed)


def facts(*events: tuple[bytes, bytes]) -> list[bytes]:
    frame = frame_of(*events)
    return contents(frame, hashes(frame))


def hash_of(body: bytes) -> bytes:
    return content_hash(b"A\x00", body)


@given(st.lists(st.tuples(st.none() | st.binary(min_size=16, max_size=16), st.integers(0, 3)), min_size=1, max_size=6))
def test_an_event_counts_as_its_key_and_one_without_as_its_hash(plan: list[tuple[bytes | None, int]]) -> None:
    events = [(pack_meta("me", None, True, key), pack_payload({"dedup_key": "k", "n": n})) for key, n in plan]
    assert facts(*events) == [key or hash_of(body) for (key, _), (_, body) in zip(plan, events, strict=True)]


def test_without_keys_the_hashes_themselves_are_given_back() -> None:
    frame = frame_of((b"", b"{}"), (b'{"source":"me"}', b"{}"))
    own = hashes(frame)
    assert contents(frame, own) is own


@pytest.mark.parametrize(
    "meta",
    [
        b'{"dedup_key":"00"}',
        b'{"dedup_key":"' + b"g" * 32 + b'"}',
        b'{"dedup_key":"' + b"00" * 17 + b'"}',
        b'{"dedup_key":16}',
        b'["dedup_key","dedup_key":"]',
        b'{"trace":{"dedup_key":"' + KEY.hex().encode() + b'"}}',
        b'"\xff"dedup_key":"',
    ],
)
def test_a_key_that_is_none_leaves_the_hash(meta: bytes) -> None:
    assert facts((meta, b'{"n":1}'), (pack_meta("", None, True, KEY), b"{}")) == [hash_of(b'{"n":1}'), KEY]


@pytest.mark.parametrize(
    ("meta", "opted"),
    [
        (b"", False),
        (pack_meta("me", {"dedup": False}), False),
        (pack_meta("", None, False), True),
        (pack_meta("me", {"a": 1}, False, KEY), True),
        (b'{"dedup":0}', False),
        (b'"dedup" no json', False),
    ],
)
def test_only_false_at_the_top_of_meta_opts_out(meta: bytes, opted: bool) -> None:
    (record,) = records(frame_of((meta, b"{}")))
    assert opted_out(record) is opted
