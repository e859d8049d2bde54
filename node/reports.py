"""Reports: a program says what became of the events it was given, and the node writes it down.

    move [origin, topic, 6, 9, [failure of 8], []]
         cursor 6 → 9 · books: 3 passed, 2 handled, 1 failed · letter of event 8          all in one transaction

A report is idempotent: a move that does not go beyond the cursor says nothing new, and the outcome of a redelivery
counts only for the attempt that is the letter's next. So a program may send it again after any failure.

A node whose disk was lost may not know a stream yet that its program has followed. Such a move is taken in as well: a
program believes what was granted, and its next report begins there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.event import EventId
from mesh.frame import DIRECTED, encode, records, single
from mesh.requests import Failure
from node.announcements import announce_failure
from node.delivery import Following, died, failed_again, new_letter
from node.letters import Letters
from node.moves import Settled, check_failure, settle
from node.relay import Stream
from node.state import State
from node.timeouts import HandlerTimeouts
from node.turn import Turn


class Reports:
    """Takes reports into the turn's transaction."""

    def __init__(self, state: State, letters: Letters, timeouts: HandlerTimeouts) -> None:
        self._state = state
        self._letters = letters
        self._timeouts = timeouts

    def take(self, following: Following, part: Mapping[str, Any], turn: Turn) -> None:
        """One subscription's part of a report: `moves` and `letters` in the shapes of `mesh.requests`."""
        for origin, topic, first, last, failures, lost in part.get("moves", ()):
            stream = self._state.relay.streams.get((origin, topic))
            move = {"from": first, "to": last, "failures": failures, "lost": lost}
            if stream is not None:
                settled = settle(following, stream, self._cursor(following, stream, turn), move)
                if settled is not None:
                    self._record(following, settled, turn)
            elif (origin, topic) in following.resumed:
                self._move_unheard(following, (origin, topic), move, turn)
        for letter, attempt, failure in part.get("letters", ()):
            checked = None if failure is None else check_failure(failure)
            self._outcome(int(letter), int(attempt), checked, following, turn)

    def _cursor(self, following: Following, stream: Stream, turn: Turn) -> int:
        return turn.moved.get((following, stream.id), following.cursor(stream))

    def _move_unheard(self, following: Following, key: tuple[str, str], move: Mapping[str, Any], turn: Turn) -> None:
        """A move in a stream that the program has followed and this node does not know any more, as its disk was lost.

        When the stream comes, the cursor stands where the program was told that it does.
        """
        cursor = following.resumed[key]
        settled = settle(following, Stream(0, *key, cursor, int(move["to"])), cursor, move)
        if settled is not None:
            self._book(following, settled, cursor, turn)
            following.resumed[key] = settled.cursor
            turn.once_failed.append(lambda: following.resumed.update({key: cursor}))

    def _record(self, following: Following, settled: Settled, turn: Turn) -> None:
        """Put a move into the transaction: cursor, letters, losses, books."""
        stream, changes = settled.stream, turn.changes
        self._book(following, settled, self._cursor(following, stream, turn), turn)
        turn.moved[following, stream.id] = settled.cursor
        if following.durable:
            changes.cursors[following.consumer, stream.id] = settled.cursor
        if following.crashes:
            changes.crashes_passed.append((following.consumer, stream.id, settled.cursor))
        turn.once_committed.append(lambda: _pass(following, stream, settled.cursor))

    def _book(self, following: Following, settled: Settled, cursor: int, turn: Turn) -> None:
        """What became of the events that a move passes, from `cursor` on: letters, losses, books."""
        stream, changes, now_us = settled.stream, turn.changes, turn.now.wall_us
        for failure in settled.failures:
            self._count(failure, stream.topic, following.consumer, turn)
        buried = [self._bury(following, stream, failure, turn) for failure in settled.failures]
        unread = [(f["sequence"], f["sequence"]) for f, done in zip(settled.failures, buried, strict=True) if not done]
        for ranges, reason in ((settled.lost, "gone from the log"), (unread, "failed, and gone from the log")):
            changes.losses += [
                (following.consumer, stream.origin, stream.topic, *each, reason, now_us) for each in ranges
            ]
        books = self._state.books(following.consumer, turn)
        changes.books[following.consumer] = books._replace(
            passed=books.passed + settled.cursor - cursor - settled.buried,
            handled=books.handled + settled.handled,
            failed=books.failed + sum(buried),
            lost=books.lost + len(unread) + sum(last - first + 1 for first, last in settled.lost),
            seen_us=now_us,
        )

    def _bury(self, following: Following, stream: Stream, failure: Failure, turn: Turn) -> bool:
        """Write the letter of a first failure; False when the event can no longer be read."""
        row = next(self._state.log.batches(stream.id, failure["sequence"], failure["sequence"]), None)
        frame = self._state.log.frame(row) if row else None
        if row is None or frame is None:
            return False
        event = single(frame, failure["sequence"] - row.sequence, DIRECTED)
        payload = records(event)[0].body.decode(errors="replace")
        draw = self._state.draw()
        letter = new_letter(following, stream, failure, encode(event), payload, turn.now.wall_us, draw)
        turn.changes.letters.append(letter)
        _announce(
            turn, EventId(stream.origin, stream.topic, letter.sequence), following.consumer, failure, letter.state
        )
        return True

    def _count(self, failure: Failure, topic: str, consumer: str, turn: Turn) -> None:
        if failure["kind"] == "timeout":
            turn.once_committed.append(lambda: self._timeouts.count(topic, consumer))

    def bury_crashed(self, following: Following, stream: Stream, failure: Failure, turn: Turn) -> None:
        """Bury an event ahead of the cursor: its consumer will be told to skip it."""
        books = self._state.books(following.consumer, turn)
        if self._bury(following, stream, failure, turn):
            books = books._replace(passed=books.passed + 1, failed=books.failed + 1)
            turn.changes.books[following.consumer] = books

    def redelivery_died(self, following: Following, id_: int, turn: Turn) -> None:
        """The process died over a letter: that attempt has failed."""
        letter = self._state.letters.one(id_)
        if letter is not None:
            self._outcome(id_, letter.attempts + 1, died(letter.sequence, 1), following, turn)

    def _outcome(self, id_: int, attempt: int, failure: Failure | None, following: Following, turn: Turn) -> None:
        """A redelivery ended. Said twice, or about an attempt that is not the letter's next, it changes nothing."""
        letter = self._state.letters.one(id_)
        if letter is None or attempt != letter.attempts + 1 or letter.consumer != following.consumer:
            return
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
