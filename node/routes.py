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

What may be told of an origin's streams follows the same paths: a node `speaks` on a link for the origins whose events
it would send there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from mesh.topic import PatternSet
from node.interest import Interest, Lists
from node.turn import LinkKey, rekey

_CACHED_MAX = 20_000


class Neighbour(NamedTuple):
    """The far end of a link that is up. `carried`: names of members it has asked to be carried for."""

    name: str
    leaf: bool
    carried: frozenset[str] = frozenset()


class Routes:
    """The routes of one node. `me` is its name, `leaf` whether it only dials.

    `heard`: the origins each link speaks for, its far end's own among them. `version` counts the changes.
    """

    def __init__(self, me: str, leaf: bool, interest: Interest[LinkKey]) -> None:
        self.me = me
        self.leaf = leaf
        self._interest = interest
        self.neighbours: dict[LinkKey, Neighbour] = {}
        self.heard: dict[LinkKey, frozenset[str]] = {}
        self.version = 0
        self._wanted_at, self._wanted = -1, PatternSet(())
        self._onward: dict[tuple[str, str, LinkKey | None], tuple[LinkKey, ...]] = {}

    def changed(self) -> None:
        """Somebody's interest has changed: what was worked out from it is forgotten."""
        self._onward.clear()
        self.version += 1

    def up(self, link: LinkKey, name: str, leaf: bool) -> None:
        """A link came up."""
        self.neighbours[link] = Neighbour(name, leaf)
        self.changed()

    def down(self, link: LinkKey) -> None:
        """A link is gone."""
        self.heard.pop(link, None)
        if self.neighbours.pop(link, None) is not None:
            self.changed()

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self.neighbours, old, new)
        rekey(self.heard, old, new)
        self.changed()

    def carry(self, link: LinkKey, members: Collection[str]) -> None:
        """The far end asks for what comes from these members, and from nobody else that it asked for before."""
        self.neighbours[link] = self.neighbours[link]._replace(carried=frozenset(members))
        self.changed()

    def wanted(self) -> set[str]:
        """Every pattern that this node wants, for itself or on behalf of a leaf or of whom it carries for."""
        found = set(self._interest.patterns)
        for link, each in self.neighbours.items():
            if not self.leaf and (each.leaf or each.carried):
                found.update(self._interest.patterns_of(link).texts)
        return found

    def wants(self, topic: str) -> bool:
        """Whether the topic is wanted by this node, or on behalf of others."""
        if self._wanted_at != self.version:
            self._wanted_at, self._wanted = self.version, PatternSet(self.wanted())
        return self._wanted.matches(topic)

    def link_to(self, name: str) -> LinkKey | None:
        """The link to a member, if one is up."""
        return next((link for link, each in self.neighbours.items() if each.name == name), None)

    def onward(self, topic: str, origin: str, source: LinkKey | None) -> tuple[LinkKey, ...]:
        """The links an event goes out on. `source` is the link it came in by, None where it entered here."""
        key = (topic, origin, source)
        found = self._onward.get(key)
        if found is None:
            name = origin.rpartition(".")[0]
            wanting = self._interest.links_wanting(topic, name)
            found = tuple(link for link in wanting if link != source and self._passes(source, link, name))
            if len(self._onward) < _CACHED_MAX:
                self._onward[key] = found
        return found

    def _passes(self, source: LinkKey | None, link: LinkKey, origin_name: str) -> bool:
        """Whether what came in by one link may go out by another."""
        target = self.neighbours.get(link)
        if target is None or target.name == origin_name:
            return False
        if source is None:
            return True
        came_from = self.neighbours.get(source)
        if came_from is None or self.leaf:
            return False
        return came_from.leaf or target.leaf or came_from.name in target.carried

    def told_of(self, topic: str, origin: str) -> tuple[LinkKey, ...]:
        """The links that are told how far a stream reaches: where its events go out, by whichever way they come."""
        if origin.rpartition(".")[0] == self.me:
            return self.onward(topic, origin, None)
        ways = (link for link, origins in self.heard.items() if origin in origins)
        return tuple({link: None for way in ways for link in self.onward(topic, origin, way)})

    def lists_for(self, link: LinkKey) -> Lists:
        """What a link is to be told: patterns by the name of the member that wants them."""
        to = self.neighbours[link]
        lists: Lists = {self.me: self._interest.patterns}
        for other, each in self.neighbours.items():
            if other != link and not self.leaf and (each.leaf or to.leaf or to.name in each.carried):
                for name, patterns in self._interest.of(other).items():
                    if name != to.name:
                        lists[name] = tuple(sorted({*lists.get(name, ()), *patterns}))
        if to.leaf:
            lists = {self.me: tuple(sorted({pattern for patterns in lists.values() for pattern in patterns}))}
        return {name: patterns for name, patterns in lists.items() if patterns}

    def speaks(self, link: LinkKey, without: Collection[LinkKey] = ()) -> set[str]:
        """The origins a link can be told about, beside this node's own: those whose events would be passed on to it.

        `without`: links that cannot be spoken for yet.
        """
        to = self.neighbours[link]
        return {
            origin
            for other in self.neighbours
            if other != link and other not in without and self._passes_on(other, to)
            for origin in self.heard.get(other, ())
            if origin.rpartition(".")[0] != to.name
        }

    def way(self, link: LinkKey, origin: str) -> LinkKey | None:
        """By which link comes what is passed on to another of an origin: the origin's own, if there is one."""
        to = self.neighbours[link]
        name = origin.rpartition(".")[0]
        ways = [other for other, origins in self.heard.items() if other != link and origin in origins]
        ways = (
            [other for other in ways if other in self.neighbours and self._passes_on(other, to)]
            if name != to.name
            else []
        )
        return min(ways, key=lambda other: self.neighbours[other].name != name, default=None)

    def _passes_on(self, source: LinkKey, to: Neighbour) -> bool:
        """Whether what comes in by a link is passed on to a neighbour."""
        each = self.neighbours[source]
        return not self.leaf and (each.leaf or to.leaf or each.name in to.carried)
