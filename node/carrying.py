"""Carrying: two peers that cannot reach each other let a common neighbour pass their events on. Rules only.

    A ═══ B ═══ C        A ─/─ C       B says whom it reaches: A, C
                             C misses A ─▶ asks B to carry ─▶ A learns through B what C wants ─▶ A ══▶ B ══▶ C
                             A ═══ C is back ─▶ C no longer asks

Every peer says whom it is linked with (`reach`), and every change of it. That is its own observation, so a member that
a neighbour reaches and this node does not, for longer than linking takes, lives and is cut off from here. One neighbour
is asked, the same as long as it reaches the member; by a hash, so that many who miss one member do not all ask one.

Asked for is what the member and its leaves publish, and not what others carry to it: whoever misses those, too, asks
for them by themselves (`node.routes`).

Said is who is reached, and not who is missed: for the latter one would have to know who lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from zlib import crc32

from node.clock import Now
from node.routes import Neighbour
from node.turn import LinkKey, rekey

MISSED_S = 3.0
"""How long a member must be missed before a neighbour is asked to carry: linking takes about a second."""


class Carrying:
    """Whom this node misses, and whom it asks to carry them. `me` is its name."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._reaches: dict[LinkKey, set[str]] = {}
        self._reached: Counter[str] = Counter()
        self._versions: dict[LinkKey, int] = {}
        self._missed_since_us: dict[str, int] = {}

    def reach(self, link: LinkKey, version: int, names: Iterable[str], whole: bool, lost: Iterable[str] = ()) -> None:
        """A neighbour says whom it is linked with: all of them, or what has changed.

        Its versions only grow: what comes late, over a connection that is gone, is passed over.
        """
        if version < self._versions.get(link, 0) + (not whole):
            return
        known = set() if whole else self._reaches.get(link, set())
        self._put(link, (known | set(names)) - set(lost))
        self._versions[link] = version

    def _put(self, link: LinkKey, names: set[str]) -> None:
        """Whom a neighbour reaches now. It is counted, as it is asked twice a second what all together reach."""
        before = self._reaches.get(link, set())
        for name in names - before:
            self._reached[name] += 1
        for name in before - names:
            self._reached[name] -= 1
            if not self._reached[name]:
                del self._reached[name]
        self._reaches[link] = names

    def forget(self, link: LinkKey) -> None:
        """The link is gone."""
        self._put(link, set())
        del self._reaches[link]
        self._versions.pop(link, None)

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._reaches, old, new)
        rekey(self._versions, old, new)

    def choose(
        self, neighbours: Mapping[LinkKey, Neighbour], asked: Mapping[LinkKey, Collection[str]], now: Now
    ) -> dict[LinkKey, tuple[str, ...]]:
        """Who is to carry whom. `asked` is what stands now."""
        linked = {each.name for each in neighbours.values()} | {self._me}
        missed = self._reached.keys() - linked
        since = self._missed_since_us
        self._missed_since_us = {name: since.get(name, now.mono_us) for name in missed}
        chosen: dict[LinkKey, list[str]] = {}
        for name in sorted(missed):
            if now.mono_us - self._missed_since_us[name] >= MISSED_S * 1e6:
                chosen.setdefault(self._carrier(name, neighbours, asked), []).append(name)
        return {link: tuple(names) for link, names in chosen.items()}

    def reaches(self, name: str) -> bool:
        """Whether any neighbour is linked with a member."""
        return name in self._reached

    def _carrier(
        self, name: str, neighbours: Mapping[LinkKey, Neighbour], asked: Mapping[LinkKey, Collection[str]]
    ) -> LinkKey:
        for link, names in asked.items():
            if name in names and link in neighbours and name in self._reaches.get(link, ()):
                return link
        able = [link for link in neighbours if name in self._reaches.get(link, ())]
        return min(able, key=lambda link: (crc32(f"{self._me}\0{name}\0{neighbours[link].name}".encode()), str(link)))
