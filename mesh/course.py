"""A course: what the I/O thread keeps for one subscription. Its user holds a `mesh.subscription`.

    frames, heads, replays ──▶ Course ──pieces──▶ runner ──passed, finished──▶ Course ──▶ settlement
                               following: what is still missing

    new ──subscribe sent──▶ registering ──reply──▶ registered ──detached──▶ new …
                                  └──refused──▶ refused
    ending: nothing is taken in any more; what still runs may finish and is reported, then the node forgets the course

Between the moment the socket's filter is in force and the node's reply, frames may come of streams whose start is not
yet known. They wait (bounded) until the reply is in; what does not fit is a gap and repaired like any other.

Ephemeral events are in no log to be asked for. They wait in memory, many more of them than of others, and what finds no
room there is lost to this subscription alone: `missed` counts it.
"""

from __future__ import annotations

import logging
import threading
from typing import Literal

from mesh.batch import Batch
from mesh.errors import RequestRefused
from mesh.event import EventId
from mesh.following import Following
from mesh.jobs import Dropped, Job, Piece, Runner, Verdict
from mesh.limits import EPHEMERAL_BYTES, EPHEMERAL_EVENTS, QUEUE_BYTES
from mesh.options import Options
from mesh.requests import Json
from mesh.settlement import Settlement
from mesh.streams import Key, Range, Run

_log = logging.getLogger("mesh")

EARLY_MAX = 1000
"""Frames and heads kept while the node's reply to a registration is on its way."""

State = Literal["new", "registering", "registered", "refused"]


