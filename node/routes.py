"""Routes: which links an event goes out on, and what each link is told is wanted. Rules only.

    entered here ────────────▶ every link that wants it
    came from a leaf ────────▶ every other link that wants it
    came from a peer ────────▶ our leaves that want it, and links we carry that peer for
                               never back, never to the member it began at

    a peer is told    what is wanted here, by our leaves, and by those we carry this peer for, each by its name
    a leaf is told    the union of what is wanted here and everywhere else
    a leaf tells      what is wanted here

Peers are linked with each other as far as they can reach each other, so one hop between peers is enough, and nothing
can go in a circle. Where two peers cannot reach each other, one of them asks a neighbour that reaches both to carry:
the neighbour then tells the far member what the asker wants, and passes on what comes from there (`node.carrying`).

    A ══ B ══ C ══ D      A ─/─ C, so A asks B:  what B tells C of A is a detour, and C does not tell it to D
                          B ─/─ D, so B asks C:  what C brings B of D is a detour, and B does not bring it to A

A detour leads over one peer, never over two: A has a link with D, or asks somebody else. Wishes and origins that take
one are marked as such, and go on to nobody but leaves.

What may be told of an origin's streams follows the same paths: a node `speaks` on a link for the origins whose events
it would send there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from mesh.topic import PatternSet
from node.interest import Interest, Lists
from node.turn import LinkKey
from node.voices import Voices

_CACHED_MAX = 20_000


class Neighbour(NamedTuple):
    """The far end of a link that is up. `carried`: names of members it has asked to be carried for.

    `detoured`: the members it speaks for to this node alone, because they asked it to.
    """

    name: str
    leaf: bool
    carried: frozenset[str] = frozenset()
    detoured: frozenset[str] = frozenset()


class Routes:
    """The routes of one node. `me` is its name, `leaf` whether it only dials.

    `heard`: the origins each link speaks for, its far end's own among them. `version` counts the changes. Between peers
    only leaves and those who ask to be carried for are looked at (`_askers`): what is to be said to one peer must
    not cost as much as there are peers.
    """

    def __init__(self, me: str, leaf: bool, interest: Interest[LinkKey]) -> None:
        self.me = me
        self.leaf = leaf
        self._interest = interest
        self.neighbours: dict[LinkKey, Neighbour] = {}
        self.heard = Voices()
        self.version = 0
        self._named: dict[str, LinkKey] = {}
        self._leaves: dict[LinkKey, None] = {}
        self._askers: dict[LinkKey, None] = {}
        self._wanted_at, self._wanted = -1, PatternSet(())
        self._onward: dict[tuple[str, str, LinkKey | None], tuple[LinkKey, ...]] = {}

    def changed(self) -> None:
        """Somebody's interest has changed: what was worked out from it is forgotten."""
        self._onward.clear()
        self.version += 1

    def up(self, link: LinkKey, name: str, leaf: bool) -> None:
        """A link came up."""
        self._put(link, Neighbour(name, leaf))
        self.changed()

    def _put(self, link: LinkKey, neighbour: Neighbour) -> None:
        self.neighbours[link] = neighbour
        self._named[neighbour.name] = link
        self._askers.pop(link, None)
        self._leaves.pop(link, None)
        if neighbour.leaf:
            self._leaves[link] = None
        elif neighbour.carried:
            self._askers[link] = None

    def _take(self, link: LinkKey) -> Neighbour | None:
        neighbour = self.neighbours.pop(link, None)
        if neighbour is not None and self._named.get(neighbour.name) == link:
            del self._named[neighbour.name]
        self._askers.pop(link, None)
        self._leaves.pop(link, None)
        return neighbour

    def down(self, link: LinkKey) -> None:
        """A link is gone."""
        self.heard.forget(link)
        if self._take(link) is not None:
            self.changed()

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        neighbour = self._take(old)
        if neighbour is not None:
            self._put(new, neighbour)
        self.heard.moved(old, new)
        self.changed()

    def carry(self, link: LinkKey, members: Collection[str], detoured: Collection[str] = ()) -> None:
        """The far end asks for what comes from these members, and from nobody else that it asked for before.

        What it wants for those that are `detoured` is for this node alone.
        """
        before = self.neighbours[link]
        now = before._replace(carried=frozenset(members), detoured=frozenset(detoured))
        if before != now:
            self._put(link, now)
            self.changed()

    def hear(self, link: LinkKey, origins: Collection[str], detoured: Collection[str] = ()) -> None:
        """The far end speaks for these origins, and for those that are `detoured` to this node alone."""
        before = self.heard.detoured(link)
        self.heard.put(link, origins, detoured)
        if before != self.heard.detoured(link):
            self.changed()

    def wanted(self) -> set[str]:
        """Every pattern that this node wants, for itself or on behalf of a leaf or of whom it carries for."""
        found = set(self._interest.patterns)
        for link in () if self.leaf else (*self._leaves, *self._askers):
            found.update(*(patterns for _, patterns in self._straight(link)))
        return found

    def _straight(self, link: LinkKey) -> list[tuple[str, tuple[str, ...]]]:
        """What a link announced and may be told to others: by the member that wants it."""
        detoured = self.neighbours[link].detoured
        return [(name, texts) for name, texts in self._interest.of(link).items() if name not in detoured]

    def wants(self, topic: str) -> bool:
        """Whether the topic is wanted by this node, or on behalf of others."""
        if self._wanted_at != self.version:
            self._wanted_at, self._wanted = self.version, PatternSet(self.wanted())
        return self._wanted.matches(topic)

    def spoken_for(self, link: LinkKey) -> bool:
        """Whether this node speaks for the far end towards peers: a leaf, or a peer that asks to be carried for."""
        return link in self._leaves or link in self._askers

    def leaves(self) -> list[LinkKey]:
        """The links to leaves."""
        return list(self._leaves)

    def link_to(self, name: str) -> LinkKey | None:
        """The link to a member, if one is up."""
        return self._named.get(name)

    def onward(self, topic: str, origin: str, source: LinkKey | None) -> tuple[LinkKey, ...]:
        """The links an event goes out on. `source` is the link it came in by, None where it entered here."""
        key = (topic, origin, source)
        found = self._onward.get(key)
        if found is None:
            wanting = self._interest.links_wanting(topic, origin.rpartition(".")[0])
            found = tuple(link for link in wanting if link != source and self._passes(topic, origin, source, link))
            if len(self._onward) < _CACHED_MAX:
                self._onward[key] = found
        return found

    def _passes(self, topic: str, origin: str, source: LinkKey | None, link: LinkKey) -> bool:
        """Whether what came in by one link may go out by another, where it is wanted."""
        target, name = self.neighbours.get(link), origin.rpartition(".")[0]
        if target is None or target.name == name:
            return False
        if source is None:
            return True
        came_from = self.neighbours.get(source)
        if came_from is None or self.leaf:
            return False
        if came_from.leaf or target.leaf:
            return True
        carries = came_from.name in target.carried and origin not in self.heard.detoured(source)
        return carries and self._interest.takes(link, topic, {name, *target.detoured})

    def told_of(self, topic: str, origin: str) -> tuple[LinkKey, ...]:
        """The links that are told how far a stream reaches: where its events go out, by whichever way they come."""
        if origin.rpartition(".")[0] == self.me:
            return self.onward(topic, origin, None)
        return tuple({link: None for way in self.heard.ways(origin) for link in self.onward(topic, origin, way)})

    def lists_for(self, link: LinkKey) -> Lists:
        """What a link is to be told: patterns by the name of the member that wants them."""
        to = self.neighbours[link]
        if to.leaf:
            everybody = {*self._interest.patterns, *self._beyond(link, to.name)}
            return {self.me: tuple(sorted(everybody))} if everybody else {}
        lists: Lists = {self.me: self._interest.patterns}
        for other in self.wanting_from(link):
            for name, patterns in self._straight(other):
                if name != to.name:
                    lists[name] = tuple(sorted({*lists.get(name, ()), *patterns}))
        return {name: patterns for name, patterns in lists.items() if patterns}

    def detoured_for(self, link: LinkKey) -> tuple[str, ...]:
        """The members in a link's lists that are in them because they asked to be carried."""
        to = self.neighbours[link]
        askers = [] if self.leaf or to.leaf else self._asking_for(link)
        if not askers:
            return ()
        behind = {name for leaf in self._leaves for name in self._interest.of(leaf)}
        return tuple(sorted({name for other in askers for name, _ in self._straight(other)} - behind - {to.name}))

    def _beyond(self, link: LinkKey, name: str) -> set[str]:
        return set() if self.leaf else self._interest.wanted_beyond(link, name)

    def wanting_from(self, link: LinkKey) -> list[LinkKey]:
        """The links to which is passed on what comes by this one, if they want it."""
        if self.leaf or self.neighbours[link].leaf:
            return self._others(link)
        return [*self._leaves, *self._asking_for(link)]

    def _asking_for(self, link: LinkKey) -> list[LinkKey]:
        """The links to peers that ask to be brought what comes by this one."""
        name = self.neighbours[link].name
        return [other for other in self._askers if other != link and name in self.neighbours[other].carried]

    def bringing_to(self, link: LinkKey) -> list[LinkKey]:
        """The links from which is passed on to this one what it wants."""
        to = self.neighbours[link]
        if self.leaf or to.leaf:
            return self._others(link)
        return [other for other in dict.fromkeys((*self._leaves, *self._carried(link))) if other != link]

    def _carried(self, link: LinkKey) -> list[LinkKey]:
        """The links to those whose events are passed on to this one because it asked for them."""
        return [self._named[name] for name in sorted(self.neighbours[link].carried) if name in self._named]

    def _others(self, link: LinkKey) -> list[LinkKey]:
        """A leaf and everybody else are passed on to each other; a leaf itself passes nothing on."""
        return [] if self.leaf else [other for other in self.neighbours if other != link]

    def speaks(self, link: LinkKey, without: Collection[LinkKey] = ()) -> set[str]:
        """The origins a link can be told about, beside this node's own: those whose events would be passed on to it.

        `without`: links that cannot be spoken for yet.
        """
        name = self.neighbours[link].name
        if self.neighbours[link].leaf and not self.leaf:
            return self.heard.beyond({link, *without}, name)
        return self.heard.alone((other for other in self.bringing_to(link) if other not in without), name)

    def detours(self, link: LinkKey, origins: Collection[str]) -> set[str]:
        """Those of the origins it is told about that come by somebody who is carried for it, and by no leaf."""
        carried = self.heard.alone(self._carried(link), "").intersection(origins)
        return carried - self.heard.alone(self._leaves, "") if carried else carried

    def way(self, link: LinkKey, origin: str) -> LinkKey | None:
        """By which link comes what is passed on to another of an origin: the origin's own, if there is one."""
        name = origin.rpartition(".")[0]
        if name == self.neighbours[link].name:
            return None
        ways = [other for other in self.bringing_to(link) if origin in self.heard.of(other)]
        if not self.neighbours[link].leaf:
            ways = [other for other in ways if origin not in self.heard.detoured(other)]
        return min(ways, key=lambda other: self.neighbours[other].name != name, default=None)
