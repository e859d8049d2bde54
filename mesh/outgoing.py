"""Outgoing: a run of published events on their way to the node, and what is said of them.

    records of one topic ──frame──▶ number, bytes ──▶ sent, answered, forgotten
        └── answers, which stay with the receipts (`mesh.receipt`)

The records are put into a frame when that can be sent and not before, so what accumulated meanwhile is one batch.
"""

from __future__ import annotations

from mesh.frame import encode_published
from mesh.receipt import Answers


class Outgoing:
    """Consecutive events of one topic: `count` records, joined. `left` of the events are without an answer.

    `number`, `size_bytes` (of the records), `left` and `data` are there once it is framed. While it waits, it must cost
    the garbage collector little: a program that is ahead of its node has a hundred thousand of them. So the records are
    no list of objects but bytes.
    """

    __slots__ = ("answers", "count", "data", "left", "number", "records", "size_bytes", "topic")

    def __init__(self, topic: str, record: bytes) -> None:
        self.topic = topic
        self.records = bytearray(record)
        self.count = 1
        self.answers = Answers()

    def add(self, record: bytes) -> None:
        """One more event."""
        self.records += record
        self.count += 1

    def frame(self, publisher: bytes, number: int, flags: int) -> None:
        """Put the events into a frame; none is added from here on. `number`: of the first, 0 for ephemeral ones."""
        self.number = number
        self.left = self.count
        self.size_bytes = len(self.records)
        self.data = encode_published(self.topic, flags, publisher, number, self.count, self.records)
        del self.records

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.number + self.count - 1
