"""Replay: reading the log for whoever has a gap, in bounded chunks, and naming what is gone.

    asked for     4 ─────────────────────────────── 40
    in the log          [7..12][13..20]    [30..44]
    answer        gone 4..6 · rows 7..12, 13..20 · gone 21..29 · row 30..44      as far as `room` bytes reach

A row is checked before it leaves: one that is not what was written (`LogReader.frame`) is answered as gone. A flipped
bit is never delivered.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.frame import Frame
from node.changes import LogRow
from node.state import State
from node.streams import Stream

Gone = tuple[str, str, int, int]
"""origin, topic, first, last"""


def read_ranges(state: State, ranges: Sequence[Sequence[object]], room: int) -> tuple[list[LogRow], list[Gone]]:
    """The batches that hold the start of the ranges (origin, topic, first, last), up to `room` bytes, and the holes."""
    rows: list[LogRow] = []
    gone: list[Gone] = []
    for origin, topic, first, last in ranges:
        stream = state.relay.streams.get((str(origin), str(topic)))
        if stream is not None and room > 0:
            found, holes = _read(state, stream, int(str(first)), min(int(str(last)), stream.head), room)
            gone += [(stream.origin, stream.topic, *hole) for hole in holes]
            rows += found
            room -= sum(len(row.frame) for row in found)
    return rows, gone


def _read(state: State, stream: Stream, first: int, last: int, room: int) -> tuple[list[LogRow], list[tuple[int, int]]]:
    """Batches of `first`..`last`, and the holes in front of, between and behind them."""
    rows: list[LogRow] = []
    gone: list[tuple[int, int]] = []
    wanted = first
    for row in state.log.batches(stream.id, first, last):
        if not _is_of(stream, state.log.frame(row)):
            continue
        if row.sequence > wanted:
            gone.append((wanted, row.sequence - 1))
        rows.append(row)
        wanted = row.sequence + row.count
        room -= len(row.frame)
        if room <= 0:
            return rows, gone
    if wanted <= last:
        gone.append((wanted, last))
    return rows, gone


def _is_of(stream: Stream, frame: Frame | None) -> bool:
    return frame is not None and (frame.origin, frame.topic) == (stream.origin, stream.topic)
