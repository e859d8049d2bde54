"""Fetching: what a neighbour asks for and this node never had is asked for where it comes from, and passed through.

    leaf ──want 2..3──▶ peer ──want 2..3, id < 0──▶ who brings the stream here: its origin, or whoever speaks for it
         ◀── 2, 3 ─────      ◀────────────── 2, 3 ──

A leaf, or who is carried for, hears an origin only through this node. While nobody wanted the origin's topic the stream
went on without this node, whose part of it then begins later than what a consumer over there is owed. What is before
that part is of no use here and goes into no log; the asker is told that it is absent here, and takes what comes.

A want on behalf of another has a negative id: at the far end it stands beside this node's own and those of its other
askers and replaces none of them, and what is said at its end is passed over. Who still lacks something afterwards asks
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.frame import Frame
from node.serving import RANGES_MAX
from node.speaking import Speaking
from node.state import State
from node.turn import LinkKey, Turn, integer, rekey

KEEP_S = 3.0
"""How long what comes is passed on; the asker has gone elsewhere by then, or asks again."""

Span = tuple[str, str, int, int]
"""origin, topic, first, last"""


@dataclass(slots=True)
class _Errand:
    """What is on its way for one neighbour, by the link it comes from."""

    spans: dict[LinkKey, list[Span]]
    until_us: int


class Fetching:
    """What this node fetches for its neighbours."""

    def __init__(self, state: State, speaking: Speaking) -> None:
        self._state = state
        self._speaking = speaking
        self._errands: dict[LinkKey, _Errand] = {}
        self._ids = 0

    def want(self, asker: LinkKey, ranges: Sequence[Sequence[object]], turn: Turn) -> None:
        """A neighbour asks for ranges. Raises `ValueError` for anything else."""
        spans: dict[LinkKey, list[Span]] = {}
        for origin, topic, first, last in ranges[:RANGES_MAX]:
            span = self._before(str(origin), str(topic), integer(str(first)), integer(str(last)))
            way = self._speaking.way(asker, span[0])
            if way is not None and span[2] <= span[3]:
                spans.setdefault(way, []).append(span)
        for way, found in spans.items():
            errand = self._errands.setdefault(asker, _Errand({}, 0))
            errand.until_us = turn.now.later(KEEP_S)
            errand.spans[way] = (errand.spans.get(way, []) + found)[-RANGES_MAX:]
            self._ids -= 1
            turn.control(way, {"t": "want", "id": self._ids, "ranges": found})

    def _before(self, origin: str, topic: str, first: int, last: int) -> Span:
        """What of a range is before this node's part of the stream."""
        stream = self._state.relay.streams.get((origin, topic))
        return origin, topic, first, last if stream is None else min(last, stream.base)

    def askers(self, source: LinkKey, frame: Frame) -> list[LinkKey]:
        """Whom a frame that came in by a link, given again, was fetched for."""
        return [
            asker
            for asker, errand in self._errands.items()
            if any(
                (origin, topic) == (frame.origin, frame.topic) and first <= frame.last and frame.sequence <= last
                for origin, topic, first, last in errand.spans.get(source, ())
            )
        ]

    def tick(self, turn: Turn) -> None:
        """Let go of what did not come."""
        for asker in [asker for asker, errand in self._errands.items() if turn.now.mono_us >= errand.until_us]:
            del self._errands[asker]

    def forget(self, link: LinkKey) -> None:
        """The link is gone."""
        self._errands.pop(link, None)
        for errand in self._errands.values():
            errand.spans.pop(link, None)

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._errands, old, new)
        for errand in self._errands.values():
            rekey(errand.spans, old, new)
