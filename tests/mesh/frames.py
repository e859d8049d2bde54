"""Frames with any events one likes, for the tests of what they look like and of what is made of them."""

from __future__ import annotations

from hypothesis import strategies as st

from mesh.frame import Frame, content_hash, pack_record
from mesh.topic import check_topic

PUBLISHER = bytes.fromhex("0102030405060708")

topics = st.text("aZ09._-/ö", min_size=1, max_size=20)
bodies = st.tuples(st.integers(0, (1 << 64) - 1), st.binary(max_size=20), st.binary(max_size=40))
"""time_us, meta, body"""


def event(topic: str, body: bytes = b"{}", meta: bytes = b"", time_us: int = 1) -> bytes:
    """An event with its hash, as it stands in a frame."""
    return pack_record(time_us, content_hash(check_topic(topic), body), meta, body)


def frame_of(*sections: bytes, topic: str = "A", flags: int = 0, number: int = 7, sequence: int = 9) -> Frame:
    """A node's frame of these events."""
    return Frame(topic, flags, 0, PUBLISHER, number, sequence, len(sections), "n.1", b"".join(sections))
