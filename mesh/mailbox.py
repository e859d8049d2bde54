"""A mailbox: events that wait until their consumer asks for them, and are settled when it says so.

    I/O thread ──put──▶ inbox ──pending()──▶ held ──acknowledge(events)──▶ settled: the node moves the cursor
                                              │  ▲
                                              │  └── pending() again gives what is held first
                                              └──fail(event, error)──▶ a letter, as from a handler that raised

Subscribed in the place of a handler, for a program that wants to choose the moment:

    mailbox = mesh.Mailbox()
    bus.subscribe("TRAINING_*", mailbox, name="archive", durable=True)
    for event in mailbox.pending(timeout=1.0):
        store(event)
        mailbox.acknowledge(event)

What is pending stays pending until it is acknowledged or failed: asking twice gives the same events, and with a durable
consumer a crash changes nothing either. Nothing is counted against an event that was only looked at, so neither the
subscription's timeout nor the node's count of deaths applies; a consumer that cannot cope with an event fails it.

Memory is bounded as for handlers: beyond the subscription's `queue` events (small ones: `QUEUE_BYTES`) whatever comes
waits in the node's log. Any thread may call; two threads that ask at once are given the same events.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from mesh.errors import InvalidOption
from mesh.event import Event
from mesh.failures import failure_of
from mesh.jobs import Finished, Inbox, Job, Passed, Piece
from mesh.streams import Key

PENDING_MAX = 100
"""How many events `pending` gives when nobody says otherwise."""


class _Held(NamedTuple):
    job: Job
    size_bytes: int


class Mailbox:
    """Holds one subscription's events for whoever asks. See the module for what it promises."""

    def __init__(self) -> None:
        self.late = 0
        self._inbox = Inbox()
        self._changed = threading.Condition(self._inbox.lock)
        self._held: dict[Event, _Held] = {}
        self._held_bytes = 0
        self._says: tuple[Finished, Passed] | None = None

    # ---- the consumer's side

    def pending(self, limit: int = PENDING_MAX, timeout: float = 0.0) -> list[Event]:
        """The oldest events that are neither acknowledged nor failed, at most `limit`, in order per stream.

        Waits up to `timeout` seconds while there are none; returns none at once when the subscription has ended.
        Raises `InvalidOption` for a limit below 1.
        """
        if limit < 1:
            raise InvalidOption(f"limit is {limit}; ask for one event or more")
        with self._changed:
            self._changed.wait_for(lambda: self._held or len(self._inbox) or self._inbox.closed, timeout)
            while len(self._held) < limit and (piece := self._inbox.take(limit - len(self._held))):
                self._hold(piece)
            return list(islice(self._held, limit))

    def acknowledge(self, events: Event | Iterable[Event]) -> int:
        """These events need nothing more; returns how many were held. Said twice, it changes nothing."""
        with self._changed:
            chosen = [events] if isinstance(events, Event) else events
            jobs = [job for event in chosen if (job := self._let_go(event))]
        finished, passed = self._bound()
        for job in jobs:
            if job.letter is not None:
                finished(job, None)
        for key, first, count in _runs(job for job in jobs if job.letter is None):
            passed(key, first, count)
        return len(jobs)

    def fail(self, event: Event, error: BaseException) -> bool:
        """The consumer cannot cope with an event: it is tried again or dead, by the subscription's policy.

        Returns whether the event was held.
        """
        with self._changed:
            job = self._let_go(event)
        if job is not None:
            finished, _ = self._bound()
            finished(job, failure_of(job, error))
        return job is not None

    @property
    def closed(self) -> bool:
        """Whether its subscription has ended."""
        return self._inbox.closed

    # ---- the subscription's side, the protocol `mesh.jobs.Runner`

    def bind(self, finished: Finished, passed: Passed) -> None:
        """It belongs to a subscription now. Raises `InvalidOption` when it belongs to one already."""
        if self._says is not None:
            raise InvalidOption("this mailbox belongs to a subscription already; make one for each")
        self._says = (finished, passed)

    @property
    def queued_bytes(self) -> int:
        """Bytes of the events that wait or are held."""
        return self._inbox.size_bytes + self._held_bytes

    def put(self, piece: Piece) -> None:
        """Take events in, and tell whoever waits for them."""
        self.queue([piece])
        self.wake()

    def queue(self, pieces: Iterable[Piece]) -> None:
        """Take events in; `wake` follows."""
        with self._changed:
            for piece in pieces:
                self._inbox.put(piece)

    def wake(self) -> None:
        """Tell whoever waits that events have come."""
        with self._changed:
            self._changed.notify_all()

    def overdue(self, now: float) -> None:
        """An event may be held for as long as its consumer likes."""

    def close(self) -> int:
        """Give out nothing more; returns how many events were neither acknowledged nor failed."""
        with self._changed:
            left = len(self._held)
            self._held.clear()
            self._held_bytes = 0
            self._changed.notify_all()
            return left + self._inbox.close()

    def here(self) -> bool:
        """Nobody runs in here."""
        return False

    def _bound(self) -> tuple[Finished, Passed]:
        assert self._says is not None  # only a subscription puts events in
        return self._says

    def _hold(self, piece: Piece) -> None:
        size_bytes = len(piece.batch.frame.events) // piece.batch.count
        for index in range(piece.start, piece.stop):
            job = piece.job(index)
            self._held[job.event] = _Held(job, size_bytes)
        self._held_bytes += len(piece) * size_bytes

    def _let_go(self, event: Event) -> Job | None:
        held = self._held.pop(event, None)
        if held is None:
            return None
        self._held_bytes -= held.size_bytes
        return held.job


def _runs(jobs: Iterable[Job]) -> Iterator[tuple[Key | None, int, int]]:
    """Jobs as stream, first sequence (0 for what has none) and how many follow each other."""
    run: tuple[Key | None, int, int] | None = None
    for job in jobs:
        sequence = job.event.sequence
        if run and (job.key, sequence) == (run[0], run[1] + run[2] if run[1] else 0):
            run = (run[0], run[1], run[2] + 1)
            continue
        if run:
            yield run
        run = (job.key, sequence, 1)
    if run:
        yield run
