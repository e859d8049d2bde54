"""Retention: how much of the log, and how many letters, are kept. Trimmed in small steps inside the turn.

    oldest                                                     newest
    ├── over age, over count or over size ──┤──── kept ────────┤
     deleted a few hundred batches a turn    ▲
                                             first position

A turn never deletes much more than it appends twice over, so trimming keeps up with any rate and no turn is long. It
deletes before it appends, and what it is about to append counts: a turn after a standstill has megabytes, which take
the room of what they displace instead of making the file longer for ever. So the file is hardly longer than the limit,
and on a full disk what comes next may not fit into it although the log is within its limits: what the disk has refused
counts too, and the log makes room for it.

What is deleted is still counted: a stream keeps its base and head, so the audit knows the deleted range, and a consumer
that was owed a part of it is told so, range by range (`node.replay` answers "gone"; the consumer's report books it as
lost).

The database file shrinks too: pages that stay free are given back a few at a time (incremental vacuum).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from node.changes import Changes
from node.clock import Now
from node.state import State
from node.store import grows
from node.turn import Turn

CHECK_S = 0.1
TRIM_AGAIN_S = 0.01
"""The pause between two steps of deleting when nothing else is to be done."""
CHECK_BYTES = 1 << 20
"""How often the sizes are looked at: so often, and after so much has been appended."""
STEP_BATCHES = 256
"""Batches deleted in a turn that appended nothing; a turn that appends may delete twice as many more."""
RELIEF_STEPS = 16
"""Steps in a row when the disk is full, once a second."""
LETTERS_STEP = 200
LETTERS_CHECK_S = 30.0
PUBLISHER_AGE_S = 7 * 86400.0
"""How long the identity of a publisher that went away is kept: it may come back with what has no receipt yet."""
_VACUUM_FROM_PAGES = 1000
_VACUUM_PAGES = 100
_VACUUM_STEPS = 25
"""Steps after which the file really is cut: it happens when the write-ahead log is folded into it."""


class Limits(NamedTuple):
    """What is kept. 0 means without bound.

    age_s          log: seconds since an event was taken in
    events         log: how many events
    size_bytes     log: bytes in use in the database file
    letters_age_s  dead letters: seconds since the last failure
    letters        dead letters: how many
    """

    age_s: float
    events: int
    size_bytes: int
    letters_age_s: float
    letters: int


class Oldest(NamedTuple):
    """One of the oldest batches. `size_bytes` is its frame's."""

    position: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of a row
    appended_us: int
    size_bytes: int


class Usage(NamedTuple):
    """What the log holds now."""

    next_position: int
    size_bytes: int


def first_kept(oldest: Iterable[Oldest], usage: Usage, limits: Limits, now_us: int) -> int:
    """The position before which the log may be deleted; 0 when nothing is over its limit.

    The newest batch always stays: a stream's head and the next position are read from it.
    """
    cut, size_bytes = 0, usage.size_bytes
    for batch in oldest:
        end = batch.position + batch.count
        too_old = limits.age_s and now_us - batch.appended_us > limits.age_s * 1e6
        too_many = limits.events and usage.next_position - batch.position > limits.events
        too_large = limits.size_bytes and size_bytes > limits.size_bytes
        if end >= usage.next_position or not (too_old or too_many or too_large):
            break
        cut = end
        size_bytes -= batch.size_bytes
    return cut


