"""The node's state: what its parts share, and how it is rebuilt from the store.

    Store (disk) ──load──▶ Relay (streams, publishers, dedup window) · consumers (books, durable followings)

The memory is a copy of the disk plus what only lives as long as a connection. When a commit fails, the copy is thrown
away and read again: a start after a crash and the recovery from a failed write are the same code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from mesh.dedup import DedupWindow
from mesh.limits import DEDUP_EVENTS_MAX
from mesh.records import hashes
from mesh.retry import RetryPolicy
from mesh.topic import PatternSet, check_pattern
from node.changes import Books
from node.clock import Now
from node.contents import contents
from node.delivery import Consumer, Following
from node.interest import Interest
from node.letter_reader import LetterReader
from node.log_reader import LogReader
from node.log_sizes import LogSizes
from node.relay import Relay
from node.store import Store
from node.streams import Stream
from node.table_reader import TableReader
from node.turn import LinkKey, Turn


class State:
    """Shared by the parts of a node. `draw` yields numbers in [0, 1) for the jitter of retries.

    `informed`: per link, the version of the interest here that its peer has answered. `resuming`: origin, topic →
    sequence up to which a program that is attaching anew has settled a stream. `replicated`: what is kept here though
    nobody here consumes it. `known`: whether the memory holds what the disk says; else the disk could not be read.
    """

    def __init__(
        self,
        name: str,
        generation: str,
        store: Store,
        dedup_window_us: Callable[[str], int],
        dedup_keep_us: int,
        draw: Callable[[], float],
        dedup_events: int = DEDUP_EVENTS_MAX,
    ) -> None:
        self.name = name
        self.generation = generation
        self.origin = f"{name}.{generation}"
        self.store = store
        self.log = LogReader(store)
        self.log_sizes = LogSizes(store, self.log)
        self.letters = LetterReader(store)
        self.tables = TableReader(store)
        self.draw = draw
        self.interest: Interest[LinkKey] = Interest()
        self.informed: dict[LinkKey, int] = {}
        self.replicated = PatternSet(())
        self.resuming: dict[tuple[str, str], int] = {}
        self.consumers: dict[str, Consumer] = {}
        self._window_us = dedup_window_us
        self._keep_us = dedup_keep_us
        self._dedup_events = dedup_events
        self.relay = self._new_relay()
        self.known = False
        self.next_position = 1

    def load(self, now: Now) -> None:
        """Read everything back from the store. What lives only in memory (attached subscriptions) stays.

        Raises `StoreError`; then no stream is known, because what may not be on disk must not be spoken of.
        """
        self.relay, self.known = self._new_relay(), False
        relay = self._new_relay()
        relay.load(self.tables.streams(), self.tables.publishers())
        self._load_window(relay.window, now)
        self.next_position = self.log.next_position()
        self._load_consumers()
        self.relay, self.known = relay, True

    def replicate(self, patterns: Iterable[str]) -> None:
        """Want these topics for good, whether anybody here consumes them or not."""
        self.replicated = PatternSet(patterns)
        for text in self.replicated.texts:
            self.interest.want(text)

    def matching(self, following: Following) -> Iterable[Stream]:
        """The streams a subscription's pattern takes in."""
        return [stream for stream in self.relay.by_id.values() if following.pattern.matches(stream.topic)]

    def owed(self, origin: str, topic: str) -> bool:
        """Whether a consumer, durable and away or following it now, is owed what follows in a stream."""
        if (origin, topic) in self.resuming or self.replicated.matches(topic):
            return True
        stream = self.relay.streams.get((origin, topic))
        if stream is None:
            return False
        followings = (each for consumer in self.consumers.values() for each in consumer.followings)
        return any((each.durable or stream.id in each.cursors) and each.pattern.matches(topic) for each in followings)

    def consumer(self, following: Following, turn: Turn) -> Consumer:
        """The consumer a following belongs to; a new name gets books of its own."""
        consumer = self.consumers.get(following.consumer)
        policy = policy_text(following)
        if consumer is None:
            books = Books(
                following.consumer,
                following.pattern.text,
                following.durable,
                policy,
                0,
                0,
                0,
                0,
                0,
                0,
                turn.now.wall_us,
            )
            consumer = self.consumers[following.consumer] = Consumer(books)
        turn.changes.books[following.consumer] = self.books(following.consumer, turn)._replace(
            pattern=following.pattern.text, durable=following.durable, policy=policy, seen_us=turn.now.wall_us
        )
        return consumer

    def forget_consumer(self, name: str) -> None:
        """The consumer is gone from the store: let go of it and of what it wanted."""
        for following in self.consumers.pop(name).followings:
            self.interest.unwant(following.pattern.text)

    def books(self, consumer: str, turn: Turn) -> Books:
        """A consumer's books as this turn has them so far."""
        return turn.changes.books.get(consumer) or self.consumers[consumer].books

    def _new_relay(self) -> Relay:
        return Relay(self.origin, DedupWindow(self._keep_us, self._dedup_events), self._window_us)

    def _load_window(self, window: DedupWindow, now: Now) -> None:
        for row in self.log.rows_since(now.wall_us - self._keep_us):
            frame = self.log.frame(row)
            if frame is None:
                continue
            seen_us = now.mono_us - max(0, now.wall_us - row.appended_us)
            facts = contents(frame, hashes(frame))
            window.remember(frame.origin, frame.topic, frame.sequence, facts, seen_us)
            window.forget(seen_us)  # never more than the window may hold

    def _load_consumers(self) -> None:
        found = self.tables.consumers()
        for name in self.consumers.keys() - {books.name for books in found}:
            self.forget_consumer(name)
        for books in found:
            consumer = self.consumers.setdefault(books.name, Consumer(books))
            consumer.books = books
            consumer.next_due_us = 0
            if books.durable and not consumer.followings:
                following = _durable(books)
                consumer.followings.append(following)
                self.interest.want(books.pattern)
            for following in consumer.followings:
                following.crashes.clear()
        for name, stream, sequence in self.tables.cursors():
            for following in self.consumers[name].followings:
                following.cursors[stream] = sequence
        for name, stream, sequence, count in self.tables.crashes():
            for following in self.consumers[name].followings:
                following.crashes[stream, sequence] = count


def policy_text(following: Following) -> str:
    """How a following's retry policy is kept in the store."""
    attempts, first_s, cap_s = following.policy
    return json.dumps({"attempts": attempts, "first_s": first_s, "cap_s": cap_s, "timeout_s": following.timeout_s})


def _durable(books: Books) -> Following:
    policy = json.loads(books.policy)
    retry = RetryPolicy(policy["attempts"], policy["first_s"], policy["cap_s"])
    return Following(books.name, check_pattern(books.pattern), True, retry, policy["timeout_s"], books.seen_us)
