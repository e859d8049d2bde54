"""A batch: a frame on its way to the handlers of a program. It stays bytes until one of them asks for its events.

    frame ──▶ Batch ──▶ queues of the subscriptions ──passing──▶ some events at a time ──▶ the handler, one by one
                                                    ──events───▶ all of them, kept

What waits in a queue is no larger than what has travelled. For a handler that is given one event after the other they
are made a few at a time, and forgotten behind it. Where several handlers need the same event, or a job holds one of
them, all are made at once and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from mesh.event import Event, received_events
from mesh.frame import REPLAYED, Frame
from mesh.records import record_at
from mesh.streams import Key

EVENTS_AT_ONCE = 64
BYTES_AT_ONCE = 32 << 10
"""Events made together, at most, and about how many bytes of them. A handler that lets go of each is then given memory
that is in the cache, and the collector of cycles, which looks at every 700 objects more, has nothing to do: 1.17 µs for
an event whose payload is read, instead of 1.32 with a whole frame at once, and 16 for a document instead of 19.5."""


class Batch:
    """A frame as it is given to the subscriptions that take it in, for the `attempt`-th time; `shared` by several."""

    __slots__ = ("_events", "attempt", "count", "first", "frame", "key", "position", "replayed", "shared")

    def __init__(
        self, frame: Frame, position: int = 0, replayed: bool = False, attempt: int = 1, shared: bool = False
    ) -> None:
        self.frame = frame
        self.shared = shared
        self.attempt = attempt
        self.position = position
        self.replayed = replayed or bool(frame.flags & REPLAYED)
        self.key: Key = (frame.origin, frame.topic)
        self.first = frame.sequence
        self.count = frame.count
        self._events: list[Event] | None = None

    @property
    def events(self) -> list[Event]:
        """The events of the frame, in order; they are kept."""
        if self._events is None:
            self._events, _ = received_events(self.frame, self.position, self.attempt, self.replayed, 0, 0, self.count)
        return self._events

    def passing(self, start: int, stop: int) -> Iterable[Event]:
        """The events from index `start` up to `stop`, for a handler that is given one after the other.

        They are kept only if they are shared, so that a payload is decoded once for all handlers.
        """
        if self.shared or self.count == 1:
            return self.events[start:stop]
        return chain.from_iterable(self._some_at_a_time(start, stop))

    def _some_at_a_time(self, start: int, stop: int) -> Iterator[list[Event]]:
        at = record_at(self.frame, start)
        most = min(EVENTS_AT_ONCE, BYTES_AT_ONCE * self.count // len(self.frame.events) or 1)
        while start < stop:
            count = min(most, stop - start)
            found, at = received_events(self.frame, self.position, self.attempt, self.replayed, start, at, count)
            yield found
            start += count
