"""Interest: who wants which topics, here and at the far end of every link.

    local consumers ──▶ patterns, counted ──▶ version 7: [A, gpu.*]
    link "b" announced  {b: [A], leaf-1: [gpu.*]}   ┐
    link "c" announced  {c: [gpu.*]}                ├──▶ links_wanting("gpu.1", "leaf-1") = (c,)
    link "d" announced  {}                          ┘     remembered per topic and origin until anything changes

A link's lists are kept by the name of the member that wants: a peer also speaks for its leaves, and what a leaf itself
wants is no reason to send its own events back towards it. A list replaces the one before it, so interest shrinks as
surely as it grows. What a link is to be told is decided in `node.routes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

from mesh.topic import PatternSet

Key = TypeVar("Key", bound=Hashable)
Lists = dict[str, tuple[str, ...]]
"""Patterns by the name of the member that wants them."""

_CACHED_MAX = 10_000
_NOTHING = PatternSet(())


class Interest(Generic[Key]):
    """The patterns wanted here, and those announced by each link (`Key` names a link)."""

    def __init__(self) -> None:
        self.version = 0
        self._counts: Counter[str] = Counter()
        self._local = PatternSet(())
        self._links: dict[Key, dict[str, PatternSet]] = {}
        self._whole: dict[Key, PatternSet] = {}
        self._wanted: Counter[str] = Counter()
        self._members: dict[str, dict[Key, PatternSet]] = {}
        self._wanting: dict[tuple[str, str], tuple[Key, ...]] = {}

    @property
    def patterns(self) -> tuple[str, ...]:
        """Every pattern wanted here, sorted."""
        return self._local.texts

    def want(self, pattern: str) -> None:
        """One more consumer here wants the pattern."""
        self._counts[pattern] += 1
        if self._counts[pattern] == 1:
            self._changed()

    def unwant(self, pattern: str) -> None:
        """One consumer less wants the pattern."""
        self._counts[pattern] -= 1
        if self._counts[pattern] <= 0:
            del self._counts[pattern]
            self._changed()

    def wanted_here(self, topic: str) -> bool:
        """Whether any consumer here wants the topic."""
        return self._local.matches(topic)

    def announced(self, link: Key, lists: Mapping[str, tuple[str, ...]], whole: bool = True) -> None:
        """A link's lists: all of them, or those that have changed. An empty list ends a member's interest."""
        before = {} if whole else self._links.get(link, {})
        now = {**before, **{name: PatternSet(patterns) for name, patterns in lists.items()}}
        self._put(link, {name: patterns for name, patterns in now.items() if patterns})

    def forget(self, link: Key) -> None:
        """The link is gone, and with it what it wanted."""
        if link in self._links:
            self._put(link, {})
            del self._links[link]

    def moved(self, old: Key, new: Key) -> None:
        """What a link wanted, its next connection wants."""
        if old in self._links:
            lists = self._links[old]
            self.forget(old)
            self._put(new, lists)

    def _put(self, link: Key, lists: dict[str, PatternSet]) -> None:
        """These are a link's lists from now on."""
        for name, patterns in self._links.get(link, {}).items():
            self._count(patterns, -1)
            del self._members[name][link]
            if not self._members[name]:
                del self._members[name]
        for name, patterns in lists.items():
            self._count(patterns, 1)
            self._members.setdefault(name, {})[link] = patterns
        self._links[link] = lists
        self._whole.pop(link, None)
        self._wanting.clear()

    def _count(self, patterns: PatternSet, more: int) -> None:
        for text in patterns.texts:
            self._wanted[text] += more
            if not self._wanted[text]:
                del self._wanted[text]

    def of(self, link: Key) -> Lists:
        """What a link last announced."""
        return {name: patterns.texts for name, patterns in self._links.get(link, {}).items()}

    def takes(self, link: Key, topic: str, without: Collection[str]) -> bool:
        """Whether a topic is wanted by anybody a link speaks for, but for these members."""
        lists = self._links.get(link, {})
        return any(patterns.matches(topic) for name, patterns in lists.items() if name not in without)

    def patterns_of(self, link: Key) -> PatternSet:
        """What a link last announced, whoever wants it."""
        lists = self._links.get(link)
        if not lists:
            return _NOTHING
        if link not in self._whole:
            self._whole[link] = PatternSet(text for patterns in lists.values() for text in patterns.texts)
        return self._whole[link]

    def wanted_beyond(self, link: Key, name: str) -> set[str]:
        """The patterns that other links than this one announced for other members than `name`.

        Asked for every leaf at every change: it costs as much as there are patterns, and not as there are links.
        """
        apart: dict[str, int] = {}
        mine, elsewhere = self._links.get(link, {}), self._members.get(name, {})
        for patterns in (*mine.values(), *(each for other, each in elsewhere.items() if other != link)):
            for text in patterns.texts:
                apart[text] = apart.get(text, 0) + 1
        return self._wanted.keys() - {text for text, count in apart.items() if count == self._wanted[text]}

    def links_wanting(self, topic: str, origin_name: str = "") -> tuple[Key, ...]:
        """The links with a member, other than `origin_name`, whose interest takes the topic in."""
        found = self._wanting.get((topic, origin_name))
        if found is None:
            found = tuple(
                link
                for link, lists in self._links.items()
                if any(name != origin_name and patterns.matches(topic) for name, patterns in lists.items())
            )
            if len(self._wanting) < _CACHED_MAX:
                self._wanting[topic, origin_name] = found
        return found

    def _changed(self) -> None:
        self.version += 1
        self._local = PatternSet(self._counts)
