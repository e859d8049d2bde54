"""Reports: a program says what became of the events it was given, and the node writes it down.

    move [origin, topic, 6, 9, [failure of 8], []]
         cursor 6 → 9 · books: 3 passed, 2 handled, 1 failed · letter of event 8          all in one transaction

A report is idempotent: a move that does not go beyond the cursor says nothing new, and the outcome of a redelivery
counts only for the attempt that is the letter's next. So a program may send it again after any failure.

It is taken in as a whole or not at all, so that its number says truly what the books hold. One with a word in it that
cannot be true is refused, and the refusal names that word: the program says the rest again at once. Were the rest taken
in at once and the answer lost, nobody could tell afterwards what had been counted and what had not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mesh.event import EventId
from mesh.requests import Failure, Json
from node.announcements import announce_failure
from node.changes import LetterRow
from node.delivery import Following, died, failed_again
from node.letters import Letters
from node.report_reader import Move, Outcome, ReportReader
from node.state import State
from node.streams import Stream
from node.timeouts import HandlerTimeouts
from node.turn import Turn


class Reports:
    """Takes reports into the turn's transaction."""

    def __init__(self, state: State, letters: Letters, timeouts: HandlerTimeouts) -> None:
        self._state = state
        self._reader = ReportReader(state)
        self._letters = letters
        self._timeouts = timeouts

    def take(self, subs: Mapping[int, Following], parts: Iterable[Mapping[str, Any]], turn: Turn) -> list[Json]:
        """Take a report in, if all of it can be: the parts of a session's subscriptions, as in `mesh.requests`.

        Otherwise nothing is, and the answer names the words that cannot. `subs`: the session's subscriptions.
        """
        read = self._reader.read(subs, parts, turn)
        for move in () if read.refused else read.moves:
            self._record(move, turn)
        for outcome in () if read.refused else read.outcomes:
            self._outcome(outcome, turn)
        return read.refused

    def _record(self, move: Move, turn: Turn) -> None:
        """Put a move into the transaction: cursor, letters, losses, books."""
        following, settled = move.following, move.settled
        stream, changes = settled.stream, turn.changes
        self._book(move, turn)
        if not move.heard:
            key, cursor = (stream.origin, stream.topic), move.cursor
            following.resumed[key] = settled.cursor
            turn.once_failed.append(lambda: following.resumed.update({key: cursor}))
            return
        turn.moved[following, stream.id] = settled.cursor
        if following.durable:
            changes.cursors[following.consumer, stream.id] = settled.cursor
        if following.crashes:
            changes.crashes_passed.append((following.consumer, stream.id, settled.cursor))
        turn.once_committed.append(lambda: _pass(following, stream, settled.cursor))

    def _book(self, move: Move, turn: Turn) -> None:
        """What became of the events that a move passes: letters, losses, books."""
        following, settled = move.following, move.settled
        stream, changes, now_us = settled.stream, turn.changes, turn.now.wall_us
        unread = []
        for failure, letter in zip(settled.failures, move.letters, strict=True):
            self._count(failure, stream.topic, following.consumer, turn)
            if letter is None:
                unread.append((failure["sequence"], failure["sequence"]))
            else:
                _bury(letter, failure, turn)
        for ranges, reason in ((settled.lost, "gone from the log"), (unread, "failed, and gone from the log")):
            changes.losses += [
                (following.consumer, stream.origin, stream.topic, *each, reason, now_us) for each in ranges
            ]
        books = self._state.books(following.consumer, turn)
        changes.books[following.consumer] = books._replace(
            passed=books.passed + settled.cursor - move.cursor - settled.buried,
            handled=books.handled + settled.handled,
            failed=books.failed + len(settled.failures) - len(unread),
            lost=books.lost + len(unread) + sum(last - first + 1 for first, last in settled.lost),
            seen_us=now_us,
        )

    def _count(self, failure: Failure, topic: str, consumer: str, turn: Turn) -> None:
        if failure["kind"] == "timeout":
            turn.once_committed.append(lambda: self._timeouts.count(topic, consumer))

    def bury_crashed(self, following: Following, stream: Stream, failure: Failure, turn: Turn) -> None:
        """Bury an event ahead of the cursor: its consumer will be told to skip it."""
        letter = self._reader.letter(following, stream, failure, turn.now.wall_us)
        if letter is not None:
            _bury(letter, failure, turn)
            books = self._state.books(following.consumer, turn)
            turn.changes.books[following.consumer] = books._replace(passed=books.passed + 1, failed=books.failed + 1)

    def redelivery_died(self, following: Following, id_: int, turn: Turn) -> None:
        """The process died over a letter: that attempt has failed."""
        letter = self._state.letters.one(id_)
        if letter is not None and letter.consumer == following.consumer:
            self._outcome(Outcome(following, letter, letter.attempts + 1, died(letter.sequence, 1)), turn)

    def _outcome(self, outcome: Outcome, turn: Turn) -> None:
        """A redelivery ended. Said twice in a turn, it changes nothing."""
        following, letter, attempt, failure = outcome
        id_ = letter.id
        if (id_,) in turn.changes.letters_ended or any(row[-1] == id_ for row in turn.changes.letters_again):
            return
        if failure is None:
            turn.changes.letters_ended.append((id_,))
            books = self._state.books(letter.consumer, turn)
            turn.changes.books[letter.consumer] = books._replace(resolved=books.resolved + 1)
        else:
            row = failed_again(following.policy, id_, attempt, failure, turn.now.wall_us, self._state.draw())
            turn.changes.letters_again.append(row)
            self._count(failure, letter.topic, letter.consumer, turn)
            event = EventId(letter.origin, letter.topic, letter.sequence)
            _announce(turn, event, letter.consumer, {**failure, "attempt": attempt}, row[0])
        turn.once_committed.append(lambda: self._letters.ended(id_))


def _bury(letter: LetterRow, failure: Failure, turn: Turn) -> None:
    """Write the letter of a first failure."""
    turn.changes.letters.append(letter)
    event = EventId(letter.origin, letter.topic, letter.sequence)
    _announce(turn, event, letter.consumer, failure, letter.state)


def _announce(turn: Turn, event: EventId, consumer: str, failure: Failure, state: str) -> None:
    fields = {
        "event_id": str(event),
        "topic": event.topic,
        "consumer": consumer,
        "error_type": failure["error_type"],
        "error": failure["error"],
        "attempt": failure["attempt"],
        "elapsed_s": failure["elapsed_s"],
        "state": state,
    }
    announce_failure(turn, failure["kind"], fields)


def _pass(following: Following, stream: Stream, cursor: int) -> None:
    """Move the cursor; deaths over events behind it are forgotten."""
    following.cursors[stream.id] = cursor
    for stream_id, sequence in list(following.crashes):
        if stream_id == stream.id and sequence <= cursor:
            del following.crashes[stream_id, sequence]
