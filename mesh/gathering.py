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
    """

    def __init__(
        self,
        events_max: int,
        bytes_max: int,
        wake: Callable[[], object],
        full: Callable[[str], str],
        keep: Keep | None = None,
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
        self._keeping = False
        self._coming: deque[Outgoing] = deque()
        self._runs: deque[Outgoing] = deque()
        self._growing: Outgoing | None = None

    def __bool__(self) -> bool:
        return bool(self._runs)

    # ---- any thread

    def put(self, topic: str, record: bytes) -> Receipt:
        """Take one event in. Raises `BusClosed`, `BufferFull` or `SpoolError`.

        What every event goes through is written out here: with a function for each step it takes half as long again.
        """
        with self.lock:
            size_bytes = len(record)
            if self.count >= self._count_max or self.size_bytes + size_bytes > self._size_bytes_max:
                self._refuse()
            if self._keep is not None and (receipt := self._write(self._keep, topic, record)):
                return receipt
            run, self._growing = self._growing, None
            if (
                run is not None
                and run.topic == topic
                and (index := run.count) < BATCH_EVENTS_MAX
                and len(run.records) + size_bytes <= BATCH_BYTES_MAX
            ):
                run.records += record
                run.count = index + 1
                if self._growing is None:
                    self._growing = run
            else:
                run, index = Outgoing(topic, record), 0
                self._runs.append(run)
                self._growing = run if self._runs[-1] is run else None
            self.count += 1
            self.size_bytes += size_bytes
            if self._coming:
                self._admit_coming()
        if self.asleep or (not index and len(self._runs) == 1 and monotonic() >= self.alone_from):
            self._wake()
        return Receipt(run.answers, index)

    def close(self, reason: str) -> None:
        """Take nothing more in; `reason` is what `BusClosed` says."""
        with self.lock:
            self.refusal = self.refusal or reason
            self._count_max = 0

    def forked(self, reason: str) -> None:
        """This is a copy in a child process: another thread may have held the lock when it was made."""
        self.lock = threading.RLock()
        self.close(reason)

    def _refuse(self) -> NoReturn:
        if self.refusal is not None:
            raise BusClosed(self.refusal)
        bound = f"{self._events_max} events" if self.count >= self._count_max else f"{self._bytes_max} bytes"
        raise BufferFull(self._full(bound))

    def _write(self, keep: Keep, topic: str, record: bytes) -> Receipt | None:
        """Write an event down; a receipt when that is left to the call this one has interrupted, which is writing."""
        if self._keeping:
            run = Outgoing(topic, record)
            self._coming.append(run)
            return Receipt(run.answers, 0)
        self._keeping = True
        try:
            keep(self.count + 1, topic, record)
        except BaseException:
            self._keeping = False
            self._admit_coming()
            raise
        self._keeping = False
        return None

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
