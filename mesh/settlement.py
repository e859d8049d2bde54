"""Settlement: what became of every event a subscription was given, and what of that the node knows.

    sequences   … 17 18 19 20 21 22 23 24
                ─────┤        ✓     ✗              18 confirmed by the node, 21 and 23 finished out of order
                   settled=18          20 still runs: nothing behind 18 can be settled yet

A consumer's cursor moves over finished events without a gap, because that is all a cursor can say. With one handler
at a time events finish in order; with several a late one holds the cursor back, and the spans behind it wait.

What is reported is a move `from → to` per stream with the failures and lost ranges it passes over. Nothing is forgotten
before the node has confirmed it: a report that got no answer is made anew from the same state, larger by what happened
since, so reports merge by themselves and a repeated one changes nothing.

An event the node has buried is passed like one that was handled, and nothing is said of it: its letter is written and
the node subtracts it from what the move passes. It is in no report, neither as a failure nor inside a lost range.

An outcome of a redelivery is kept for a while when the node knows it. A node that starts anew, or that has lost the
attachment, gives out again what it had no outcome of, and the outcome may be on its way: that redelivery is answered
with it, and no handler runs twice.

What the node has refused is held: a move up to where the node says that its stream ends may still be made, any other
waits until `say_again`. An outcome that was refused is dropped; the node has the letter, and gives it out anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from mesh.requests import Failure
from mesh.streams import Key, Range, without

FAULTS_MAX = 200
"""Failures, lost ranges and outcomes of redeliveries in one report: 2.1 MB of JSON with texts at their longest."""

MOVES_MAX = 8000
"""Moves in one report: with names at their longest, 5 MB. With the faults that stays below `CONTROL_BYTES_MAX`."""

OUTCOMES_KEPT = 128
"""Outcomes kept of redeliveries that have ended: twice as many as a node has out at one consumer."""

_ENDLESS = 1 << 63
"""No sequence is as high."""

Letter = tuple[int, int, Failure | None]
"""id, attempt, what went wrong or None"""


class Ledger:
    """One stream of one subscription. `settled`: finished without a gap; `confirmed`: what of that the node knows.

    `ceiling`: the node takes no move in that goes beyond.
    """

    __slots__ = ("_spans", "buried", "ceiling", "confirmed", "failures", "lost", "settled")

    def __init__(self, settled: int) -> None:
        self.settled = self.confirmed = settled
        self.ceiling = _ENDLESS
        self.failures: list[Failure] = []
        self.lost: list[Range] = []
        self.buried: set[int] = set()
        self._spans: dict[int, int] = {}

    def finish(self, first: int, last: int) -> None:
        """The events from `first` to `last` need nothing more."""
        if first > self.settled + 1:
            self._spans[first] = max(last, self._spans.get(first, 0))
            return
        self.settled = max(self.settled, last)
        while self._spans and (last := self._spans.pop(self.settled + 1, 0)):
            self.settled = last

    def fail(self, failure: Failure) -> None:
        """An event failed; what is said of one that is finished or buried already is no news."""
        if failure["sequence"] > self.settled and failure["sequence"] not in self.buried:
            self.failures.append(failure)

    def lose(self, range_: Range) -> None:
        """Events were owed and will not come."""
        self.lost += without(range_, self.buried)

    def bury(self, sequence: int) -> None:
        """The node has taken an event out of the stream for this consumer; whatever was to be said of it is not."""
        if sequence > self.confirmed:
            self.buried.add(sequence)
            self.failures = [failure for failure in self.failures if failure["sequence"] != sequence]
            self.lost = [part for range_ in self.lost for part in without(range_, {sequence})]

    def move(self, faults_max: int) -> tuple[int, list[Failure], list[tuple[int, int]]]:
        """How far the cursor may go, and what it passes: at most `faults_max` failures and lost ranges."""
        to = min(self.settled, self.ceiling)
        faults = [f["sequence"] for f in self.failures if f["sequence"] <= to]
        faults += [range_.first for range_ in self.lost if range_.first <= to]
        if len(faults) > faults_max:
            to = sorted(faults)[faults_max] - 1
        failures = sorted((f for f in self.failures if f["sequence"] <= to), key=lambda f: f["sequence"])
        return to, failures, [(range_.first, range_.last) for range_ in self.lost if range_.last <= to]

    def confirm(self, to: int) -> None:
        """The node knows everything up to `to`."""
        self.confirmed = max(self.confirmed, to)
        self.failures = [failure for failure in self.failures if failure["sequence"] > to]
        self.lost = [range_ for range_ in self.lost if range_.last > to]
        self.buried = {sequence for sequence in self.buried if sequence > to}


class Settlement:
    """All streams of one subscription, and the outcomes of its redeliveries.

    `faulty`: there is more to report than that events were handled well.
    """

    def __init__(self) -> None:
        self.faulty = False
        self._ledgers: dict[Key, Ledger] = {}
        self._moved: dict[Key, None] = {}
        self._held: set[Key] = set()  # those of `_moved` of which nothing may be said for now
        self._letters: list[Letter] = []
        self._outcomes: dict[tuple[int, int], tuple[str, Failure | None]] = {}
        self._told: tuple[dict[Key, int], int] = ({}, 0)

    @property
    def unreported(self) -> bool:
        """Whether there is something the node does not know, and may be told."""
        return len(self._moved) > len(self._held) or bool(self._letters)

    def begin(self, key: Key, settled: int) -> None:
        """The subscription is owed what follows `settled`; a stream nobody began is owed from its first event."""
        self._ledgers[key] = Ledger(settled)
        self._moved.pop(key, None)
        self._held.discard(key)

    def stands(self, key: Key, cursor: int) -> None:
        """The node's cursor, which may be behind what it once confirmed if its disk is an older copy: tell it again."""
        ledger = self._ledger(key)
        if cursor < ledger.confirmed:
            ledger.confirmed = cursor
            self._moved[key] = None

    def finish(self, key: Key, sequence: int, failure: Failure | None = None) -> None:
        """The handler is done with one event, well or badly."""
        ledger = self._ledger(key)
        if failure is not None:
            ledger.fail(failure)
        self._advance(key, ledger, sequence, sequence)

    def pass_(self, key: Key, first: int, last: int) -> None:
        """The handler is done with the events from `first` to `last`, all of them well."""
        self._advance(key, self._ledger(key), first, last)

    def skip(self, key: Key, first: int, last: int, lost: Range | None) -> None:
        """The events from `first` to `last` will never come; `lost` is what of them was owed."""
        ledger = self._ledger(key)
        if lost is not None:
            ledger.lose(lost)
        self._advance(key, ledger, first, last)

    def bury(self, key: Key, sequence: int) -> None:
        """The node says that an event is not to be handled, because its letter exists already."""
        ledger = self._ledger(key)
        ledger.bury(sequence)
        self._advance(key, ledger, sequence, sequence)

    def finish_letter(self, letter: Letter, event: str = "") -> None:
        """The handler is done with a redelivered event, whose id is `event`."""
        self._letters.append(letter)
        self.faulty = True
        self._outcomes[letter[:2]] = (event, letter[2])
        if len(self._outcomes) > OUTCOMES_KEPT:
            del self._outcomes[next(iter(self._outcomes))]

    def knows(self, id_: int, attempt: int, event: str) -> bool:
        """Whether a redelivery has ended already; the node is then told the outcome, once more if need be.

        A node that lost its disk counts its letters anew: one of another event is another.
        """
        known, failure = self._outcomes.get((id_, attempt), ("", None))
        if not event or known != event:
            return False
        if all(letter[:2] != (id_, attempt) for letter in self._letters):
            self._letters.append((id_, attempt, failure))
            self.faulty = True
        return True

    def resume(self) -> list[tuple[str, str, int]]:
        """Every stream with what the node has confirmed: `resume` of a new attachment, and where its reports begin."""
        return [(origin, topic, ledger.confirmed) for (origin, topic), ledger in self._ledgers.items()]

    def report(self, faults_max: int = FAULTS_MAX, moves_max: int = MOVES_MAX) -> dict[str, Any]:
        """`moves` and `letters` of a report; `confirmed` or nothing follows before the next one is made."""
        letters = self._letters[:faults_max]
        moves, room, told = [], faults_max - len(letters), {}
        for key in islice((key for key in self._moved if key not in self._held), moves_max):
            ledger = self._ledgers[key]
            to, failures, lost = ledger.move(room)
            room -= len(failures) + len(lost)
            if to > ledger.confirmed:
                moves.append((*key, ledger.confirmed, to, failures, lost))
                told[key] = to
        self._told = (told, len(letters))
        return {"moves": moves, "letters": letters}

    def confirmed(self) -> None:
        """The node has taken the last report in."""
        moves, letters = self._told
        for key, to in moves.items():
            ledger = self._ledgers[key]
            ledger.confirm(to)
            if ledger.settled == to:
                self._moved.pop(key, None)
                ledger.ceiling = _ENDLESS
            elif to >= ledger.ceiling:
                self._held.add(key)
        del self._letters[:letters]
        self._told = ({}, 0)
        if self.faulty:
            left = (self._ledgers[key] for key in self._moved if key not in self._held)
            self.faulty = bool(self._letters) or any(ledger.failures or ledger.lost for ledger in left)

    def refused(self, moves: Mapping[int, int | None], letters: Collection[int]) -> list[str]:
        """The node has taken nothing of the last report in, because of these words of it; returns what each was about.

        `moves`: index in the report → where the node says that the stream ends, if it said so; `letters`: indexes.
        """
        keys, words = list(self._told[0].items()), []
        for index, head in moves.items():
            (origin, topic), to = keys[index]
            ledger = self._ledgers[origin, topic]
            ledger.ceiling = max(ledger.confirmed, min(ledger.confirmed if head is None else head, to - 1))
            if ledger.ceiling == ledger.confirmed:
                self._held.add((origin, topic))
            words.append(f"stream {origin}/{topic}")
        words += [f"letter {self._letters[index][0]}" for index in letters]
        for index in letters:
            self._outcomes.pop(self._letters[index][:2], None)
        self._letters = [letter for index, letter in enumerate(self._letters) if index not in letters]
        self._told = ({}, 0)
        return words

    @property
    def holding(self) -> bool:
        """Whether there is something the node does not take in."""
        return any(ledger.ceiling != _ENDLESS for ledger in self._ledgers.values())

    def say_again(self) -> None:
        """The node may take in now what it has refused."""
        self._held.clear()
        for ledger in self._ledgers.values():
            ledger.ceiling = _ENDLESS

    def _ledger(self, key: Key) -> Ledger:
        if key not in self._ledgers:
            self.begin(key, 0)
        return self._ledgers[key]

    def _advance(self, key: Key, ledger: Ledger, first: int, last: int) -> None:
        ledger.finish(first, last)
        if ledger.settled > ledger.confirmed:
            self._moved[key] = None
            self.faulty = self.faulty or bool(ledger.failures or ledger.lost)
