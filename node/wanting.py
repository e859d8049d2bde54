"""Wanting: what every origin was told that this node wants, and has been wanted without a break ever since.

    told v7 [A, gpu.*] ─▶ … answered v7 ─▶ wanted of that origin: A, gpu.*  ─▶ A is no longer wanted here ─▶ gpu.*
                                               └── the durable consumers' part is kept on disk, for the next start

An origin's stream that comes to light here either began before it was wanted, then what was before is not owed, or it
began since, then it is owed from its first event. Which of the two is told by what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from mesh.topic import PatternSet
from node.state import State
from node.turn import LinkKey, Turn

KEEP_S = 1.0
"""How often what durable consumers want is compared with what is on disk."""
_KEY = "wanted "

Patterns = frozenset[str]


class Wanting:
    """Per origin: the patterns it knows to be wanted here, as long as they are."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: dict[LinkKey, dict[int, Patterns]] = {}
        self._kept = _read(state.store.read_meta())
        durable = self._durable()
        self._wanted = {origin: patterns & durable for origin, patterns in self._kept.items()}
        self._next_keep_us = 0

    def told(self, link: LinkKey, version: int, patterns: Iterable[str]) -> None:
        """An announcement is on its way to a peer."""
        self._told.setdefault(link, {})[version] = frozenset(patterns)

    def before(self, origin: str) -> PatternSet:
        """What the origin knew to be wanted until now."""
        return PatternSet(self._wanted.get(origin, ()))

    def answered(self, link: LinkKey, origin: str, version: int) -> None:
        """The peer has taken in an announcement, and with it all earlier ones."""
        on_their_way = self._told.get(link, {})
        patterns = on_their_way.get(version)
        if patterns is not None:
            self._wanted[origin] = patterns & frozenset(self._state.interest.patterns)
            self._told[link] = {each: told for each, told in on_their_way.items() if each >= version}

    def forget(self, link: LinkKey) -> None:
        """The link is down: no answer will come. What stood before goes on standing."""
        self._told.pop(link, None)

    def shrink(self) -> None:
        """The interest here has changed: what is not wanted any more has a break, also if it is wanted again later."""
        now = frozenset(self._state.interest.patterns)
        self._wanted = {origin: patterns & now for origin, patterns in self._wanted.items()}

    def keep(self, turn: Turn) -> None:
        """Put the durable consumers' part into the transaction when it has changed."""
        if turn.now.mono_us < self._next_keep_us:
            return
        self._next_keep_us = turn.now.later(KEEP_S)
        durable = self._durable()
        for origin, patterns in self._wanted.items():
            if patterns & durable != self._kept.get(origin, frozenset()):
                self._keep(origin, patterns & durable, turn)

    def _keep(self, origin: str, patterns: Patterns, turn: Turn) -> None:
        turn.changes.meta[_KEY + origin] = orjson.dumps(sorted(patterns)).decode()
        turn.once_committed.append(lambda: self._kept.update({origin: patterns}))

    def _durable(self) -> Patterns:
        consumers = self._state.consumers.values()
        return frozenset(each.pattern.text for one in consumers for each in one.followings if each.durable)


def _read(meta: dict[str, str]) -> dict[str, Patterns]:
    rows = {key.removeprefix(_KEY): value for key, value in meta.items() if key.startswith(_KEY)}
    return {origin: frozenset(orjson.loads(value)) for origin, value in rows.items()}
