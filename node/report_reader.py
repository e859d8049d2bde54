"""Reading a report: every word of it is checked, and whatever it takes from the disk is read, before any is written.

    report ──▶ word by word ─┬─ true ───────────▶ moves, outcomes ──▶ `node.reports` writes them
                             ├─ nothing new ────▶ passed over
                             └─ cannot be true ─▶ refused: which word, and why

A word is one move of a cursor or one outcome of a redelivery. A disk that cannot be read stops the report before any of
it is written.

A node whose disk was lost may not know a stream yet that its program has followed. Such a move is taken in as well: a
program believes what was granted, and its next report begins there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from mesh.errors import MalformedFrame
from mesh.frame import DIRECTED, encode
from mesh.records import records, single
from mesh.requests import Failure, Json
from node.changes import LetterRow
from node.delivery import Following, new_letter
from node.letter_reader import Letter
from node.moves import BeyondHead, Settled, check_failure, settle
from node.state import State
from node.streams import Stream
from node.turn import NONSENSE, Turn

REFUSED_MAX = 100
"""Words that one answer names. The others are found when the program says the rest again."""
_WHY_CHARS_MAX = 300
"""What is told of a reason: it may quote what a program sent."""

_Cursors = dict[tuple[Following, str, str], int]
"""Where the words before have moved a cursor."""


class Move(NamedTuple):
    """A move that can be written. `cursor`: from where; `letters`: of its failures, None where the event is gone.

    `heard`: whether the stream is known here.
    """

    following: Following
    settled: Settled
    cursor: int
    letters: list[LetterRow | None]
    heard: bool


class Outcome(NamedTuple):
    """How a letter's next attempt ended; `failure` is None where it was handled."""

    following: Following
    letter: Letter
    attempt: int
    failure: Failure | None


class Read(NamedTuple):
    """What a report says, and the words of it that cannot be true, in the shape of `mesh.requests`."""

    moves: list[Move]
    outcomes: list[Outcome]
    refused: list[Json]


class ReportReader:
    """Reads reports. Raises `StoreError`, and what comes of a report that has no words in it (`node.turn.NONSENSE`)."""

    def __init__(self, state: State) -> None:
        self._state = state

    def read(self, subs: Mapping[int, Following], parts: Iterable[Mapping[str, Any]], turn: Turn) -> Read:
        """Read the parts of the subscriptions in `subs`; what is said of others is passed over."""
        read, cursors = Read([], [], []), _Cursors()
        for part in parts:
            sub = int(part["sub"])
            following = subs.get(sub)
            if following is None:
                continue
            for number, move in enumerate(part.get("moves", ())):
                try:
                    read.moves.extend(self._move(following, move, cursors, turn))
                except NONSENSE as error:
                    read.refused.append(_refused(sub, "move", number, error))
            for number, letter in enumerate(part.get("letters", ())):
                try:
                    read.outcomes.extend(self._outcome(following, *letter))
                except NONSENSE as error:
                    read.refused.append(_refused(sub, "letter", number, error))
        return read._replace(refused=read.refused[:REFUSED_MAX])

    def _move(self, following: Following, move: Iterable[Any], cursors: _Cursors, turn: Turn) -> Iterable[Move]:
        origin, topic, first, last, failures, lost = move
        stream = self._state.relay.streams.get((origin, topic))
        if stream is not None:
            cursor = turn.moved.get((following, stream.id), following.cursor(stream))
        elif (origin, topic) in following.resumed:
            cursor = following.resumed[origin, topic]
        else:
            return []
        cursor = cursors.get((following, origin, topic), cursor)
        place = stream or Stream(0, origin, topic, cursor, int(last))
        settled = settle(following, place, cursor, {"from": first, "to": last, "failures": failures, "lost": lost})
        if settled is None:
            return []
        cursors[following, origin, topic] = settled.cursor
        letters = [self.letter(following, place, failure, turn.now.wall_us) for failure in settled.failures]
        return [Move(following, settled, cursor, letters, stream is not None)]

    def letter(self, following: Following, stream: Stream, failure: Failure, now_us: int) -> LetterRow | None:
        """The letter of a first failure; None when the event can no longer be read."""
        row = next(self._state.log.batches(stream.id, failure["sequence"], failure["sequence"]), None)
        frame = self._state.log.frame(row) if row else None
        if row is None or frame is None:
            return None
        event = single(frame, failure["sequence"] - row.sequence, DIRECTED)
        payload = records(event)[0].body.decode(errors="replace")
        return new_letter(following, stream, failure, encode(event), payload, now_us, self._state.draw())

    def _outcome(self, following: Following, id_: Any, attempt: Any, failure: Any) -> Iterable[Outcome]:
        """It counts only for the attempt that is the letter's next, and only its own consumer may say it."""
        number = int(attempt)
        checked = None if failure is None else check_failure(failure)
        letter = self._state.letters.one(int(id_))
        if letter is None or number != letter.attempts + 1 or letter.consumer != following.consumer:
            return []
        return [Outcome(following, letter, number, checked)]


def _refused(sub: int, kind: Literal["move", "letter"], number: int, error: Exception) -> Json:
    beyond = {"head": error.head} if isinstance(error, BeyondHead) else {}
    why = error.detail if isinstance(error, MalformedFrame) else f"{type(error).__name__} {error}"
    return {"sub": sub, kind: number, "why": why[:_WHY_CHARS_MAX], **beyond}
