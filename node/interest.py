"""Interest: who wants which topics, here and at the far end of every link.

    local consumers ──▶ patterns, counted ──▶ version 7: [A, gpu.*] ──▶ announced on every link when it changes
    link "b" announced  [A]       ┐
    link "c" announced  [gpu.*]   ├──▶ links_wanting("A") = (b,)      remembered per topic until anything changes
    link "d" announced  []        ┘

A list replaces the one before it, so interest shrinks as surely as it grows. A peer answers an announcement with its
version; a subscription counts as in force once all linked peers have answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

from mesh.topic import PatternSet

Key = TypeVar("Key", bound=Hashable)
_TOPICS_CACHED_MAX = 10_000


class Interest(Generic[Key]):
    """The patterns wanted here, and those announced by each link (`Key` names a link)."""

    def __init__(self) -> None:
        self.version = 0
        self._counts: Counter[str] = Counter()
        self._local = PatternSet(())
        self._links: dict[Key, PatternSet] = {}
        self._wanting: dict[str, tuple[Key, ...]] = {}

    @property
    def patterns(self) -> tuple[str, ...]:
        """What to announce: every pattern wanted here, sorted."""
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

    def announced(self, link: Key, patterns: tuple[str, ...]) -> None:
        """A link's list, in place of its former one."""
        self._links[link] = PatternSet(patterns)
        self._wanting.clear()

    def forget(self, link: Key) -> None:
        """The link is gone, and with it what it wanted."""
        if self._links.pop(link, None) is not None:
            self._wanting.clear()

    def of(self, link: Key) -> tuple[str, ...]:
        """What a link last announced."""
        known = self._links.get(link)
        return known.texts if known else ()

    def links_wanting(self, topic: str) -> tuple[Key, ...]:
        """The links whose interest takes the topic in."""
        found = self._wanting.get(topic)
        if found is None:
            found = tuple(link for link, patterns in self._links.items() if patterns.matches(topic))
            if len(self._wanting) < _TOPICS_CACHED_MAX:
                self._wanting[topic] = found
        return found

    def _changed(self) -> None:
        self.version += 1
        self._local = PatternSet(self._counts)
