"""Spreading: telling every neighbour what is wanted, and answering what a neighbour wants.

    leaf ──interest v3──▶ node ──interest v9──▶ peer          the leaf's list goes on to whoever has events for it
                               ◀──ack v9, heads── peer
    leaf ◀──ack v3, heads── node                              answered when all have answered, or after a while

    interest      version  after  lists {member: patterns}     the lists that changed since version `after`,
                  whole  life                                  or all of them, of the sender in this life of it
                  detoured [member …]                          whose of all its lists are for the receiver alone
                  carry [member …]                             members whose events are asked for as well
                  heads [[origin topic head] …]                where the sender stands in streams it is to be brought
    interest_ack  version  origins [origin …]                  who knows of it now: the sender, and whom it speaks for
                  detoured [origin …]                          for which of them to the receiver alone
                  heads [[origin topic head] …]                their streams that have come into view by it

A subscription is in force when its node's neighbours have answered: from then on every event is owed. What was told to
whom is kept in `node.telling`, who waits for an answer in `node.answering`; here is what makes one follow from the
other.

What one neighbour wants is news for others only where this node passes on to it what they send: between peers that is
where one of the two is a leaf, or is carried for. In a mesh of peers a change costs a node one answer, and no look at
all its other links.

The heads of an answer say where streams begin here, those of an announcement from where they are owed to the far end:
`node.beginnings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import intern
from typing import Any

from node.answering import Answering
from node.beginnings import Beginnings, Row
from node.interest import Lists
from node.link import Identity, Link
from node.postponed import Postponed
from node.routes import Routes
from node.speaking import Speaking
from node.state import State
from node.telling import Telling, Told
from node.turn import LinkKey, Turn, integer
from node.wanting import Wanting

LEAVES_S = 0.1
"""How far apart leaves are told what all others want; nobody is answered for them meanwhile."""


class Spreading:
    """One node's talk about interest. `me`: the node in this life of it."""

    def __init__(
        self,
        state: State,
        routes: Routes,
        speaking: Speaking,
        wanting: Wanting,
        beginnings: Beginnings,
        me: Identity,
    ) -> None:
        self._state = state
        self._routes = routes
        self._wanting = wanting
        self._beginnings = beginnings
        self._telling = Telling(state, speaking, wanting, beginnings, me)
        self._answering = Answering(state, routes, speaking, self._telling)
        self._postponed = Postponed()
        self._announced = -1
        self._dirty = self._dirty_for_leaves = False
        self._leaves_us = 0

    # ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def up(self, link: Link, turn: Turn) -> None:
        """A link came up: tell it everything."""
        self._routes.up(link.key, link.name, link.role == "leaf")
        self._answering.up(link.key)
        self._telling.up(link.key, turn)

    def down(self, key: LinkKey) -> None:
        """A link is gone."""
        self._changed_for_others(key)
        self._answering.less_is_known(key, self._routes.heard.of(key))
        self._routes.down(key)
        self._state.interest.forget(key)
        self._wanting.forget(key)
        self._postponed.forget(key)
        self._answering.down(key)
        self._telling.down(key)

    def moved(self, old: LinkKey, new: LinkKey, turn: Turn) -> None:
        """A link goes on over another connection: what the far end wants stands, and it is told everything again."""
        self._routes.moved(old, new)
        self._state.interest.moved(old, new)
        self._wanting.moved(old, new)
        self._telling.moved(old, new)
        self._postponed.moved(old, new)
        self._answering.moved(old, new)
        self._changed_for_others(new)
        self._answering.more_is_known(new)
        self._telling.again(new, turn)

    def _changed_for_others(self, key: LinkKey) -> None:
        """What the far end of a link wants, or to be carried, is something else from now on."""
        self._dirty |= self._routes.spoken_for(key)
        self._dirty_for_leaves |= bool(self._routes.leaves())

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, turn: Turn) -> None:
        """Tell every neighbour what has changed for it, and answer what can be answered."""
        if self._dirty or self._announced != self._state.interest.version:
            self._announced, self._dirty, self._dirty_for_leaves = self._state.interest.version, False, False
            self._routes.changed()
            self._wanting.shrink()
            self._pass_on(self._telling.told, turn)
        elif self._dirty_for_leaves and turn.now.mono_us >= self._leaves_us:
            self._dirty_for_leaves = False
            self._leaves_us = turn.now.later(LEAVES_S)
            self._pass_on(self._routes.leaves(), turn)
        for key in self._telling.overdue(turn.now):
            self._telling.again(key, turn, same=True)
        if self._state.known:  # else it would say of streams that are here that they are not
            self._answering.tick(turn, hold=self._dirty_for_leaves)

    def _pass_on(self, keys: Iterable[LinkKey], turn: Turn) -> None:
        """Tell these links what has changed for them; who waits for an answer may wait for theirs."""
        far = self._beginnings.far()
        for key in keys:
            self._telling.tell(key, far, turn)
        for key in self._answering.open if self._telling.unanswered else ():
            self._answering.wait_for_others(key)

    @property
    def carry(self) -> Mapping[LinkKey, tuple[str, ...]]:
        """Who is asked to carry whom."""
        return self._telling.carry

    def ask_to_carry(self, carry: dict[LinkKey, tuple[str, ...]]) -> None:
        """Who is asked to carry whom from now on."""
        if carry != self._telling.carry:
            self._telling.carry, self._dirty = carry, True

    @property
    def waiting(self) -> bool:
        """Whether an answer is waited for, or is to be completed."""
        return bool(self._answering.open or self._answering.stale or self._dirty_for_leaves)

    # ── what a neighbour wants ───────────────────────────────────────────────────────────────────────────────────────

    def interest(self, link: Link, fields: Mapping[str, Any], turn: Turn) -> None:
        """A neighbour says what it wants."""
        lists = {str(name): tuple(map(str, patterns)) for name, patterns in fields["lists"].items()}
        version, whole = integer(fields["version"]), bool(fields["whole"])
        before = self._answering.version(link.key)
        if version < before or (not whole and int(fields["after"]) != before):
            return  # late, or the change before it did not arrive: without an answer everything is told again
        carry, detoured = ([str(name) for name in fields.get(each, ())] for each in ("carry", "detoured"))
        self._announce(link.key, lists, whole, carry, detoured)
        for origin, topic, head in fields.get("heads", ()):
            self._beginnings.resume(link.key, (str(origin), str(topic), integer(head)), turn)
        self._answering.ask(link.key, version, whole, turn.now)

    def _announce(self, key: LinkKey, lists: Lists, whole: bool, carry: Sequence[str], detoured: Sequence[str]) -> None:
        """Take in what a neighbour wants; what it said before, said again, changes nothing for others."""
        interest, routes = self._state.interest, self._routes
        before = interest.of(key), routes.neighbours[key], routes.spoken_for(key)
        interest.announced(key, lists, whole)
        routes.carry(key, carry, detoured)
        if before != (interest.of(key), routes.neighbours[key], routes.spoken_for(key)):
            routes.changed()
            self._changed_for_others(key)
            self._dirty |= before[2]

    # ── what a neighbour answers ─────────────────────────────────────────────────────────────────────────────────────

    def answers_left(self) -> list[tuple[LinkKey, Mapping[str, Any]]]:
        """Answers that could not be written when they came, and can be now: they come before anything else."""
        return self._postponed.take() if self._postponed and not self._beginnings.closed else []

    def answered(self, link: Link, fields: Mapping[str, Any], learn: Callable[[Row], None], turn: Turn) -> None:
        """A neighbour has answered; `learn` is given the streams of which more is owed than is here.

        What cannot be written is no answer: it is postponed, and the neighbour told again.
        """
        version, told = int(fields["version"]), self._telling.told[link.key]
        if version not in told.local:
            return
        origins, detoured = ([intern(str(each)) for each in fields.get(name, ())] for name in ("origins", "detoured"))
        self._beginnings.heard(link.name, origins, detoured)
        self._answering.less_is_known(link.key, self._routes.heard.of(link.key).difference(origins))
        self._routes.hear(link.key, origins, detoured)
        if self._beginnings.closed:
            self._postponed.keep(link.key, version, fields)
            return
        turn.once_failed.append(lambda: self._put_back(told, version, fields))
        for origin, topic, head in fields["heads"]:
            self._beginnings.place((str(origin), str(topic), integer(head)), learn, turn)
        self._telling.answered(link.key, version, turn)
        self._answering.more_is_known(link.key)
        self._wanting.answered(link.key, origins, version, detoured, turn)

    def _put_back(self, told: Told, version: int, fields: Mapping[str, Any]) -> None:
        """The turn that placed an answer could not be committed; its link may have moved in it, or be gone."""
        key = self._telling.link_of(told)
        if key is not None:
            self._postponed.put_back(key, version, fields)
