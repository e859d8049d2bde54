"""Routes: which links an event goes out on. Rules only.

    entered here ────────────▶ every link that wants it
    came from a leaf ────────▶ every other link that wants it
    came from a peer ────────▶ our leaves that want it, and links we carry that peer for
                               never back, never to the member it began at

Peers are linked with each other as far as they can reach each other, so one hop between peers is enough, and nothing
can go in a circle. Where two peers cannot reach each other, one of them asks a neighbour that reaches both to carry:
the neighbour then tells the far member what the asker wants, and passes on what comes from there (`node.carrying`).

    A ══ B ══ C ══ D      A ─/─ C, so A asks B:  what B tells C of A is a detour, and C does not tell it to D
                          B ─/─ D, so B asks C:  what C brings B of D is a detour, and B does not bring it to A

A detour leads over one peer, never over two: A has a link with D, or asks somebody else. What takes one is marked as
such, and goes on to nobody but leaves. What is wanted and what is there is told along the same paths (`node.speaking`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from node.interest import Interest
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

    def spoken_for(self, link: LinkKey) -> bool:
        """Whether this node speaks for the far end towards peers: a leaf, or a peer that asks to be carried for."""
        return link in self._leaves or link in self._askers

    def leaves(self) -> list[LinkKey]:
        """The links to leaves."""
        return list(self._leaves)

    def askers(self) -> list[LinkKey]:
        """The links to peers that ask to be carried for."""
        return list(self._askers)

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

    def wanting_from(self, link: LinkKey) -> list[LinkKey]:
        """The links to which is passed on what comes by this one, if they want it."""
        if self.leaf or self.neighbours[link].leaf:
            return self._others(link)
        return [*self._leaves, *self.asking_for(link)]

    def asking_for(self, link: LinkKey) -> list[LinkKey]:
        """The links to peers that ask to be brought what comes by this one."""
        name = self.neighbours[link].name
        return [other for other in self._askers if other != link and name in self.neighbours[other].carried]

    def bringing_to(self, link: LinkKey) -> list[LinkKey]:
        """The links from which is passed on to this one what it wants."""
        to = self.neighbours[link]
        if self.leaf or to.leaf:
            return self._others(link)
        return [other for other in dict.fromkeys((*self._leaves, *self.carried(link))) if other != link]

    def carried(self, link: LinkKey) -> list[LinkKey]:
        """The links to those whose events are passed on to this one because it asked for them."""
        return [self._named[name] for name in sorted(self.neighbours[link].carried) if name in self._named]

    def _others(self, link: LinkKey) -> list[LinkKey]:
        """A leaf and everybody else are passed on to each other; a leaf itself passes nothing on."""
        return [] if self.leaf else [other for other in self.neighbours if other != link]
