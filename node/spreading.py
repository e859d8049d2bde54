"""Spreading: telling every neighbour what is wanted, and answering what a neighbour wants.

    leaf ──interest v3──▶ node ──interest v9──▶ peer          the leaf's list goes on to whoever has events for it
                               ◀──ack v9, heads── peer
    leaf ◀──ack v3, heads── node                              answered when all have answered, or after a while

    interest      version  after  lists {member: patterns}     the lists that changed since version `after`,
                  whole                                        or all of them
                  detoured [member …]                          whose of all its lists are for the receiver alone
                  carry [member …]                             members whose events are asked for as well
                  heads [[origin topic head] …]                where the sender stands in streams it is to be brought
    interest_ack  version  origins [origin …]                  who knows of it now: the sender, and whom it speaks for
                  detoured [origin …]                          for which of them to the receiver alone
                  heads [[origin topic head] …]                their streams that have come into view by it

A subscription is in force when its node's neighbours have answered: from then on every event is owed. An answer that
could not wait for all says less, and another one with the same version follows when the rest has answered.

Versions only grow, over all links and lives of a node, so that what comes late, over a connection that is gone, is told
from what came after it.

What one neighbour wants is news for others only where this node passes on to it what they send: between peers that is
where one of the two is a leaf, or is carried for. In a mesh of peers a change costs a node one answer, and no look at
all its other links.

The heads of an answer say where streams begin here, those of an announcement from where they are owed to the far end:
`node.beginnings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from mesh.topic import PatternSet
from node.beginnings import Beginnings, Row
from node.interest import Lists
from node.link import Link
from node.routes import Routes
from node.state import State
from node.streams import Stream
from node.turn import LinkKey, Turn, rekey
from node.wanting import Wanting

ANSWER_WAIT_S = 1.0
"""How long an answer waits for the answers it depends on; the asker's own wait is longer."""

RETELL_S = 3.0
"""What a neighbour has not answered for so long it is told again, as a whole: it may have come on a connection that was
just being left."""

VERSION_BITS = 32
"""Announcements in one life of a node, of interest or of reach: two to the power of this."""

LEAVES_S = 0.1
"""How far apart leaves are told what all others want; nobody is answered for them meanwhile."""

MORE_S = 0.2
"""How long who has answered waits for others, so that a leaf is not given a longer answer for each of many peers."""

_NOTHING = PatternSet(())


@dataclass(slots=True)
class _Told:
    """What one link was told last. `local`: version sent → version of the interest here that it covers."""

    lists: Lists = field(default_factory=dict)
    detoured: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    version: int = 0
    answered: int = 0
    sent_us: int = 0
    local: dict[int, int] = field(default_factory=dict)


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

    def knows(self, origins: set[str], detoured: set[str]) -> bool:
        """Whether it has been told of all these, and of none as detoured that others may hear of, too."""
        return origins <= self.said.keys() and self.detoured & origins <= detoured


