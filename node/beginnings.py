"""Beginnings: from where on a stream is owed to the two ends of a link. Rules only.

    A ──interest, heads [b.1 T 7]──▶ B     A stands at 7 in what B is to bring: it is owed from there (`resume`)
    A ◀─ack, heads [b.1 T 9]──────── B     it begins behind 9 here, or what is before that is owed (`place`)

What passed before anybody wanted it is not owed. What was wanted all along is owed from its first event, what a
consumer has been following from where it stands, and either shows as a gap. What a neighbour is to bring is known from
the origins it spoke for last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from mesh.topic import PatternSet
from node.intake import Intake
from node.routes import Neighbour, Routes
from node.state import State
from node.streams import Stream, first_stored
from node.turn import LinkKey, Turn
from node.wanting import Wanting

Row = tuple[str, str, int]
"""origin, topic, head"""

SPOKEN_MAX = 4096
"""Neighbours of whom it is kept for whom they spoke last; of more, the one is let go that answered the longest time
ago and has no link. Who asks it to bring something tells it more heads than it needs."""


class _Spoken(NamedTuple):
    """For whom a neighbour spoke last. `straight`: to whoever heard it, not to this node alone."""

    origins: frozenset[str]
    straight: frozenset[str]


class Beginnings:
    """Where the streams begin that are brought here, and those that this node brings to others."""

    def __init__(self, state: State, routes: Routes, wanting: Wanting, intake: Intake) -> None:
        self._state = state
        self._routes = routes
        self._wanting = wanting
        self._intake = intake
        self._spoken: dict[str, _Spoken] = {}

    def heard(self, name: str, origins: Iterable[str], detoured: Collection[str]) -> None:
        """A neighbour speaks for these origins; for those that are `detoured` to this node alone."""
        all_ = frozenset(origins)
        self._spoken.pop(name, None)
        self._spoken[name] = _Spoken(all_, all_.difference(detoured))
        if len(self._spoken) > SPOKEN_MAX:
            oldest, link_to = next(iter(self._spoken)), self._routes.link_to
            del self._spoken[next((each for each in self._spoken if link_to(each) is None), oldest)]

    @property
    def closed(self) -> bool:
        """Whether the disk takes nothing at this moment, so that no stream can begin."""
        return self._intake.closed

    def far(self) -> list[Stream]:
        """The streams of origins that have no link to this node: only those can be brought by others."""
        mine, link_to = self._state.origin, self._routes.link_to
        streams = self._state.relay.streams.values()
        return [each for each in streams if each.origin != mine and link_to(each.origin.rpartition(".")[0]) is None]

    def stands(
        self, key: LinkKey, before: PatternSet, wanted: PatternSet, newly: Collection[str], far: Sequence[Stream]
    ) -> list[Row]:
        """Where this node stands in the streams that the far end is to bring it, is not told of yet, and owes it.

        `before`, `wanted`: what it was told before, and is told now. `newly`: whom it is asked to carry, and was not.
        """
        to, spoken = self._routes.neighbours[key], [self._spoken[each] for each in newly if each in self._spoken]
        carried = {origin for each in spoken for origin in each.straight}
        return [
            (stream.origin, stream.topic, stream.head)
            for stream in (self._state.relay.streams.values() if carried else far)
            if wanted.matches(stream.topic)
            and (stream.origin in carried or (not before.matches(stream.topic) and self._brings(to, stream.origin)))
            and self._wanting.owed(stream.origin, stream.topic)
        ]

    def _brings(self, to: Neighbour, origin: str) -> bool:
        """Whether a neighbour is, as far as is known, the way to an origin's events. A leaf passes nothing on."""
        spoken, member = self._spoken.get(to.name), origin.rpartition(".")[0]
        if to.leaf or member == to.name or origin == self._state.origin or self._routes.link_to(member) is not None:
            return False
        return self._routes.leaf or spoken is None or origin in spoken.origins

    def resume(self, key: LinkKey, row: Row, turn: Turn) -> None:
        """A neighbour follows a stream through this node and stands at its head there: it is owed from there."""
        origin, topic, head = row
        if origin == self._state.origin:
            return
        known = self._state.relay.streams.get((origin, topic))
        if known is None:
            head = min(head, self._state.resuming.get((origin, topic), head))
        behind = known is not None and known.head < head
        if not (self._wanting.owed if behind else self._wanting.before)(origin, topic):
            self._rewind(origin, topic, head, turn)
        self._wanting.resume(key, origin, topic)

    def place(self, row: Row, learn: Callable[[Row], None], turn: Turn, bygone: bool = False) -> None:
        """A stream as a neighbour has it: place its beginning here, or see that more of it is owed.

        Where nobody here wanted the topic until now it begins behind the head; what was wanted all along is owed from
        its first event, wherever the neighbour's part of it begins; what somebody has been following is owed from where
        it stands here. `bygone`: its origin is gone and never knew what is wanted here; it came before the one of its
        name that is known, and what that one knew to be wanted says nothing of it.
        """
        origin, topic, head = row
        if origin == self._state.origin:
            return
        known = self._state.relay.streams.get((origin, topic))
        resumed_at = self._state.resuming.get((origin, topic))
        if known is None and (resumed_at is not None or (not bygone and self._wanting.before(origin, topic))):
            self._begin(origin, topic, resumed_at or 0, turn)
            learn(row)
        elif known is not None and (self._wanting.followed if bygone else self._wanting.owed)(origin, topic):
            learn(row)
        else:
            self._begin(origin, topic, head, turn)

    def _begin(self, origin: str, topic: str, head: int, turn: Turn) -> None:
        """A stream of another node begins here behind `head`, unless it is further."""
        if self.closed:
            return
        stream = self._state.relay.begin_at(origin, topic, head)
        if stream is not None:
            _placed(stream, turn)

    def _rewind(self, origin: str, topic: str, head: int, turn: Turn) -> None:
        """Somebody stands at `head`: a stream that was placed further on, and is empty since, goes back there.

        What the log still has from before it was placed there is taken up again. A stream that is not known begins.
        """
        stream = self._state.relay.streams.get((origin, topic))
        if stream is None or stream.head < head:
            self._begin(origin, topic, head, turn)
        elif not self.closed and stream.head == stream.base > head:
            base, last = self._state.log.end_behind(stream.id, head)
            if last < stream.head:
                self._state.relay.rewind(stream, base, last)
                _placed(stream, turn)


def _placed(stream: Stream, turn: Turn) -> None:
    if first_stored(stream):
        turn.changes.streams.append((stream.id, stream.origin, stream.topic, stream.base, stream.head))
    turn.changes.heads[stream.id], turn.changes.bases[stream.id] = stream.head, stream.base
