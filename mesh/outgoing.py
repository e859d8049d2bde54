"""Outgoing: a run of published events on their way to the node, and what is said of them.

    records of one topic ──frame──▶ number, bytes ──▶ sent, answered, forgotten
        └── answers, which stay with the receipts (`mesh.receipt`)

The records are put into a frame when that can be sent and not before, so what accumulated meanwhile is one batch.
"""

from __future__ import annotations

from mesh.frame import encode_published
from mesh.receipt import Answers


class Outgoing:
    """Consecutive events of one topic. `size_bytes` is of their records; `left` of them are without an answer.

    `number`, `count`, `left` and `data` are there once it is framed.
    """

    __slots__ = ("answers", "count", "data", "left", "number", "records", "size_bytes", "topic")

    def __init__(self, topic: str, record: bytes) -> None:
        self.topic = topic
        self.records = [record]
        self.size_bytes = len(record)
        self.answers = Answers()

    def add(self, record: bytes) -> None:
        """One more event."""
        self.records.append(record)
        self.size_bytes += len(record)

    def frame(self, publisher: bytes, number: int, flags: int) -> None:
        """Put the events into a frame; none is added from here on. `number`: of the first, 0 for ephemeral ones."""
        records = self.records
        self.number = number
        self.count = self.left = count = len(records)
        events = b"".join(records) if count > 1 else records[0]
        self.data = encode_published(self.topic, flags, publisher, number, count, events)
        records.clear()

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.number + self.count - 1
