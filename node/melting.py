"""Melting: what a publisher sent as several frames and one turn took in goes on as one.

    taken        A 7..7 │ A 8..9 │ A 10..10 │ B 11..11 │ A 12..12
    melted       A 7..10 ───────────────────│ B 11..11 │ A 12..12     one row, one digest, one message, one receipt each

A batch is what accumulated while the last send was under way; this says the same of what accumulated while the last
transaction was synced. Only what nobody can tell from one frame is melted: the same publisher, topic and marks, and
numbers that follow each other. A frame of another topic in between keeps its neighbours apart, so that a consumer of
several topics is given them in their publisher's order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mesh.frame import Frame
from mesh.limits import BATCH_EVENTS_MAX

MELTED_BYTES_MAX = 64 << 10
"""A frame costs about as much as copying so many bytes, so nothing is gained by melting larger ones."""


class Taken(NamedTuple):
    """A publisher's frame whose turn it was, its hashes filled in. `facts`: what its events count as (`contents`)."""

    frame: Frame
    facts: list[bytes]


def melted(taken: Iterable[Taken]) -> list[Taken]:
    """The same events in the same order, in fewer frames where they are small."""
    runs: list[list[Taken]] = []
    last: Frame | None = None
    count = size = 0
    for each in taken:
        frame = each.frame
        count += frame.count
        size += len(frame.events)
        if last is not None and _follows(last, frame) and count <= BATCH_EVENTS_MAX and size <= MELTED_BYTES_MAX:
            runs[-1].append(each)
        else:
            runs.append([each])
            count, size = frame.count, len(frame.events)
        last = frame
    return [run[0] if len(run) == 1 else _melt(run) for run in runs]


def _follows(last: Frame, frame: Frame) -> bool:
    return (
        frame.topic == last.topic
        and frame.number == last.number + last.count
        and frame.publisher == last.publisher
        and frame.flags == last.flags
        and frame.hops == last.hops
    )


def _melt(run: list[Taken]) -> Taken:
    facts = [fact for each in run for fact in each.facts]
    events = b"".join([each.frame.events for each in run])
    return Taken(run[0].frame._replace(count=len(facts), events=events), facts)
