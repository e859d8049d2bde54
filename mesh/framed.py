"""Framed: a run of published events as the one frame it travels in, with the receipts that wait for it.

    A A A B B A ──▶ │ A A A │ B B │ A │      one topic, bounded in events and bytes, at least one event

A record is put into a frame at the moment it can be sent and not before, so what accumulated meanwhile is one batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from mesh.errors import MeshError
from mesh.frame import Frame, encode
from mesh.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from mesh.receipt import Receipt


class Framed:
    """A frame on its way: its bytes, and the receipts of its events. `left` counts those still pending."""

    __slots__ = ("count", "data", "left", "number", "receipts", "record_bytes")

    def __init__(self, number: int, data: bytes, receipts: list[Receipt], record_bytes: int) -> None:
        self.number = number
        self.data = data
        self.receipts = receipts
        self.count = self.left = len(receipts)
        self.record_bytes = record_bytes

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.number + self.count - 1


def make_framed(publisher: bytes, receipts: list[Receipt], number: int, flags: int) -> Framed:
    """Put events of one topic into a frame. `number`: of the first, 0 for ephemeral ones."""
    events = b"".join([receipt.record for receipt in receipts])
    for receipt in receipts:
        receipt.record = b""
    frame = Frame(receipts[0].topic, flags, 0, publisher, number, 0, len(receipts), "", events)
    return Framed(number, encode(frame), receipts, len(events))


def take_run(fresh: deque[Receipt]) -> list[Receipt]:
    """Take from the left what goes into one frame."""
    first = fresh.popleft()
    taken, topic, size = [first], first.topic, len(first.record)
    while fresh and len(taken) < BATCH_EVENTS_MAX:
        receipt = fresh[0]
        size += len(receipt.record)
        if receipt.topic != topic or size > BATCH_BYTES_MAX:
            break
        taken.append(fresh.popleft())
    return taken


def reject_all(receipts: Iterable[Receipt], error: MeshError) -> None:
    """The events behind these receipts will not be sent."""
    for receipt in receipts:
        receipt.reject(error)