class Course:
    """One subscription at work. Others than the I/O thread only read it, and wait for `settled` and `ended`.

    `pending` counts events queued or in a handler, `missed` the ephemeral ones for which there was no room.
    """

    def __init__(self, sub: int, options: Options) -> None:
        self.sub = sub
        self.options = options
        self.runner: Runner
        self.following = Following(options.queue)
        self.settlement = Settlement()
        self.state: State = "new"
        self.error: RequestRefused | None = None
        self.register_at = 0.0
        self.warned = self.resuming = self.ending = self.listening = False
        self.pending = self.missed = self.failed = self.timed_out = 0
        self.settled = threading.Event()
        self.ended = threading.Event()
        self._early: list[Batch | tuple[Key, int]] = []
        self._letters: set[tuple[int, int]] = set()
        self._fresh: list[Piece] = []
        self._fresh_bytes = 0

    @property
    def fresh(self) -> bool:
        """Whether something was taken in since the last `wake`."""
        return bool(self._fresh)

    @property
    def quiet(self) -> bool:
        """Whether nothing is queued, running or unreported."""
        return not self.pending and not self.settlement.unreported

    @property
    def pressing(self) -> bool:
        """Whether what it has to report should be on the node's disk soon."""
        return self.options.durable or self.ending or self.settlement.faulty

    def registered(self, reply: Json, now: float) -> None:
        """The node has taken the subscription in and says where its streams stand."""
        for key, settled in self.following.registered([tuple(row) for row in reply["streams"]], now):
            self.settlement.begin(key, settled)
        for origin, topic, next_, _ in reply["streams"]:
            self.settlement.stands((origin, topic), next_ - 1)
        for origin, topic, sequence in reply.get("skip", ()):
            self.following.bury((origin, topic), sequence)
            self.settlement.bury((origin, topic), sequence)
        self.state, self.resuming = "registered", True
        self.settled.set()
        early, self._early = self._early, []
        for each in early:
            if isinstance(each, Batch):
                self.take_in(each, now)
            else:
                self.learn(*each, now)

    def refused(self, error: RequestRefused) -> None:
        """The node will not have it."""
        self.state, self.error = "refused", error
        self.settled.set()

    def detached(self) -> None:
        """The node is gone; everything that arrived stays, everything asked for is forgotten."""
        if self.state != "refused":
            self.state = "new"
        self.register_at, self.listening = 0.0, False
        self._early.clear()
        self.following.detached()

    def take_in(self, batch: Batch, now: float) -> None:
        """A frame of one of its topics, live or replayed."""
        if self.ending:
            return
        if not batch.first:
            self._take_ephemeral(batch)
        elif self.state != "registered":
            self._keep(batch)
        elif (self.pending < self.options.queue or self.light) and self.following.goes_on(batch):
            self._put(batch, 0, batch.count)
        else:
            self._hand_on(self.following.offer(batch, self.pending, now, light=self.light))

    def wake(self) -> None:
        """Have handled what was taken in since the last time.

        A handler's thread that were woken at every frame would take the interpreter from the thread that reads the next
        one, at every frame.
        """
        fresh, self._fresh, self._fresh_bytes = self._fresh, [], 0
        self.runner.queue(fresh)
        self.runner.wake()

    def learn(self, key: Key, head: int, now: float) -> None:
        """A stream it follows reaches at least to `head`."""
        if self.state == "registered":
            self.following.learn(key, head, now)
        else:
            self._keep((key, head))

    def replayed(self, batches: list[Batch], gone: list[tuple[Key, Range]], now: float) -> None:
        """The answer to a replay request: frames of the log, and what the log no longer has."""
        news = False
        for batch in batches:
            runs = self.following.offer(batch, 0, now)
            news = news or bool(runs)
            self._hand_on(runs)
        for key, range_ in gone:
            skip, runs = self.following.gone(key, range_, now)
            if skip is not None:
                self.settlement.skip(key, skip.first, skip.to, skip.lost)
                news = True
            self._hand_on(runs)
        self.following.answered(news, now)

    def redeliver(self, batch: Batch, letter: int) -> None:
        """An event that failed before is to be tried again; the node may say so twice."""
        tried, event = (letter, batch.attempt), str(EventId(*batch.key, batch.first))
        if not self.ending and tried not in self._letters and not self.settlement.knows(*tried, event):
            self._letters.add(tried)
            self.pending += 1
            self.runner.put(Piece(batch, 0, 1, None, letter))

    @property
    def light(self) -> bool:
        """Whether so few bytes wait that there is room whatever the number of events."""
        return self._waiting_bytes < QUEUE_BYTES

    @property
    def _waiting_bytes(self) -> int:
        return self._fresh_bytes + self.runner.queued_bytes

    def passed(self, key: Key | None, first: int, count: int) -> None:
        """A handler is done with `count` events of a stream from sequence `first` on, all of them well."""
        self.pending -= count
        if key is not None:
            self.settlement.pass_(key, first, first + count - 1)

    def finished(self, job: Job, verdict: Verdict) -> None:
        """A handler is done with one event."""
        self.pending -= 1
        failure = None if isinstance(verdict, Dropped) else verdict
        if failure is not None:
            self.failed += 1
            self.timed_out += failure["kind"] == "timeout"
        if job.letter is not None:
            self._letters.discard((job.letter, job.event.attempt))
        if isinstance(verdict, Dropped):
            return
        if job.letter is not None:
            self.settlement.finish_letter((job.letter, job.event.attempt, failure), job.event.id)
        elif job.key is not None:
            self.settlement.finish(job.key, job.event.sequence, failure)

    def end(self) -> None:
        """Take nothing more in and start nothing more; what runs may finish."""
        if not self.ending:
            self.ending = True
            self.runner.queue(self._fresh)
            self._fresh.clear()
            self.pending -= self.runner.close()

    def _hand_on(self, runs: list[Run[Batch]]) -> None:
        if not self.ending:
            for run in runs:
                for start, stop in self.following.pieces(run):
                    self._put(run.item, start, stop)

    def _put(self, batch: Batch, start: int, stop: int) -> None:
        self.pending += stop - start
        self._fresh.append(Piece(batch, start, stop, batch.key if batch.first else None, None))
        self._fresh_bytes += len(batch.frame.events)

    def _take_ephemeral(self, batch: Batch) -> None:
        if self.pending < EPHEMERAL_EVENTS and self._waiting_bytes < EPHEMERAL_BYTES:
            self._put(batch, 0, batch.count)
            return
        if not self.missed:
            _log.warning(
                "subscription %s misses ephemeral events: %d wait for its handler; its `missed` counts them",
                self.options.consumer,
                self.pending,
            )
        self.missed += batch.count

    def _keep(self, what: Batch | tuple[Key, int]) -> None:
        if self.state == "registering" and len(self._early) < EARLY_MAX:
            self._early.append(what)


def subscribe_fields(course: Course, marker: str) -> Json:
    """The fields of a course's `subscribe` request."""
    options = course.options
    return {
        "sub": course.sub,
        "consumer": options.consumer,
        "pattern": options.pattern.text,
        "durable": options.durable,
        "since": options.since,
        "attempts": options.policy.attempts,
        "backoff": [options.policy.first_s, options.policy.cap_s],
        "timeout_s": options.timeout_s,
        "resume": course.settlement.resume() if course.resuming else None,
        "marker": marker,
    }
