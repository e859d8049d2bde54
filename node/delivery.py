"""Delivery: consumers, their cursors, and what becomes of an event whose handler failed. Rules only.

    a stream      1 2 3 4 5 6 7 8 9 …                    head
                  ├──────────────┤◀──────── in flight ────▶│
                 base         cursor   a report moves it: "6 → 9, of which 8 failed"
                                            │
             handled: settled          failed: a letter
                                            │
                  waiting ──due──▶ redelivered to this consumer only ──ok──▶ gone (resolved)
                     ▲                      │ failed again
                     └──── backoff ─────────┤
                                            └──▶ dead ──retry──▶ waiting …  or  discard ──▶ gone (expired)

A consumer is a name. Each program that subscribes under it is a `Following`: a pattern, and per stream the sequence up
to which everything is settled. A durable consumer has exactly one, kept on disk and continued by whoever attaches next;
others have one per subscription, which ends with it. Letters belong to the name, so they outlive every process.

Cursors are per stream and not one position in the log: a report then stays exact when frames of one stream were
dropped on the way and another's arrived, and a report that arrives twice changes nothing the second time.

The books of a consumer: passed = handled + failed + lost; failed = resolved + expired + letters now waiting or dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mesh.errors import InvalidOption
from mesh.requests import Failure
from mesh.retry import GiveUp, RetryPolicy, TryAgain, after_failure
from mesh.topic import Pattern
from node.changes import Books, LetterRow
from node.streams import Stream

ATTEMPTS_MAX: Final = 1 << 30
"""More tries than any policy can mean; it keeps the count an integer of the database."""
_MOMENT_US_MAX: Final = 1 << 60
"""Some 36,000 years in microseconds: sums of two moments stay integers of the database."""

CRASHES_MAX = 3
"""Deaths of the consumer's process in a row, each while it handled the same event, after which that event is buried."""

Attachment = tuple[bytes, int]
"""A session and its subscription's number: who is to be given an event."""


class Following:
    """One subscription's progress. `cursors`: stream id → settled sequence; a stream not in it starts at its base.

    `resumed`: (origin, topic) → what the program says it has settled of streams that were not known here when it came.
    A cursor may be ahead of a stream's head: this node is behind its program, and will catch up.

    `crashes`: (stream id, sequence) → deaths in a row, for events beyond the cursor.
    """

    __slots__ = (
        "attachment",
        "consumer",
        "crashes",
        "cursors",
        "durable",
        "holder",
        "pattern",
        "policy",
        "resumed",
        "since_us",
        "timeout_s",
    )

    def __init__(
        self, consumer: str, pattern: Pattern, durable: bool, policy: RetryPolicy, timeout_s: float, since_us: int
    ) -> None:
        self.consumer = consumer
        self.pattern = pattern
        self.durable = durable
        self.policy = policy
        self.timeout_s = timeout_s
        self.since_us = since_us
        self.cursors: dict[int, int] = {}
        self.resumed: dict[tuple[str, str], int] = {}
        self.crashes: dict[tuple[int, int], int] = {}
        self.attachment: Attachment | None = None
        self.holder = ""

    def cursor(self, stream: Stream) -> int:
        """The settled sequence of a stream."""
        found = self.cursors.get(stream.id)
        return max(stream.base, self.resumed.get((stream.origin, stream.topic), 0)) if found is None else found

    def behind(self, streams: Iterable[Stream]) -> list[Stream]:
        """The streams of which something is not settled."""
        return [each for each in streams if each.head > self.cursor(each) and self.pattern.matches(each.topic)]

    def in_flight(self, streams: Iterable[Stream]) -> int:
        """Events the subscription is still owed."""
        wanted = [stream for stream in streams if self.pattern.matches(stream.topic)]
        return sum(max(0, stream.head - self.cursor(stream) - len(buried(self, stream))) for stream in wanted)


def buried(following: Following, stream: Stream) -> list[int]:
    """Sequences of a stream beyond the cursor that are not to be given to the consumer: their letters exist already."""
    cursor = following.cursor(stream)
    return sorted(
        sequence
        for (stream_id, sequence), count in following.crashes.items()
        if stream_id == stream.id and sequence > cursor and count >= CRASHES_MAX
    )


def died(sequence: int, attempt: int) -> Failure:
    """The failure that stands for a death."""
    return Failure(
        sequence=sequence,
        attempt=attempt,
        kind="crash",
        error_type="ProcessDied",
        error=f"the consumer's process ended {attempt} times in a row while it handled this event",
        traceback="",
        elapsed_s=0.0,
    )


def new_letter(
    following: Following, stream: Stream, failure: Failure, frame: bytes, payload: str, now_us: int, draw: float
) -> LetterRow:
    """The letter of an event that failed for the first time, or that killed its consumer once too often (dead at once).

    `draw` in [0, 1) places the next attempt.
    """
    crashed = failure["kind"] == "crash"
    verdict = GiveUp() if crashed else after_failure(following.policy, failure["attempt"], draw)
    waits = isinstance(verdict, TryAgain)
    return LetterRow(
        consumer=following.consumer,
        state="waiting" if waits else "dead",
        origin=stream.origin,
        topic=stream.topic,
        sequence=failure["sequence"],
        frame=frame,
        payload=payload,
        attempts=failure["attempt"],
        retries=0,
        kind=failure["kind"],
        error_type=failure["error_type"],
        error=failure["error"],
        traceback=failure["traceback"],
        first_failed_us=now_us,
        last_failed_us=now_us,
        next_attempt_us=now_us + int(verdict.after_s * 1e6) if isinstance(verdict, TryAgain) else None,
    )


def failed_again(
    policy: RetryPolicy, id_: int, attempt: int, failure: Failure, now_us: int, draw: float
) -> tuple[str, int, str, str, str, str, int, int | None, int]:
    """What a letter becomes when attempt number `attempt` failed too: a row for `Changes.letters_again`."""
    verdict = after_failure(policy, attempt, draw)
    due_us = now_us + int(verdict.after_s * 1e6) if isinstance(verdict, TryAgain) else None
    state = "dead" if due_us is None else "waiting"
    return (
        state,
        attempt,
        failure["kind"],
        failure["error_type"],
        failure["error"],
        failure["traceback"],
        now_us,
        due_us,
        id_,
    )


def check_since(since: object) -> tuple[str, int]:
    """Validate a `since` as it travels; returns ("now" | "earliest" | "time_us" | "ago_us", value)."""
    if since in ("now", "earliest"):
        return str(since), 0
    if isinstance(since, Mapping) and len(since) == 1:
        ((kind, value),) = since.items()
        if kind in ("time_us", "ago_us") and type(value) is int and abs(value) < _MOMENT_US_MAX:
            return kind, value
    raise InvalidOption(f"since is {since!r}; use now, earliest, a time, or seconds ago")


class Consumer:
    """A name and its books (see `node.changes.Books`), with the followings that are attached or durable now."""

    __slots__ = ("books", "followings", "next_due_us")

    def __init__(self, books: Books) -> None:
        self.books = books
        self.followings: list[Following] = []
        self.next_due_us: int | None = 0

    @property
    def attached(self) -> bool:
        """Whether any program is there to be given its letters."""
        return any(each.attachment for each in self.followings)

    def attachment(self, topic: str, prefer: bytes | None = None) -> Attachment | None:
        """Who is to be given one of its letters: an attached following that wants the topic."""
        found = [each for each in self.followings if each.attachment and each.pattern.matches(topic)]
        chosen = next((each for each in found if each.attachment and each.attachment[0] == prefer), None)
        return (chosen or found[0]).attachment if found else None
