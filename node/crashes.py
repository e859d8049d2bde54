"""Crashes: an event that takes its consumer's process with it, again and again, is taken out of its way.

    process dies ─▶ its marks name the events it was handling ─▶ counted per (consumer, event), on disk
                                                              ─▶ third time in a row: a dead letter of kind `crash`
    next process attaches ─▶ is told to skip the buried event ─▶ goes on behind it

Only durable consumers come back to the same event, so only they are counted. A redelivery that kills the process is a
failed attempt of its letter like any other. A death counts when the connection ended without a goodbye; the marks
(`mesh.marks`) say what was under way, so an operator's kill between two events blames none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mesh.marks import EVENT, Mark
from node.delivery import CRASHES_MAX, Following, buried, died
from node.reports import Reports
from node.state import State
from node.streams import Stream
from node.turn import Turn


class Crashes:
    """Counts deaths and buries. `take_marks` reads and removes the marks of a session."""

    def __init__(self, state: State, reports: Reports, take_marks: Callable[[bytes], list[Mark]]) -> None:
        self._state = state
        self._reports = reports
        self._take_marks = take_marks

    def ended(self, session: bytes, subs: Mapping[int, Following], in_order: bool, turn: Turn) -> None:
        """A session is over; unless it said goodbye, whatever it was handling is held against the event."""
        marks = self._take_marks(session)
        for mark in () if in_order else marks:
            following = subs.get(mark.sub)
            if following is None:
                continue
            if mark.kind == EVENT:
                self._blame_event(following, mark.value, turn)
            else:
                self._reports.redelivery_died(following, mark.value, turn)

    def _blame_event(self, following: Following, position: int, turn: Turn) -> None:
        """Count it, if it is in the log still: what is gone, or damaged, is given to nobody again."""
        row = next(iter(self._state.log.after(position - 1, 1)), None)
        stream = self._state.relay.by_id.get(row.stream) if row else None
        if row is None or row.position > position or stream is None or not following.durable:
            return
        if self._state.log.frame(row) is None:
            return
        sequence = row.sequence + position - row.position
        if sequence > following.cursor(stream):
            self._count(following, stream, sequence, turn)

    def _count(self, following: Following, stream: Stream, sequence: int, turn: Turn) -> None:
        count = following.crashes.get((stream.id, sequence), 0) + 1
        following.crashes[stream.id, sequence] = count
        turn.changes.crashes[following.consumer, stream.id, sequence] = count
        if count == CRASHES_MAX:
            self._reports.bury_crashed(following, stream, died(sequence, count), turn)


def skips(following: Following, streams: Iterable[Stream]) -> list[tuple[str, str, int]]:
    """What a program that attaches is told to skip: origin, topic, sequence."""
    return [(stream.origin, stream.topic, sequence) for stream in streams for sequence in buried(following, stream)]
