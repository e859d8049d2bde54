"""Lags: how many events each consumer has not settled, at a bounded cost per look.

    consumer   pattern ──▶ the streams it takes in (remembered) ──▶ Σ head - cursor
    ─────────────────────────────────────────────────────────────────────────────────────────────
    round 1    a ✓  b ✓  c ✓                budget used up: d, e keep what was known
    round 2    d ✓  e ✓  a ✓                goes on where the last round stopped

A node with 10,000 streams and hundreds of consumers has millions of pairs; looking at them all once a second would stop
the turn for seconds. So a round looks at a bounded number of streams, and each consumer's figure says how old it is. On
a node of the usual size (hundreds of streams) one round is everything.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.topic import Pattern
from node.delivery import CRASHES_MAX, Consumer
from node.relay import Relay
from node.state import State
from node.streams import Stream

LOOKS_MAX = 10_000
"""Streams looked at in one round: some 3 ms. One consumer is always looked at whole."""


class Lag(NamedTuple):
    """Events not settled, as counted at a moment of the monotonic clock, in microseconds."""

    events: int
    counted_us: int


class Lags:
    """The lags of a node's consumers. `refresh` looks, `of` says what is known."""

    def __init__(self, state: State, looks_max: int = LOOKS_MAX) -> None:
        self._state = state
        self._looks_max = looks_max
        self._known: dict[str, Lag] = {}
        self._last = ""
        self._matches = _Matches(state.relay)

    def of(self, consumer: str) -> Lag | None:
        """What is known of a consumer; None before it was looked at."""
        return self._known.get(consumer)

    def refresh(self, now_us: int) -> None:
        """Look at the next consumers, as many as the budget allows."""
        if self._matches.relay is not self._state.relay:  # read back from the disk: all streams are new objects
            self._matches = _Matches(self._state.relay)
        consumers = self._state.consumers
        self._known = {name: lag for name, lag in self._known.items() if name in consumers}
        names = sorted(consumers)
        begin = next((index for index, name in enumerate(names) if name > self._last), 0)
        looks = 0
        for name in names[begin:] + names[:begin]:
            if looks >= self._looks_max:
                break
            events, cost = self._look(consumers[name])
            self._known[name], self._last = Lag(events, now_us), name
            looks += cost

    def _look(self, consumer: Consumer) -> tuple[int, int]:
        """Events not settled, and how many streams were looked at."""
        events, cost = 0, 1
        for following in consumer.followings:
            streams, compared = self._matches.streams(following.pattern)
            cursors = following.cursors
            events += sum(stream.head - cursors.get(stream.id, stream.base) for stream in streams)
            events -= sum(count >= CRASHES_MAX for count in following.crashes.values())  # buried ahead of the cursor
            cost += len(streams) + compared
        return events, cost


class _Matches:
    """Which streams each pattern takes in. Streams are only ever added, so what is new is compared once."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._all: list[Stream] = []
        self._by_topic: dict[str, list[Stream]] = {}
        self._globs: dict[str, tuple[list[Stream], int]] = {}

    def streams(self, pattern: Pattern) -> tuple[list[Stream], int]:
        """The streams of a pattern, and how many had to be compared with it for that."""
        self._learn()
        if pattern.exact:
            return self._by_topic.get(pattern.text, []), 0
        found, compared = self._globs.get(pattern.text, ([], 0))
        fresh = self._all[compared:]
        found += [stream for stream in fresh if pattern.matches(stream.topic)]
        self._globs[pattern.text] = found, len(self._all)
        return found, len(fresh)

    def _learn(self) -> None:
        if len(self._all) == len(self.relay.by_id):
            return
        for stream in list(self.relay.by_id.values())[len(self._all) :]:
            self._all.append(stream)
            self._by_topic.setdefault(stream.topic, []).append(stream)
