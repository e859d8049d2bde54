"""Answering: what the neighbours have asked for, and when they are told who knows of it.

    leaf ──interest v3──▶ node ──interest v9──▶ peer        an answer waits for those whom it speaks for
    leaf ◀──ack v3 ────── node ◀──ack v9 ────── peer        as far as they were told, and no longer than `ANSWER_WAIT_S`

An answer that could not wait for all says less, and another one with the same version follows when the rest has
answered. So does one when somebody is spoken for no longer: who goes on counting on this node for his events would
compare streams with it that are not brought any more. What an answer says: `node.spreading`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mesh.topic import PatternSet
from node.clock import Now
from node.routes import Routes
from node.speaking import Speaking
from node.state import State
from node.telling import Telling
from node.turn import LinkKey, Turn, rekey

ANSWER_WAIT_S = 1.0
"""How long an answer waits for the answers it depends on; the asker's own wait is longer."""

MORE_S = 0.2
"""How long who has answered waits for others, so that a leaf is not given a longer answer for each of many peers."""

_NOTHING = PatternSet(())


@dataclass(slots=True)
class _Asked:
    """What one link wants of us. `said`: origin → the patterns under which its streams were named to it.

    `detoured`: which of these origins were named as such that are spoken for to this link alone.
    """

    version: int = 0
    waiting: dict[LinkKey, int] = field(default_factory=dict)
    deadline_us: int = 0
    said: dict[str, PatternSet] = field(default_factory=dict)
    detoured: set[str] = field(default_factory=set)

    def knows(self, origins: Collection[str]) -> bool:
        """Whether it has been told of all these, and of none as detoured."""
        return self.said.keys() >= set(origins) and self.detoured.isdisjoint(origins)

    def says(self, origins: set[str], detoured: set[str]) -> bool:
        """Whether it has been told of these and of nobody else, and of these as detoured."""
        return self.said.keys() == origins and self.detoured == detoured

    def wait_again(self, waiting: dict[LinkKey, int]) -> None:
        """The turn in which some of these answered could not be committed."""
        self.waiting = waiting


class Answering:
    """One node's answers: `open` are the links that wait for one, `stale` those for which it would be another now."""

    def __init__(self, state: State, routes: Routes, speaking: Speaking, telling: Telling) -> None:
        self._state = state
        self._routes = routes
        self._speaking = speaking
        self._telling = telling
        self._asked: dict[LinkKey, _Asked] = {}
        self._more_us = 0
        self.open: dict[LinkKey, None] = {}
        self.stale: dict[LinkKey, None] = {}

    def up(self, key: LinkKey) -> None:
        """A link came up: it has asked for nothing."""
        self._asked[key] = _Asked()
        self._wait_no_more(key)

    def down(self, key: LinkKey) -> None:
        """A link is gone."""
        self._wait_no_more(key)
        self._asked.pop(key, None)

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """A link goes on over another connection: what the far end wants stands, and who waits for it still does."""
        for table in (self.open, self.stale):
            rekey(table, old, new)
        rekey(self._asked, old, new)
        for asked in self._asked.values():
            rekey(asked.waiting, old, new)

    def _wait_no_more(self, key: LinkKey) -> None:
        """No answer goes or comes by a connection, and what may come under its key later is another's."""
        self.open.pop(key, None)
        self.stale.pop(key, None)
        for asked in self._asked.values():
            asked.waiting.pop(key, None)

    def version(self, key: LinkKey) -> int:
        """Of the last announcement of a link that was taken."""
        return self._asked[key].version

    def ask(self, key: LinkKey, version: int, whole: bool, now: Now) -> None:
        """A link has said what it wants: it is to be answered."""
        asked = self._asked[key]
        if whole:
            asked.said = {}
        asked.version = version
        asked.deadline_us = now.later(ANSWER_WAIT_S)
        self.open[key] = None
        self.wait_for_others(key)

    def wait_for_others(self, key: LinkKey) -> None:
        """An answer to this link has to wait for those it speaks for, as far as they have not answered themselves."""
        told, unanswered = self._telling.told, self._telling.unanswered
        self._asked[key].waiting |= {
            other: told[other].version for other in self._routes.bringing_to(key) if other in unanswered
        }

    def more_is_known(self, key: LinkKey) -> None:
        """The far end of a link has answered: whom it brings may be named to others."""
        origins = self._routes.heard.of(key)
        for other in self._routes.wanting_from(key):
            if not self._asked[other].knows(origins):
                self.stale[other] = None

    def less_is_known(self, key: LinkKey, origins: Collection[str]) -> None:
        """The far end of a link brings these no longer: to whom they were named, they may have to be named no more."""
        for other in self._routes.wanting_from(key):
            if not self._asked[other].said.keys().isdisjoint(origins):
                self.stale[other] = None

    def tick(self, turn: Turn, hold: bool) -> None:
        """Answer what can be answered; with `hold` nobody who waits for an answer to be whole."""
        for key in () if hold else list(self.open):
            asked = self._asked[key]
            self._look_who_answered(asked, turn)
            if not asked.waiting or turn.now.mono_us >= asked.deadline_us:
                del self.open[key]
                self._answer(key, asked, turn)
                self.stale.pop(key, None)
        if self.stale and turn.now.mono_us >= self._more_us:
            self._more_us = turn.now.later(MORE_S)
            for key in [each for each in self.stale if each not in self.open]:
                self._say_again(key, self._asked[key], turn)
            self.stale.clear()

    def _look_who_answered(self, asked: _Asked, turn: Turn) -> None:
        """Wait for those no longer; if the turn fails, what they answered in it does not count."""
        told, before = self._telling.told, asked.waiting
        asked.waiting = {other: version for other, version in before.items() if told[other].answered < version}
        if len(asked.waiting) < len(before):
            turn.once_failed.append(lambda: asked.wait_again(before))

    def _say_again(self, key: LinkKey, asked: _Asked, turn: Turn) -> None:
        self._look_who_answered(asked, turn)
        origins = self._speaks(key, asked)
        if asked.version and not asked.says(origins, self._speaking.detours(key, origins)):
            self._answer(key, asked, turn)

    def _speaks(self, key: LinkKey, asked: _Asked) -> set[str]:
        """The origins that know what the link wants."""
        return {self._state.origin, *self._speaking.speaks(key, asked.waiting)}

    def _answer(self, key: LinkKey, asked: _Asked, turn: Turn) -> None:
        origins, wanted = self._speaks(key, asked), self._state.interest.patterns_of(key)
        rows = [
            (stream.origin, stream.topic, stream.head)
            for stream in self._state.relay.streams.values()
            if stream.origin in origins
            and wanted.matches(stream.topic)
            and not asked.said.get(stream.origin, _NOTHING).matches(stream.topic)
        ]
        asked.said, asked.detoured = dict.fromkeys(origins, wanted), self._speaking.detours(key, origins)
        fields = {"version": asked.version, "origins": sorted(origins), "detoured": sorted(asked.detoured)}
        turn.control_after(key, {"t": "interest_ack", **fields, "heads": rows})
        turn.once_failed.append(lambda: self._unsaid(key, asked))

    def _unsaid(self, key: LinkKey, asked: _Asked) -> None:
        """The answer did not leave, because the turn could not be committed."""
        self.open[key], asked.said = None, {}
