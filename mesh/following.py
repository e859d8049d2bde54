"""Following: which events of which streams a subscription has, and which it must still ask for. No socket, no clock.

    live frames ─┐                                        ┌─▶ runs, in stream order ──▶ the handler's queue
    replayed ────┼─▶ one StreamTracker per (origin, topic)┤
    beacons ─────┘                                        └─▶ ask: ranges to be replayed

One rule covers a live gap, a subscriber that stood still, `since=` and a durable consumer that comes back: a stream is
*behind* when it is known to reach further than what has arrived, and whatever is behind is asked for. A frame that
finds the queue full is only noted (the stream is then behind) and pulled from the log when there is room.

    gap seen ──20 ms──▶ ask ──▶ answered ──▶ still behind? ask again at once, or later when the answer held nothing new

First contact. A stream the node did not list when it registered the subscription did not exist there, so its very first
event is owed: its tracker starts at 0. If its origin is another node, the log here may begin later than the stream
does, and the node calls the part before it gone. Whatever is called gone is reported as lost; the node, which knows
from where on a stream was owed here, books only what was.

An event the node has buried arrives in its frame like any other, live or replayed, and is left out when the frame is
handed on (`pieces`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mesh.batch import Batch
from mesh.limits import BATCH_EVENTS_MAX
from mesh.requests import Stream
from mesh.streams import Key, Range, Run, StreamTracker, without

ASK_AFTER_S = 0.02
"""A gap is given this long to close by itself: frames and beacons of one turn may be read in two."""

ASK_AGAIN_MAX_S = 1.0
"""Longest wait before asking again for what the last answer did not hold."""

LIGHT_EVENTS = 16 * BATCH_EVENTS_MAX
"""Events asked for at once while few bytes wait; the answer is bounded in bytes."""

STREAMS_ASKED_MAX = 64
"""Ranges in one request; the answer is bounded in bytes anyway."""


class Skip(NamedTuple):
    """What follows from a range the node called gone: `first` to `to` never come, and are to be reported as `lost`."""

    first: int
    to: int
    lost: Range


def after_gone(head: int, gone: Range) -> Skip | None:
    """Decide what a gone range means for a stream that has arrived up to `head`; None when it is no news.

    A range that does not touch the head must wait until what is before it has come: it is asked for, and called gone,
    once more.
    """
    if gone.last <= head or gone.first > head + 1:
        return None
    return Skip(head + 1, gone.last, Range(head + 1, gone.last))


class Following:
    """The streams of one subscription. Time is monotonic seconds, given as `now`; `room_max` is in events."""

    def __init__(self, room_max: int) -> None:
        self.room_max = room_max
        self.asking = False
        self._trackers: dict[Key, StreamTracker[Batch]] = {}
        self._behind: dict[Key, None] = {}
        self._buried: dict[Key, set[int]] = {}
        self._held = 0
        self._ask_at = 0.0
        self._ask_again_s = ASK_AFTER_S

    @property
    def behind(self) -> bool:
        """Whether any stream is known to reach further than what has arrived."""
        return bool(self._behind)

    @property
    def ask_at(self) -> float | None:
        """When `ask` may have something to say."""
        return self._ask_at if self._behind and not self.asking else None

    def registered(self, streams: Iterable[Stream], now: float) -> list[tuple[Key, int]]:
        """The node's list of streams. Returns those that are new here, with the sequence before the first owed.

        A stream that ends before what has arrived here begins anew: the node's disk is an older copy. So does one that
        is owed from further on only: another program had the name meanwhile, and has handled what is before.
        """
        begun = []
        for origin, topic, next_, head in streams:
            key = (origin, topic)
            known = self._trackers.get(key)
            if known is None or head < known.head or next_ - 1 > known.head:
                self._trackers[key] = StreamTracker(next_ - 1)
                begun.append((key, next_ - 1))
            self.learn(key, head, now)
        self._ask_at = now
        return begun

    def goes_on(self, batch: Batch) -> bool:
        """Take in, if there is room, a frame that is all news and just what its stream lacks; False: `offer` it.

        Nearly every frame is one like that, and this takes a quarter of the time of `offer` and `pieces`.
        """
        tracker = self._trackers.get(batch.key)
        if tracker is None or batch.first != tracker.head + 1 or tracker.known != tracker.head or self._buried:
            return False
        tracker.head = tracker.known = batch.first + batch.count - 1
        return True

    def offer(self, batch: Batch, queued: int, now: float, *, light: bool = False) -> list[Run[Batch]]:
        """Take a frame in while `queued` events wait; returns what may be handed on, in order.

        `light` says that they are few bytes, so that there is room whatever their number.
        """
        tracker = self._tracker(batch.key)
        last = batch.first + batch.count - 1
        if last <= tracker.head:
            return []
        if not light and not self._fits(batch, tracker.head, queued):
            self.learn(batch.key, last, now)
            return []
        runs = tracker.offer(batch.first, batch.count, batch)
        if runs:
            self._held -= sum(run.item.count for run in runs[1:])
        else:
            self._held += batch.count
        self._note(batch.key, tracker, now)
        return runs

    def learn(self, key: Key, head: int, now: float) -> None:
        """The stream reaches at least to `head`."""
        tracker = self._tracker(key)
        tracker.learn(head)
        self._note(key, tracker, now)

    def gone(self, key: Key, range_: Range, now: float) -> tuple[Skip | None, list[Run[Batch]]]:
        """The node no longer has this range: what was lost by it, and what was held behind it."""
        tracker = self._tracker(key)
        skip = after_gone(tracker.head, range_)
        if skip is None:
            return None, []
        runs = tracker.skip(skip.to)
        self._held -= sum(run.item.count for run in runs)
        self._note(key, tracker, now)
        return skip, runs

    def bury(self, key: Key, sequence: int) -> None:
        """The node says that an event is not to be handled, whenever and on whichever way it arrives."""
        if sequence > self._tracker(key).head:
            self._buried.setdefault(key, set()).add(sequence)

    def pieces(self, run: Run[Batch]) -> list[tuple[int, int]]:
        """What of a run is to be handled: pairs of indexes into the batch, the second exclusive. Ask once per run."""
        batch, offset = run
        buried = self._buried.get(batch.key)
        if buried is None:
            return [(offset, batch.count)]
        last = batch.first + batch.count - 1
        parts = without(Range(batch.first + offset, last), buried)
        if max(buried) <= last:
            del self._buried[batch.key]
        return [(part.first - batch.first, part.last + 1 - batch.first) for part in parts]

    def ask(self, queued: int, now: float, *, light: bool = False) -> list[tuple[Key, Range]]:
        """What to ask the log for now: nothing while an answer is awaited or the queue is more than half full."""
        room = max(self.room_max - queued, LIGHT_EVENTS if light else 0)
        if self.asking or not self._behind or now < self._ask_at or not (light or 2 * queued <= self.room_max):
            return []
        wanted: list[tuple[Key, Range]] = []
        for key in self._behind:
            for missing in self._trackers[key].missing():
                if room <= 0 or len(wanted) == STREAMS_ASKED_MAX:
                    break
                last = min(missing.last, missing.first + room - 1)
                wanted.append((key, Range(missing.first, last)))
                room -= last - missing.first + 1
        self.asking = bool(wanted)
        return wanted

    def answered(self, news: bool, now: float) -> None:
        """The answer was taken in; `news` says whether it held anything that was missing."""
        self.asking = False
        self._ask_again_s = ASK_AFTER_S if news else min(2 * self._ask_again_s, ASK_AGAIN_MAX_S)
        self._ask_at = now if news else now + self._ask_again_s

    def detached(self) -> None:
        """The node is gone, and with it any answer."""
        self.asking = False

    def _fits(self, batch: Batch, head: int, queued: int) -> bool:
        """What continues the stream may overshoot by a batch; what is held ahead of a gap may not."""
        if batch.first <= head + 1:
            return queued < self.room_max
        return queued + self._held + batch.count <= self.room_max

    def _tracker(self, key: Key) -> StreamTracker[Batch]:
        tracker = self._trackers.get(key)
        if tracker is None:
            tracker = self._trackers[key] = StreamTracker(0)
        return tracker

    def _note(self, key: Key, tracker: StreamTracker[Batch], now: float) -> None:
        if tracker.known > tracker.head:
            if not self._behind and not self.asking:
                self._ask_at = max(self._ask_at, now + ASK_AFTER_S)
            self._behind[key] = None
        elif key in self._behind:
            del self._behind[key]
            self._held = self._held if self._behind else 0


def replay_rows(wanted: Sequence[tuple[Key, Range]]) -> list[tuple[str, str, int, int]]:
    """The ranges of a `replay` request."""
    return [(key[0], key[1], range_.first, range_.last) for key, range_ in wanted]
