"""Comparing: every 10 s two linked nodes compare how far they are in all streams both should have.

    A ──digest──▶ B   the buckets that differ ─▶ A ◀──heads── B      and the same the other way round
                                                └─▶ what is behind here is asked for (`node.repair`)

Both should have a stream when both want its topic, or when one wants it and the other brings its origin's events
(`Speaking.speaks`, or its own). A leaf has nobody but its peers to hear of an origin that is gone, so that each of them
brings it all it has. Each can tell this from what they have told each other, so both compare the same streams; while an
announcement is under way they may not, and the next comparison is right again.

Nothing is computed while nothing moves: a link's numbers are kept until a head or an interest changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.topic import PatternSet
from node.clock import Now
from node.digests import bucket_of, differing, digest
from node.relay import Relay
from node.routes import Routes
from node.speaking import Speaking
from node.state import State
from node.streams import Stream
from node.turn import LinkKey, Turn, rekey

EVERY_S = 10.0


@dataclass(slots=True)
class _Pair:
    """One link. `numbers` were computed at the state `at` of streams and interest.

    The streams count their movements from 0 again when they have been read back from the disk.
    """

    next_us: int
    at: tuple[Relay, int, int] | None = None
    numbers: list[int] = field(default_factory=list)


class Comparing:
    """The comparisons of one node with its neighbours."""

    def __init__(self, state: State, routes: Routes, speaking: Speaking) -> None:
        self._state = state
        self._routes = routes
        self._speaking = speaking
        self._pairs: dict[LinkKey, _Pair] = {}
        self._next_us = 0

    def up(self, link: LinkKey, now: Now) -> None:
        """A link came up: compare for the first time when what was under way has arrived."""
        self._pairs[link] = _Pair(now.later(EVERY_S))

    def forget(self, link: LinkKey) -> None:
        """The link is gone."""
        self._pairs.pop(link, None)

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._pairs, old, new)

    def tick(self, turn: Turn) -> None:
        """Send the digests that are due."""
        if turn.now.mono_us < self._next_us:
            return
        for link, pair in self._pairs.items():
            if turn.now.mono_us >= pair.next_us:
                pair.next_us = turn.now.later(EVERY_S)
                turn.control_after(link, {"t": "digest", "buckets": self._numbers(link)})
        self._next_us = min((pair.next_us for pair in self._pairs.values()), default=turn.now.later(EVERY_S))

    def compare(self, link: LinkKey, theirs: list[int], turn: Turn) -> None:
        """A neighbour's digest came: tell it the heads here where it differs. Raises `ValueError` for a wrong shape."""
        buckets = differing(self._numbers(link), theirs)
        if buckets:
            rows = [
                (stream.origin, stream.topic, stream.head)
                for stream in self._common(link)
                if stream.head and bucket_of(stream.origin, stream.topic) in buckets
            ]
            turn.heads_after(link, "heads", rows)

    def _numbers(self, link: LinkKey) -> list[int]:
        relay, pair = self._state.relay, self._pairs[link]
        now = relay, relay.moves, self._routes.version
        if pair.at != now:
            pair.at = now
            pair.numbers = digest((stream.origin, stream.topic, stream.head) for stream in self._common(link))
        return pair.numbers

    def _common(self, link: LinkKey) -> list[Stream]:
        mine = PatternSet(text for patterns in self._speaking.lists_for(link).values() for text in patterns)
        theirs = self._state.interest.patterns_of(link)
        brought, bringing = self._brought(link), self._bringing(link)
        return [
            stream
            for stream in self._state.relay.streams.values()
            if (mine.matches(stream.topic) and (theirs.matches(stream.topic) or bringing(stream.origin)))
            or (theirs.matches(stream.topic) and brought(stream.origin))
        ]

    def _brought(self, link: LinkKey) -> Callable[[str], bool]:
        """Whether this node brings an origin's events to the far end."""
        to = self._routes.neighbours[link]
        if to.leaf and not self._routes.leaf:
            return lambda origin: origin.rpartition(".")[0] != to.name
        return {self._state.origin, *self._speaking.speaks(link)}.__contains__

    def _bringing(self, link: LinkKey) -> Callable[[str], bool]:
        """Whether the far end brings an origin's events here."""
        if self._routes.leaf and not self._routes.neighbours[link].leaf:
            return lambda origin: origin.rpartition(".")[0] != self._routes.me
        return self._routes.heard.of(link).__contains__
