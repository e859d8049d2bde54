"""Speaking: in whose name this node talks on a link: whose wishes it tells there, and whose streams. Rules only.

    a peer is told    what is wanted here, by our leaves, and by those we carry this peer for, each by its name
    a leaf is told    the union of what is wanted here and everywhere else
    a leaf tells      what is wanted here

What may be told of an origin's streams follows the paths that its events take (`node.routes`): a node `speaks` on a
link for the origins whose events it would send there. What takes a detour is marked as such, wishes and origins alike,
and goes on to nobody but leaves.
"""

from __future__ import annotations

from collections.abc import Collection

from mesh.topic import PatternSet
from node.interest import Interest, Lists
from node.routes import Routes
from node.turn import LinkKey


class Speaking:
    """What one node may say on its links, as `routes` are and as the interest of all is."""

    def __init__(self, routes: Routes, interest: Interest[LinkKey]) -> None:
        self._routes = routes
        self._interest = interest
        self._wanted_at, self._wanted = -1, PatternSet(())

    # ── wishes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def wanted(self) -> set[str]:
        """Every pattern that this node wants, for itself or on behalf of a leaf or of whom it carries for."""
        routes, found = self._routes, set(self._interest.patterns)
        for link in () if routes.leaf else (*routes.leaves(), *routes.askers()):
            found.update(*(patterns for _, patterns in self._straight(link)))
        return found

    def wants(self, topic: str) -> bool:
        """Whether the topic is wanted by this node, or on behalf of others."""
        if self._wanted_at != self._routes.version:
            self._wanted_at, self._wanted = self._routes.version, PatternSet(self.wanted())
        return self._wanted.matches(topic)

    def _straight(self, link: LinkKey) -> list[tuple[str, tuple[str, ...]]]:
        """What a link announced and may be told to others: by the member that wants it."""
        detoured = self._routes.neighbours[link].detoured
        return [(name, texts) for name, texts in self._interest.of(link).items() if name not in detoured]

    def lists_for(self, link: LinkKey) -> Lists:
        """What a link is to be told: patterns by the name of the member that wants them."""
        routes, to = self._routes, self._routes.neighbours[link]
        if to.leaf:
            beyond = set() if routes.leaf else self._interest.wanted_beyond(link, to.name)
            everybody = {*self._interest.patterns, *beyond}
            return {routes.me: tuple(sorted(everybody))} if everybody else {}
        lists: Lists = {routes.me: self._interest.patterns}
        for other in routes.wanting_from(link):
            for name, patterns in self._straight(other):
                if name != to.name:
                    lists[name] = tuple(sorted({*lists.get(name, ()), *patterns}))
        return {name: patterns for name, patterns in lists.items() if patterns}

    def detoured_for(self, link: LinkKey) -> tuple[str, ...]:
        """The members in a link's lists that are in them because they asked to be carried."""
        routes, to = self._routes, self._routes.neighbours[link]
        askers = [] if routes.leaf or to.leaf else routes.asking_for(link)
        if not askers:
            return ()
        behind = {name for leaf in routes.leaves() for name in self._interest.of(leaf)}
        return tuple(sorted({name for other in askers for name, _ in self._straight(other)} - behind - {to.name}))

    # ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def speaks(self, link: LinkKey, without: Collection[LinkKey] = ()) -> set[str]:
        """The origins a link can be told about, beside this node's own: those whose events would be passed on to it.

        `without`: links that cannot be spoken for yet.
        """
        routes, to = self._routes, self._routes.neighbours[link]
        if to.leaf and not routes.leaf:
            return routes.heard.beyond({link, *without}, to.name)
        return routes.heard.alone((other for other in routes.bringing_to(link) if other not in without), to.name)

    def detours(self, link: LinkKey, origins: Collection[str]) -> set[str]:
        """Those of the origins it is told about that come by somebody who is carried for it, and by no leaf."""
        routes = self._routes
        carried = routes.heard.alone(routes.carried(link), "").intersection(origins)
        return carried - routes.heard.alone(routes.leaves(), "") if carried else carried

    def told_of(self, topic: str, origin: str) -> tuple[LinkKey, ...]:
        """The links that are told how far a stream reaches: where its events go out, by whichever way they come."""
        onward = self._routes.onward
        if origin.rpartition(".")[0] == self._routes.me:
            return onward(topic, origin, None)
        return tuple({link: None for way in self._routes.heard.ways(origin) for link in onward(topic, origin, way)})

    def way(self, link: LinkKey, origin: str) -> LinkKey | None:
        """By which link comes what is passed on to another of an origin: the origin's own, if there is one."""
        routes, name, to = self._routes, origin.rpartition(".")[0], self._routes.neighbours[link]
        if name == to.name:
            return None
        ways = [other for other in routes.bringing_to(link) if origin in routes.heard.of(other)]
        if not to.leaf:
            ways = [other for other in ways if origin not in routes.heard.detoured(other)]
        return min(ways, key=lambda other: routes.neighbours[other].name != name, default=None)
