"""Gathering: published events that wait to be sent, as the runs they will travel in.

    any thread ──put──▶ │ A A A │ B B │ A …  ──take──▶ the I/O thread
                                          ▲ the last run grows while its topic goes on and it has room

One lock makes the order of calls the order of events. It is reentrant, so that a signal handler may publish too: in the
middle of a `put` it finds no run that grows, because the call it has interrupted holds that one in its hands, and so it
begins another. Where events are written down first (`keep`), its event waits until the interrupted call has done that.

How much may wait is bounded by how much has left (`left`), and as long as nobody says more, filling up is two numbers
that are compared.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

from mesh.errors import BufferFull, BusClosed, SpoolError
from mesh.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from mesh.outgoing import Outgoing
from mesh.receipt import Answer, Receipt

Keep = Callable[[int, str, bytes], object]
"""Writes down what is put: which event in a row (from 1), topic, record. Raises `SpoolError`."""


class Gathering:
    """Bounded by events and bytes; `put` calls `wake` while `asleep` is set. `count` is of all that was ever put.

    Before that is set, an event that nothing waits in front of calls it from `alone_from` on (monotonic seconds).

    full(bound)  what `BufferFull` says when a bound, such as "100 events", is reached
    filled       called by whoever has filled a run, once its event is in
    """

    def __init__(
        self,
        events_max: int,
        bytes_max: int,
        wake: Callable[[], object],
        full: Callable[[str], str],
        keep: Keep | None = None,
        filled: Callable[[], object] | None = None,
    ) -> None:
        self.asleep = False
        self.alone_from = math.inf
        self.count = self.size_bytes = 0
        self.refusal: str | None = None
        self.lock = threading.RLock()
        self._events_max, self._bytes_max = self._count_max, self._size_bytes_max = events_max, bytes_max
        self._wake = wake
        self._full = full
        self._keep = keep
        self._filled = filled
        self._keeping = False
        self._coming: deque[Outgoing] = deque()
        self._runs: deque[Outgoing] = deque()
        self._growing: Outgoing | None = None
        self._run_events = self._run_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._runs)

    # ---- any thread

    def put(self, topic: str, record: bytes) -> Receipt:
        """Take one event in. Raises `BusClosed` or `BufferFull`.

        What every event goes through is written out here: with a function for each step it takes half as long again.
        Bounds are looked at where a run begins, and say how far it may grow; at every event that took a tenth more.
        """
        size_bytes = len(record)
        with self.lock:
            run, self._growing = self._growing, None
            if (
                run is not None
                and run.topic == topic
                and (index := run.count) < self._run_events
                and len(run.records) + size_bytes <= self._run_bytes
            ):
                run.records += record
                run.count = index + 1
                if self._growing is None:
                    self._growing = run
            else:
                filled = run is not None and run.topic == topic
                self._measure(size_bytes)
                run, index = Outgoing(topic, record), 0
                self._runs.append(run)
                self._growing = run if self._runs[-1] is run else None
            self.count += 1
            self.size_bytes += size_bytes
        if self.asleep or (not index and len(self._runs) == 1 and monotonic() >= self.alone_from):
            self._wake()
        if not index and filled and self._filled is not None:
            self._filled()
        return Receipt(run.answers, index)

    def put_kept(self, topic: str, record: bytes) -> Receipt:
        """Write one event down, then take it in. Raises `SpoolError` too; then it is not taken in."""
        assert self._keep is not None  # else nothing is written down
        with self.lock:
            self._measure(len(record))
            if self._keeping:
                run = Outgoing(topic, record)
                self._coming.append(run)
                return Receipt(run.answers, 0)
            self._keeping = True
            try:
                self._keep(self.count + 1, topic, record)
                return self.put(topic, record)
            finally:
                self._keeping = False
                self._admit_coming()

    def check_open(self) -> None:
        """Raises `BusClosed` when nothing is taken in any more."""
        if self.refusal is not None:
            raise BusClosed(self.refusal)

    def close(self, reason: str) -> None:
        """Take nothing more in; `reason` is what `BusClosed` says."""
        with self.lock:
            self.refusal = self.refusal or reason
            self._count_max = self._run_events = 0

    def forked(self, reason: str) -> None:
        """This is a copy in a child process: another thread may have held the lock when it was made."""
        self.lock = threading.RLock()
        self.close(reason)

    def _measure(self, size_bytes: int) -> None:
        """How far a run may grow that begins with so many bytes. Raises when there is no room for them.

        Looked at once more in the end: a signal handler may have closed this meanwhile.
        """
        events, bytes_ = self._count_max - self.count, self._size_bytes_max - self.size_bytes
        self._run_events = events if events < BATCH_EVENTS_MAX else BATCH_EVENTS_MAX
        self._run_bytes = bytes_ if bytes_ < BATCH_BYTES_MAX else BATCH_BYTES_MAX
        if self.count >= self._count_max or bytes_ < size_bytes:
            self._run_events = 0
            self._refuse()

    def _refuse(self) -> NoReturn:
        self.check_open()
        bound = f"{self._events_max} events" if self.count >= self._count_max else f"{self._bytes_max} bytes"
        raise BufferFull(self._full(bound))

    def _admit_coming(self) -> None:
        """Take in what came in the middle. Whoever published it has gone on, so its receipt is told of an error."""
        while self._keep is not None and self._coming and not self._keeping:
            run = self._coming.popleft()
            self._keeping = True
            try:
                self._keep(self.count + 1, run.topic, bytes(run.records))
                self._runs.append(run)
                self._growing = None
                self.count += 1
                self.size_bytes += len(run.records)
            except SpoolError as error:
                run.answers.say_all(Answer("rejected", error=error))
            finally:
                self._keeping = False

    # ---- the thread that sends

    def take(self) -> deque[Outgoing]:
        """All runs that wait; none of them grows any more."""
        with self.lock:
            runs, self._runs, self._growing = self._runs, deque(), None
        return runs

    def left(self, count: int, size_bytes: int) -> None:
        """So many events and bytes need no room any more, counted from the first that was ever put."""
        with self.lock:
            if self.refusal is None:
                self._count_max, self._size_bytes_max = count + self._events_max, size_bytes + self._bytes_max
