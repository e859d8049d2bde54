"""Telling: what each neighbour was told last of what is wanted, and whether it has answered.

    told v7 ──▶ peer        unanswered until its answer to v7 is here; told again as a whole when that takes long
    ◀── ack v7              then what was wanted here at v7 is `informed`: every event of it is owed by that peer

Only what has changed for a link is told, and nothing where nothing has. Versions only grow, over all links and lives of
a node, so that what comes late, over a connection that is gone, is told from what came after it. A node that lost its
disk counts from the start again, so the life is named as well (`node.links`). What is told and in which words:
`node.spreading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mesh.topic import PatternSet
from node.beginnings import Beginnings
from node.clock import Now
from node.interest import Lists
from node.link import Identity
from node.speaking import Speaking
from node.state import State
from node.streams import Stream
from node.turn import LinkKey, Turn, rekey
from node.wanting import Wanting

RETELL_S = 3.0
"""What a neighbour has not answered for so long it is told again, as a whole: it may have come on a connection that was
just being left."""

VERSION_BITS = 32
"""Announcements in one life of a node, of interest or of reach: two to the power of this."""


@dataclass(slots=True)
class Told:
    """What one link was told last. `local`: version sent → version of the interest here that it covers."""

    lists: Lists = field(default_factory=dict)
    detoured: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    version: int = 0
    answered: int = 0
    sent_us: int = 0
    local: dict[int, int] = field(default_factory=dict)


class Telling:
    """What one node, `me`, has told its neighbours. `carry`: who is asked to carry whom.

    `told` by link, `unanswered` are the links that owe an answer to what they were told last.
    """

    def __init__(
        self, state: State, speaking: Speaking, wanting: Wanting, beginnings: Beginnings, me: Identity
    ) -> None:
        self._state = state
        self._speaking = speaking
        self._wanting = wanting
        self._beginnings = beginnings
        self._life = me.life
        self._version = me.incarnation << VERSION_BITS
        self.told: dict[LinkKey, Told] = {}
        self.unanswered: dict[LinkKey, None] = {}
        self.carry: dict[LinkKey, tuple[str, ...]] = {}

    def up(self, key: LinkKey, turn: Turn) -> None:
        """A link came up: tell it everything."""
        self.told[key] = Told()
        self.tell(key, self._beginnings.far(), turn, whole=True)

    def down(self, key: LinkKey) -> None:
        """A link is gone."""
        self._state.informed.pop(key, None)
        for table in (self.told, self.carry, self.unanswered):
            table.pop(key, None)

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """A link goes on over another connection."""
        rekey(self.told, old, new)
        rekey(self.carry, old, new)
        rekey(self._state.informed, old, new)
        rekey(self.unanswered, old, new)

    def again(self, key: LinkKey, turn: Turn, same: bool = False) -> None:
        """Tell a link everything; where it is but the `same`, an answer that is on its way counts."""
        told = self.told[key]
        same = same and self._due(key) == (told.lists, told.detoured, told.carry)
        told.lists, told.detoured, told.carry = {}, (), ()
        self.tell(key, self._beginnings.far(), turn, whole=True, same=same)

    def overdue(self, now: Now) -> list[LinkKey]:
        """The links that have not answered for long."""
        return [key for key in self.unanswered if now.mono_us - self.told[key].sent_us > RETELL_S * 1e6]

    def tell(self, key: LinkKey, far: Sequence[Stream], turn: Turn, whole: bool = False, same: bool = False) -> None:
        """Tell a link what has changed for it. `far` as in `Beginnings.far`."""
        told, (lists, detoured, carry) = self.told[key], self._due(key)
        if not whole and (lists, detoured, carry) == (told.lists, told.detoured, told.carry):
            self._covers(key, told)
            return
        changed = {name: lists.get(name, ()) for name in {**told.lists, **lists}}
        changed = {name: patterns for name, patterns in changed.items() if patterns != told.lists.get(name, ())}
        newly, after = set(carry) - set(told.carry), told.version
        heads = self._beginnings.stands(key, _set_of(told.lists), _set_of(lists), newly, far)
        self._version += not same
        told.lists, told.detoured, told.carry, told.sent_us = lists, detoured, carry, turn.now.mono_us
        told.version = after if same else self._version
        self.unanswered[key] = None
        self._covers(key, told)
        straight = {name: patterns for name, patterns in lists.items() if name not in detoured}
        self._wanting.told(key, told.version, _texts(lists), _texts(straight))
        fields = {"version": told.version, "after": after, "lists": changed, "whole": whole, "life": self._life}
        turn.control(key, {"t": "interest", **fields, "detoured": detoured, "carry": carry, "heads": heads})

    def _due(self, key: LinkKey) -> tuple[Lists, tuple[str, ...], tuple[str, ...]]:
        """What a link is to be told as things are now: lists, which of them are detoured, whom to carry."""
        return self._speaking.lists_for(key), self._speaking.detoured_for(key), self.carry.get(key, ())

    def _covers(self, key: LinkKey, told: Told) -> None:
        """What was told last says all that is wanted here now."""
        told.local[told.version] = self._state.interest.version
        if told.answered == told.version:
            self._state.informed[key] = self._state.interest.version

    def answered(self, key: LinkKey, version: int, turn: Turn) -> None:
        """The far end has answered what it was told under a version, which is one of `local`.

        If the turn fails, with what came in the answer, the link owes an answer as before and is told again; an answer
        to an earlier version, which failed in the same turn, counts still.
        """
        told, informed = self.told[key], self._state.informed
        earlier = {each: told.local.pop(each) for each in list(told.local) if each < version}
        before = told.answered, informed.get(key), earlier
        told.answered = max(told.answered, version)
        if told.answered == told.version:
            self.unanswered.pop(key, None)
        informed[key] = max(informed.get(key, 0), told.local[version])
        turn.once_failed.append(lambda: self._unanswered(told, *before))

    def _unanswered(self, told: Told, answered: int, informed: int | None, earlier: dict[int, int]) -> None:
        told.local |= earlier
        key = self.link_of(told)
        if key is not None:
            told.answered, self.unanswered[key] = answered, None
            self._state.informed[key] = informed or 0

    def link_of(self, told: Told) -> LinkKey | None:
        """The link that was told this, over whichever connection it goes; None when it is gone."""
        return next((key for key, its in self.told.items() if its is told), None)


def _texts(lists: Lists) -> Iterable[str]:
    """Every pattern of every list."""
    return (text for patterns in lists.values() for text in patterns)


def _set_of(lists: Lists) -> PatternSet:
    return PatternSet(_texts(lists))