class Spreading:
    """One node's talk about interest. `carry`: who is asked to carry whom.

    `life` counts the node's starts.
    """

    def __init__(self, state: State, routes: Routes, wanting: Wanting, beginnings: Beginnings, life: int) -> None:
        self._state = state
        self._routes = routes
        self._wanting = wanting
        self._beginnings = beginnings
        self._told: dict[LinkKey, _Told] = {}
        self._asked: dict[LinkKey, _Asked] = {}
        self._announced = -1
        self._version = life << VERSION_BITS
        self._dirty = self._dirty_for_leaves = False
        self._unanswered: dict[LinkKey, None] = {}
        self._open: dict[LinkKey, None] = {}
        self._grown: dict[LinkKey, None] = {}
        self._more_us = self._leaves_us = 0
        self.carry: dict[LinkKey, tuple[str, ...]] = {}

    # ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def up(self, link: Link, turn: Turn) -> None:
        """A link came up: tell it everything."""
        self._routes.up(link.key, link.name, link.role == "leaf")
        self._told[link.key], self._asked[link.key] = _Told(), _Asked()
        self._wait_no_more(link.key)
        self._tell(link.key, self._beginnings.far(), turn, whole=True)

    def down(self, key: LinkKey) -> None:
        """A link is gone."""
        self._changed_for_others(key)
        self._routes.down(key)
        self._state.interest.forget(key)
        self._wanting.forget(key)
        self._state.informed.pop(key, None)
        self._wait_no_more(key)
        for table in (self._told, self._asked, self.carry, self._unanswered):
            table.pop(key, None)

    def moved(self, old: LinkKey, new: LinkKey, turn: Turn) -> None:
        """A link goes on over another connection: what the far end wants stands, and it is told everything again."""
        self._routes.moved(old, new)
        self._state.interest.moved(old, new)
        self._wanting.moved(old, new)
        rekey(self._told, old, new)
        rekey(self._asked, old, new)
        rekey(self.carry, old, new)
        rekey(self._state.informed, old, new)
        rekey(self._unanswered, old, new)
        is_open = old in self._open
        self._wait_no_more(old)
        if is_open:
            self._open[new] = None
        self._changed_for_others(new)
        self._more_is_known(new)
        self._tell_again(new, turn)

    def _wait_no_more(self, key: LinkKey) -> None:
        """No answer goes or comes by a connection, and what may come under its key later is another's."""
        self._open.pop(key, None)
        self._grown.pop(key, None)
        for asked in self._asked.values():
            asked.waiting.pop(key, None)

    def _tell_again(self, key: LinkKey, turn: Turn, same: bool = False) -> None:
        """Tell a link everything; where it is but the same, an answer that is on its way counts."""
        told = self._told[key]
        self._told[key] = _Told(version=told.version, answered=told.answered, local=told.local)
        self._tell(key, self._beginnings.far(), turn, whole=True, same=same)

    def _changed_for_others(self, key: LinkKey) -> None:
        """What the far end of a link wants, or to be carried, is something else from now on."""
        self._dirty |= self._routes.spoken_for(key)
        self._dirty_for_leaves |= bool(self._routes.leaves())

    def _more_is_known(self, key: LinkKey) -> None:
        """The far end of a link has answered: whom it brings may be named to others."""
        origins, none = set(self._routes.heard.of(key)), set[str]()
        for other in self._routes.wanting_from(key):
            if not self._asked[other].knows(origins, none):
                self._grown[other] = None

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, turn: Turn) -> None:
        """Tell every neighbour what has changed for it, and answer what can be answered."""
        if self._dirty or self._announced != self._state.interest.version:
            self._announced, self._dirty, self._dirty_for_leaves = self._state.interest.version, False, False
            self._routes.changed()
            self._wanting.shrink()
            self._pass_on(self._told, turn)
        elif self._dirty_for_leaves and turn.now.mono_us >= self._leaves_us:
            self._dirty_for_leaves = False
            self._leaves_us = turn.now.later(LEAVES_S)
            self._pass_on(self._routes.leaves(), turn)
        for key in list(self._unanswered):
            told = self._told[key]
            if turn.now.mono_us - told.sent_us > RETELL_S * 1e6:
                self._tell_again(key, turn, same=True)
        self._answer_all(turn)

    def _pass_on(self, keys: Iterable[LinkKey], turn: Turn) -> None:
        """Tell these links what has changed for them; who waits for an answer may wait for theirs."""
        far = self._beginnings.far()
        for key in keys:
            self._tell(key, far, turn)
        for key in self._open if self._unanswered else ():
            self._wait_for_others(key)

    def _wait_for_others(self, key: LinkKey) -> None:
        """An answer to this link has to wait for those it speaks for, as far as they have not answered themselves."""
        self._asked[key].waiting |= {
            other: self._told[other].version for other in self._routes.bringing_to(key) if other in self._unanswered
        }

    def ask_to_carry(self, carry: dict[LinkKey, tuple[str, ...]]) -> None:
        """Who is asked to carry whom from now on."""
        if carry != self.carry:
            self.carry, self._dirty = carry, True

    def _tell(self, key: LinkKey, far: Sequence[Stream], turn: Turn, whole: bool = False, same: bool = False) -> None:
        told, lists, carry = self._told[key], self._routes.lists_for(key), self.carry.get(key, ())
        detoured = self._routes.detoured_for(key)
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
        self._unanswered[key] = None
        self._covers(key, told)
        straight = {name: patterns for name, patterns in lists.items() if name not in detoured}
        self._wanting.told(key, told.version, _texts(lists), _texts(straight))
        fields = {"version": told.version, "after": after, "lists": changed, "whole": whole, "detoured": detoured}
        turn.control(key, {"t": "interest", **fields, "carry": carry, "heads": heads})

    def _covers(self, key: LinkKey, told: _Told) -> None:
        """What was told last says all that is wanted here now."""
        told.local[told.version] = self._state.interest.version
        if told.answered == told.version:
            self._state.informed[key] = self._state.interest.version

    # ── what a neighbour wants ───────────────────────────────────────────────────────────────────────────────────────

    def interest(self, link: Link, fields: Mapping[str, Any], turn: Turn) -> None:
        """A neighbour says what it wants."""
        lists = {str(name): tuple(map(str, patterns)) for name, patterns in fields["lists"].items()}
        asked, version, whole = self._asked[link.key], int(fields["version"]), bool(fields["whole"])
        if version < asked.version or (not whole and int(fields["after"]) != asked.version):
            return  # late, or the change before it did not arrive: without an answer everything is told again
        carry, detoured = ([str(name) for name in fields.get(each, ())] for each in ("carry", "detoured"))
        self._announce(link.key, lists, whole, carry, detoured)
        for origin, topic, head in fields.get("heads", ()):
            self._beginnings.resume(link.key, (str(origin), str(topic), int(head)), turn)
        if fields["whole"]:
            asked.said = {}
        asked.version = version
        asked.deadline_us = turn.now.later(ANSWER_WAIT_S)
        self._open[link.key] = None
        self._wait_for_others(link.key)

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

    def _answer_all(self, turn: Turn) -> None:
        for key in () if self._dirty_for_leaves else list(self._open):
            asked = self._asked[key]
            self._look_who_answered(asked)
            if not asked.waiting or turn.now.mono_us >= asked.deadline_us:
                del self._open[key]
                self._answer(key, asked, turn)
                self._grown.pop(key, None)
        if self._grown and turn.now.mono_us >= self._more_us:
            self._more_us = turn.now.later(MORE_S)
            for key in [each for each in self._grown if each not in self._open]:
                self._say_more(key, self._asked[key], turn)
            self._grown.clear()

    def _look_who_answered(self, asked: _Asked) -> None:
        asked.waiting = {
            other: version for other, version in asked.waiting.items() if self._told[other].answered < version
        }

    def _say_more(self, key: LinkKey, asked: _Asked, turn: Turn) -> None:
        self._look_who_answered(asked)
        origins = self._speaks(key, asked)
        if asked.version and not asked.knows(origins, self._routes.detours(key, origins)):
            self._answer(key, asked, turn)

    def _speaks(self, key: LinkKey, asked: _Asked) -> set[str]:
        """The origins that know what the link wants."""
        return {self._state.origin, *self._routes.speaks(key, asked.waiting)}

    def _answer(self, key: LinkKey, asked: _Asked, turn: Turn) -> None:
        origins, wanted = self._speaks(key, asked), self._state.interest.patterns_of(key)
        rows = [
            (stream.origin, stream.topic, stream.head)
            for stream in self._state.relay.streams.values()
            if stream.origin in origins
            and wanted.matches(stream.topic)
            and not asked.said.get(stream.origin, _NOTHING).matches(stream.topic)
        ]
        asked.said, asked.detoured = dict.fromkeys(origins, wanted), self._routes.detours(key, origins)
        fields = {"version": asked.version, "origins": sorted(origins), "detoured": sorted(asked.detoured)}
        turn.control_after(key, {"t": "interest_ack", **fields, "heads": rows})
        turn.once_failed.append(lambda: self._unsaid(key, asked))

    def _unsaid(self, key: LinkKey, asked: _Asked) -> None:
        """The answer did not leave, because the turn could not be committed."""
        self._open[key], asked.said = None, {}

    @property
    def waiting(self) -> bool:
        """Whether an answer is waited for, or is to be completed."""
        return bool(self._open or self._grown or self._dirty_for_leaves)

    # ── what a neighbour answers ─────────────────────────────────────────────────────────────────────────────────────

    def answered(self, link: Link, fields: Mapping[str, Any], learn: Callable[[Row], None], turn: Turn) -> None:
        """A neighbour has answered; `learn` is given the streams of which more is owed than is here."""
        version, told = int(fields["version"]), self._told[link.key]
        if version not in told.local:
            return
        origins, detoured = ([intern(str(each)) for each in fields.get(name, ())] for name in ("origins", "detoured"))
        for origin, topic, head in fields["heads"]:
            self._beginnings.place((str(origin), str(topic), int(head)), learn, turn)
        told.answered = max(told.answered, version)
        if told.answered == told.version:
            self._unanswered.pop(link.key, None)
        self._beginnings.heard(link.name, origins, detoured)
        self._routes.hear(link.key, origins, detoured)
        self._more_is_known(link.key)
        turn.once_committed.append(lambda: self._wanting.answered(link.key, origins, version, detoured))
        told.local = {each: local for each, local in told.local.items() if each >= version}
        self._state.informed[link.key] = max(self._state.informed.get(link.key, 0), told.local[version])


def _texts(lists: Lists) -> Iterable[str]:
    """Every pattern of every list."""
    return (text for patterns in lists.values() for text in patterns)


def _set_of(lists: Lists) -> PatternSet:
    return PatternSet(_texts(lists))