class Retention:
    """Puts what is over its limit into the turn's transaction. `attached` names the publishers that are here now.

    `again_s` says how soon there is more to do even if nothing else comes, or None.
    """

    def __init__(self, state: State, limits: Limits, attached: Callable[[], Collection[bytes]]) -> None:
        self._state = state
        self._limits = limits
        self._attached = attached
        self._next_check_us = 0
        self._next_letters_us = 0
        self._unchecked_bytes = 0
        self._vacuumed = 0
        self.again_s: float | None = None
        self._relief_batches = STEP_BATCHES
        self._refused_bytes = 0

    def trim(self, turn: Turn) -> None:
        """Look at the sizes now and then; delete a step's worth of what is over."""
        coming_bytes = sum(len(row.frame) for row in turn.changes.log)
        self._unchecked_bytes += coming_bytes
        if turn.now.mono_us < self._next_check_us and self._unchecked_bytes < CHECK_BYTES:
            return
        self._unchecked_bytes = 0
        self._next_check_us = turn.now.later(CHECK_S)
        self._trim_log(turn, coming_bytes)
        if turn.now.mono_us >= self._next_letters_us:
            self._next_letters_us = turn.now.later(LETTERS_CHECK_S)
            self._trim_letters(turn)
            self._forget_publishers(turn)
            if self._limits.age_s:
                turn.changes.holes_before = turn.now.wall_us - int(self._limits.age_s * 1e6)

    def refused(self, changes: Changes) -> None:
        """The disk did not take this; it comes again, and is to find its room."""
        self._refused_bytes = grows(changes)

    def relieve(self, now: Now) -> None:
        """Where the disk is full: delete what is over its limit in transactions of their own, small enough to fit.

        What was refused last counts as if it were there. A delete needs room in the write-ahead log first. Raises
        `StoreError` when there is not even that little.
        """
        self._state.store.fold()
        self._relief_batches = max(1, self._relief_batches // 4)
        for _ in range(RELIEF_STEPS):
            changes = Changes(trim_before=self._cut(self._relief_batches, self._refused_bytes, now))
            if not changes:
                break
            self._state.store.commit(changes)
        self._relief_batches = STEP_BATCHES

    def _cut(self, step: int, coming_bytes: int, now: Now) -> int:
        """The position before which the log is to be deleted, at most `step` batches; 0 for nothing.

        `coming_bytes` are not there yet, and are to find their room. Mostly the oldest batch of all is within the
        limits: only when it is not are more of them read.
        """
        usage = Usage(self._state.next_position, self._state.store.used_bytes() + coming_bytes)

        def cut(batches: int) -> int:
            return first_kept(
                map(Oldest._make, self._state.log_sizes.oldest(batches)), usage, self._limits, now.wall_us
            )

        return cut(1) and cut(step)

    def _trim_log(self, turn: Turn, coming_bytes: int) -> None:
        state = self._state
        cut = self._cut(STEP_BATCHES + 2 * len(turn.changes.log), coming_bytes, turn.now)
        self.again_s = None
        if cut:
            turn.changes.trim_before = cut
            self.again_s, self._next_check_us = TRIM_AGAIN_S, turn.now.mono_us
        elif state.store.free_pages() > _VACUUM_FROM_PAGES:
            turn.changes.vacuum_pages = _VACUUM_PAGES
            self.again_s = CHECK_S
            self._vacuumed += 1
        if self._vacuumed == _VACUUM_STEPS or (self._vacuumed and self.again_s is None):
            self._vacuumed = 0
            state.store.fold()

    def _trim_letters(self, turn: Turn) -> None:
        """Dead letters over their age or number end; the books count them as expired."""
        limits, state = self._limits, self._state
        before_us = turn.now.wall_us - int(limits.letters_age_s * 1e6) if limits.letters_age_s else 0
        decided = turn.changes.letters_decided()
        for letter in state.letters.over(before_us, limits.letters, LETTERS_STEP):
            if letter.id in decided:
                continue
            turn.changes.letters_ended.append((letter.id,))
            books = state.books(letter.consumer, turn)
            turn.changes.books[letter.consumer] = books._replace(expired=books.expired + 1)

    def _forget_publishers(self, turn: Turn) -> None:
        """Publishers that are long gone will not come back: only a spool keeps an identity, and not for so long."""
        before_us, here = turn.now.wall_us - int(PUBLISHER_AGE_S * 1e6), self._attached()
        for publisher in self._state.tables.publishers_before(before_us, LETTERS_STEP):
            if publisher not in here:
                turn.changes.publishers_forgotten.append((publisher,))
                self._state.relay.publishers.pop(publisher, None)
