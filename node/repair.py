"""Repair: which streams have gaps here, whom to ask for what is missing, and when to accept that it is lost. Rules.

    frame ahead of its turn ┐
    beacon, heads, answer   ┴─▶ stream behind ─▶ ask one neighbour ─▶ frames, then `served`
                                                     │ it had nothing of it: the next one
                                                     └ nobody has it, and the origin neither ─▶ skip, name what is lost

The stream rule is `mesh.streams`, the same as between a node and its programs: a gap shows at the next event of the
stream, or when somebody says how far it reaches. Somebody is a beacon (about once a second), the answer to an
announcement of interest, or, should all that be lost, the comparison of digests.

A range counts as lost when every neighbour has been asked for it, and its origin has let it go or is gone for good. An
origin knows of its own log alone: another may keep more (`replicate`, or a longer retention). As long as an origin may
come back, what only it can have is waited for: the stream stands still here, up to ten minutes, and nothing is called
lost too soon. A leaf asks for it by way of its peers (`node.fetching`), which do so for what they never had: what one
of them had and has no longer, a leaf has no way to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh.streams import Key, Range
from node.clock import Now
from node.intake import Intake
from node.link import Link
from node.routes import Routes
from node.serving import RANGES_MAX
from node.state import State
from node.streams import Stream
from node.turn import LinkKey, Turn, integer, rekey

ANSWER_S = 3.0
"""A want that is not answered for so long is asked of the next neighbour."""
AGAIN_S = 2.0
"""How long a neighbour that had nothing of a gap is not asked for it again."""
_AGAIN_US = int(AGAIN_S * 1e6)
_FAR = 1 << 63
PATIENCE_S = 60.0
"""How long a gap that its origin has not let go stays open at least before it is a loss: after a start, members and
links must be known first."""
SETTLED_S = 5.0
"""How long after the last link has come up it is believed that whoever may have an event is linked by now."""
HEARSAY_S = 2.0
"""How long the way of the event itself has, when another than who brings it here says first that there is one."""
STALLED_S = 600.0
"""How long a stream stands still for events that only its origin can have, while that is out of reach."""
LOOK_S = 0.25
"""How often open gaps are looked at when nothing happens."""


@dataclass(slots=True)
class _Want:
    """What a link was asked for: the missing ranges as they were then."""

    id: int
    asked: dict[Key, Range]
    until_us: int


@dataclass(slots=True)
class _Sources:
    """Who can close a gap. `heads`: link → how far it has the stream; `barren`: link → until when it is passed over.

    The gap is the one behind `head`, and open `since_us`; up to `asked_to` everybody was asked for it who was asked.
    """

    head: int = -1
    since_us: int = 0
    asked_to: int = _FAR
    not_before_us: int = 0
    heads: dict[LinkKey, int] = field(default_factory=dict)
    barren: dict[LinkKey, int] = field(default_factory=dict)
    gone: int = 0
    """Up to where the last neighbour asked said that it is gone."""
    let_go: int = 0
    """Up to where the origin itself said so."""

    def asked_us(self, link: LinkKey) -> int:
        """When a link was last seen to have nothing of this gap; 0 as long as it was not."""
        seen_us = self.barren.get(link, 0) - _AGAIN_US
        return seen_us if seen_us > self.since_us else 0


class Repair:
    """One node's gaps. `lost_for_good` says whether an origin will never speak again."""

    def __init__(
        self,
        state: State,
        routes: Routes,
        intake: Intake,
        lost_for_good: Callable[[str], bool],
        counts: Counter[str],
    ) -> None:
        self._state = state
        self._routes = routes
        self._intake = intake
        self._lost_for_good = lost_for_good
        self._counts = counts
        self._wants: dict[LinkKey, _Want] = {}
        self._sources: dict[Key, _Sources] = {}
        self._look_us = 0
        self._settled_us = 0
        self._ids = 0

    def up(self, now: Now) -> None:
        """A link came up: others may be about to."""
        self._settled_us = now.later(SETTLED_S)

    def learn(self, origin: str, topic: str, head: int, source: LinkKey, not_before_us: int = 0) -> None:
        """A neighbour has a stream up to `head`.

        Who brings the stream here says so behind its events, so that what has not come then is missing; after
        anybody else the events may still be on their way, and are not asked for `not_before_us`.
        """
        stream = self._state.relay.streams.get((origin, topic))
        if stream is None or head <= stream.head:
            return
        new = stream.gap is None
        self._state.relay.learn(stream, head)
        sources = self._source(stream)
        sources.heads[source] = max(head, sources.heads.get(source, 0))
        sources.not_before_us = not_before_us if new else min(not_before_us, sources.not_before_us)
        self._look_us = 0

    def arrived(self, origin: str, topic: str, last: int, source: LinkKey) -> None:
        """A frame came in; where it is ahead of a gap, its sender has what is missing."""
        stream = self._state.relay.streams.get((origin, topic))
        if stream is not None and stream.gap is not None:
            self.learn(origin, topic, last, source)

    def _source(self, stream: Stream) -> _Sources:
        return self._sources.setdefault((stream.origin, stream.topic), _Sources())

    def forget(self, link: LinkKey) -> None:
        """The link is gone."""
        self._wants.pop(link, None)
        for sources in self._sources.values():
            sources.heads.pop(link, None)
            sources.barren.pop(link, None)
        self._look_us = 0

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        rekey(self._wants, old, new)
        for sources in self._sources.values():
            rekey(sources.heads, old, new)
            rekey(sources.barren, old, new)

    @property
    def open(self) -> bool:
        """Whether any stream has a gap."""
        return bool(self._state.relay.gaps)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, turn: Turn) -> None:
        """Ask for what is missing, each stream of one neighbour at a time, each neighbour one question at a time."""
        now_us, gaps = turn.now.mono_us, self._state.relay.gaps
        if not gaps:
            self._sources.clear()
            return
        if now_us < self._look_us:
            return
        self._look_us = turn.now.later(LOOK_S)
        self._give_up_waiting(now_us)
        asked = {key for want in self._wants.values() for key in want.asked}
        questions: dict[LinkKey, list[tuple[Key, Range]]] = {}
        for stream in list(gaps.values()):
            key = (stream.origin, stream.topic)
            link = None if key in asked else self._choose(stream, now_us, turn)
            if link is not None and link not in self._wants and len(questions.get(link, ())) < RANGES_MAX:
                questions.setdefault(link, []).append((key, self._state.relay.missing(stream)[0]))
        for link, wanted in questions.items():
            self._ask(link, wanted, turn)

    def _give_up_waiting(self, now_us: int) -> None:
        for link, want in list(self._wants.items()):
            if now_us >= want.until_us:
                del self._wants[link]
                self._pass_over(link, want.asked, now_us)

    def _pass_over(self, link: LinkKey, keys: Mapping[Key, Range], now_us: int) -> None:
        for key, range_ in keys.items():
            sources = self._sources.get(key)
            if sources is not None:
                sources.barren[link] = now_us + _AGAIN_US
                sources.asked_to = min(range_.last, sources.asked_to)

    def _choose(self, stream: Stream, now_us: int, turn: Turn) -> LinkKey | None:
        """The neighbour to ask: the origin itself, or who has not been asked, or not for the longest time.

        Of those who have not, first who is known to be further. All of them must have been asked before it is a loss,
        but not within `AGAIN_S`: where there are many, or they are far away, that is not enough for one round.
        """
        missing = self._state.relay.missing(stream)
        if not missing:
            return None
        sources, neighbours, origin = self._source(stream), self._routes.neighbours, self._link_to(stream.origin)
        if sources.head != stream.head:
            sources.head, sources.since_us, sources.asked_to = stream.head, now_us, _FAR
        if now_us < sources.not_before_us:
            return None
        fresh = [link for link in neighbours if sources.barren.get(link, 0) <= now_us]
        let_go = sources.let_go >= missing[0].first
        if origin in fresh and not let_go:
            return origin
        if self._is_lost(stream, sources, missing[0].first, now_us):
            lost_to = min(sources.asked_to, missing[0].last)
            self._accept(stream, min(lost_to, sources.let_go) if let_go else lost_to, origin, turn)
            return None

        def rank(link: LinkKey) -> tuple[int, int, bool]:
            head = sources.heads.get(link, 0)
            return sources.asked_us(link), -head if head >= missing[0].first else 0, neighbours[link].leaf

        return min(fresh, key=rank, default=None)

    def _link_to(self, origin: str) -> LinkKey | None:
        """The link to the origin itself."""
        name, neighbours = origin.rpartition(".")[0], self._routes.neighbours
        ways = self._routes.heard.ways(origin)
        return next((link for link in ways if link in neighbours and neighbours[link].name == name), None)

    def _is_lost(self, stream: Stream, sources: _Sources, first: int, now_us: int) -> bool:
        """Whether every neighbour has been asked, and the origin has let it go or is waited for no longer."""
        neighbours, waited_s = self._routes.neighbours, (now_us - sources.since_us) / 1e6
        if not neighbours or not all(map(sources.asked_us, neighbours)):
            return False
        let_go = sources.let_go >= first
        if waited_s < PATIENCE_S:
            return let_go and now_us >= self._settled_us
        gone_for_a_leaf = self._routes.leaf and sources.gone >= first
        return waited_s >= STALLED_S or let_go or gone_for_a_leaf or self._lost_for_good(stream.origin)

    def _ask(self, link: LinkKey, wanted: Sequence[tuple[Key, Range]], turn: Turn) -> None:
        self._ids += 1
        self._wants[link] = _Want(self._ids, dict(wanted), turn.now.later(ANSWER_S))
        ranges = [(*key, range_.first, range_.last) for key, range_ in wanted]
        turn.control(link, {"t": "want", "id": self._ids, "ranges": ranges})

    # ── what comes of it ─────────────────────────────────────────────────────────────────────────────────────────────

    def served(self, link: Link, fields: Mapping[str, Any], turn: Turn) -> None:
        """A neighbour has sent what it had of a want."""
        want = self._wants.get(link.key)
        if want is None or want.id != int(fields["id"]):
            return
        del self._wants[link.key]
        self._look_us = 0
        gone = [
            (str(origin), str(topic), integer(first), integer(last)) for origin, topic, first, last in fields["gone"]
        ]
        for origin, topic, first, last in gone:
            self._gone(link, (origin, topic), first, last, turn)
        for key, range_ in want.asked.items():
            stream = self._state.relay.streams.get(key)
            if stream is not None and self._state.relay.missing(stream)[:1] == [range_]:
                self._pass_over(link.key, {key: range_}, turn.now.mono_us)

    def _gone(self, link: Link, key: Key, first: int, last: int, turn: Turn) -> None:
        """A neighbour no longer has a range. Who else has it is asked, also when it is the origin that says so."""
        stream = self._state.relay.streams.get(key)
        if stream is None or stream.gap is None or not first <= stream.head + 1 <= last:
            return
        if link.origin == stream.origin:
            self._source(stream).let_go = last
            self._pass_over(link.key, {key: Range(first, last)}, turn.now.mono_us)
        else:
            self._source(stream).gone = last

    def _accept(self, stream: Stream, last: int, source: LinkKey | None, turn: Turn) -> None:
        if not self._intake.closed:
            self._intake.skip(stream, last, source, turn)
            self._sources.pop((stream.origin, stream.topic), None)
