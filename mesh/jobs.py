"""Jobs: events on their way through a handler, and the queue they wait in.

    I/O thread ──put──▶ Inbox ──take──▶ Job ──handler──▶ None │ Failure │ Dropped

What runs the handlers is in `mesh.dispatch`; here is what a thread and a task have in common.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from mesh.batch import Batch
from mesh.event import Event
from mesh.marks import EVENT, LETTER, Marks
from mesh.requests import Failure
from mesh.streams import Key

Handler = Callable[[Event], Any]


class Job:
    """One event on its way through a handler. `key` is None for what is not settled by sequence."""

    __slots__ = ("event", "key", "letter", "started")

    def __init__(self, event: Event, key: Key | None, letter: int | None, started: float = 0.0) -> None:
        self.event = event
        self.key = key
        self.letter = letter
        self.started = started


class Dropped:
    """The verdict on a job nobody finished: its loop went away. It is neither done nor failed."""


Verdict = Failure | Dropped | None
"""What became of a job; None is success."""

Finished = Callable[[Job, Verdict], object]
"""Takes the verdict on one event."""

Passed = Callable[[Key | None, int, int], object]
"""Takes a run of successes: key, sequence of the first (0 for what has none), how many."""


class Marker:
    """Marks what one subscription has in its handlers, so that the node can tell what the process died of.

    A runner asks it before and after the handler: for every event of a durable consumer, else for redeliveries only.
    """

    def __init__(self, marks: Marks, sub: int, durable: bool) -> None:
        self.durable = durable
        self._marks = marks
        self._sub = sub
        self._slots: dict[Job, int] = {}

    def begin(self, job: Job) -> None:
        """The handler is about to be called. An event that is in no log is not marked: it will not come back."""
        if job.letter is not None:
            slot = self._marks.begin(LETTER, self._sub, job.letter)
        elif job.event.position:
            slot = self._marks.begin(EVENT, self._sub, job.event.position)
        else:
            return
        if slot is not None:
            self._slots[job] = slot

    def end(self, job: Job) -> None:
        """The handler has ended, or is given up. Said twice, or of what was not marked, it changes nothing."""
        slot = self._slots.pop(job, None)
        if slot is not None:
            self._marks.end(slot)


class Piece:
    """Consecutive events of one batch, on their way to a handler. `told` counts what was said of them so far.

    `key` is None for what is not settled by sequence; `letter` is the id of the letter when it is a redelivery.
    """

    __slots__ = ("batch", "key", "letter", "start", "stop", "told")

    def __init__(self, batch: Batch, start: int, stop: int, key: Key | None, letter: int | None) -> None:
        self.batch = batch
        self.start = self.told = start
        self.stop = stop
        self.key = key
        self.letter = letter

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Piece:
        """Some of it, by index into the batch."""
        return Piece(self.batch, start, stop, self.key, self.letter)

    def events(self, kept: bool) -> Iterable[Event]:
        """Its events, in order. `kept`: made together with all of the batch, which other pieces or `job` need too."""
        return self.batch.events[self.start : self.stop] if kept else self.batch.passing(self.start, self.stop)

    def job(self, index: int, started: float = 0.0) -> Job:
        """One event of it. `started`: monotonic seconds."""
        return Job(self.batch.events[index], self.key, self.letter, started)


class Inbox:
    """Events that wait for one subscription's handler. The owner holds `lock` around every call.

    They wait as frames, as they came; `size_bytes` is what these hold.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.closed = False
        self.size_bytes = 0
        self._waiting: deque[Piece] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, piece: Piece) -> None:
        """Append events."""
        self._waiting.append(piece)
        self._count += piece.stop - piece.start
        self.size_bytes += len(piece.batch.frame.events)

    def put_back(self, piece: Piece) -> None:
        """Whoever took these will not come to them: they are next."""
        if len(piece) and not self.closed:
            self._waiting.appendleft(piece)
            self._count += len(piece)
            self.size_bytes += len(piece.batch.frame.events)

    def take(self, most: int) -> Piece | None:
        """The next events, at most so many and of one batch, or None when there are none or the inbox is closed."""
        if not self._count or self.closed:
            return None
        piece = self._waiting[0]
        if len(piece) <= most:
            self._waiting.popleft()
            self._count -= len(piece)
            self.size_bytes -= len(piece.batch.frame.events)
            return piece
        taken = piece.part(piece.start, piece.start + most)
        self._waiting[0] = piece.part(taken.stop, piece.stop)
        self._count -= most
        return taken

    def close(self) -> int:
        """Hand out nothing more; returns how many events were still waiting."""
        self.closed = True
        dropped, self._count, self.size_bytes = self._count, 0, 0
        self._waiting.clear()
        return dropped


class Runner(Protocol):
    """What runs a subscription's handler: `Workers` or `Pumps`."""

    late: int

    @property
    def queued_bytes(self) -> int:
        """Bytes of the frames that wait for a handler."""

    def put(self, piece: Piece) -> None:
        """Queue events, and have them handled."""

    def queue(self, pieces: Iterable[Piece]) -> None:
        """Queue events that are handled from the next `wake` on, which comes soon."""

    def wake(self) -> None:
        """See to it that what was queued is handled."""

    def overdue(self, now: float) -> None:
        """Fail what has run too long. `now`: monotonic seconds."""

    def close(self) -> int:
        """Start nothing more; returns how many queued events will not be handled."""

    def here(self) -> bool:
        """Whether the caller must not wait for the handler, because it runs where the handler does."""
