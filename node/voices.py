"""Voices: for which origins each link speaks, and which links speak for an origin. A table kept both ways, no I/O.

    link p ── answered: [p.1, leaf.4] ──▶ p.1 ◀─ p        leaf.4 ◀─ p, q        of "leaf": leaf.4
    link q ── answered: [q.7, leaf.4] ──▶ q.7 ◀─ q
              detoured: [r.2] ──────────▶ r.2 ◀─ q         from r by q to this node alone

What takes a detour to this node already, because it asked for it, goes on to its leaves and to nobody else.

Who brings a stream is asked for every beacon, and what a leaf can be told whenever anybody answers. From the links
alone either is a look at everything that was ever said; kept both ways it costs as much as the answer is long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from node.turn import LinkKey

_NONE = frozenset[str]()


class Voices:
    """What the far ends of the links speak for, as they said last; their own origins are among them."""

    def __init__(self) -> None:
        self._origins: dict[LinkKey, frozenset[str]] = {}
        self._detoured: dict[LinkKey, frozenset[str]] = {}
        self._links: dict[str, dict[LinkKey, None]] = {}
        self._names: dict[str, set[str]] = {}

    def put(self, link: LinkKey, origins: Iterable[str], detoured: Iterable[str] = ()) -> None:
        """The far end speaks for these, and for nobody else that it spoke for before; for some to this node alone."""
        before, now = self.of(link), frozenset(origins)
        self._origins[link], self._detoured[link] = now, now.intersection(detoured)
        for origin in now - before:
            self._links.setdefault(origin, {})[link] = None
            self._names.setdefault(_name(origin), set()).add(origin)
        for origin in before - now:
            self._silence(link, origin)

    def forget(self, link: LinkKey) -> None:
        """The link is gone."""
        self._detoured.pop(link, None)
        for origin in self._origins.pop(link, _NONE):
            self._silence(link, origin)

    def _silence(self, link: LinkKey, origin: str) -> None:
        """A link speaks for an origin no more."""
        links, names = self._links[origin], self._names[_name(origin)]
        del links[link]
        if not links:
            del self._links[origin]
            names.discard(origin)
        if not names:
            del self._names[_name(origin)]

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        if old in self._origins and old != new:
            self.put(new, self._origins[old], self._detoured[old])
            self.forget(old)

    def of(self, link: LinkKey) -> frozenset[str]:
        """The origins a link speaks for."""
        return self._origins.get(link, _NONE)

    def detoured(self, link: LinkKey) -> frozenset[str]:
        """Those of them that come to the far end from a third only because this node asked for them."""
        return self._detoured.get(link, _NONE)

    def ways(self, origin: str) -> list[LinkKey]:
        """The links that speak for an origin."""
        return sorted(self._links.get(origin, ()), key=str)

    def beyond(self, links: Collection[LinkKey], name: str) -> set[str]:
        """The origins that other links than these speak for, but for those of the member `name`."""
        silent = {origin for link in links for origin in self.of(link) if self._links[origin].keys() <= set(links)}
        return self._links.keys() - silent - self._names.get(name, set())

    def alone(self, links: Iterable[LinkKey], name: str) -> set[str]:
        """The origins that these links speak for to whoever hears them, but for those of the member `name`."""
        found = {origin for link in links for origin in self.of(link) - self.detoured(link)}
        return found - self._names.get(name, set())


def _name(origin: str) -> str:
    return origin.rpartition(".")[0]
