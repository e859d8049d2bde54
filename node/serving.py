"""Serving: giving other nodes what they ask for from the log, a bounded piece a turn. Rules and reads, no sockets.

    want   id ranges [[origin topic first last] …]       one at a time per link; a new one takes the place of the old
                                                         (those with a negative id beside it: see `node.fetching`)
    served id gone [[origin topic first last] …]         was here, and is not any more
              absent [[origin topic first last] …]       was never here: ask somebody else
           behind the frames it speaks of, in order; ask again for the rest

Live events come first: at most one piece is read in a turn, and all pieces together stay below a rate, so that many who
come back at once are served one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.frame import replayed
from mesh.limits import REPLAY_BYTES_MAX
from node.clock import Now
from node.replay import Gone, read_ranges
from node.state import State
from node.turn import LinkKey, Turn, integer

SERVED_BYTES_PER_S = 32 << 20
"""Of replayed frames over all links; about half of what a turn could read, so that live events always have room."""
RANGES_MAX = 256
"""Ranges in one want."""
FETCHES_MAX = 32
"""Wants on behalf of others that wait at one link; of more, the oldest is let go: who still lacks it asks again."""
_PAUSE_MS = 5


_Slot = tuple[LinkKey, int]
"""A link, and 0 for its own want or the id of one on behalf of another."""


class Serving:
    """What other nodes have asked for and has not been sent yet."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._wants: dict[_Slot, tuple[int, list[Gone]]] = {}
        self._free_us = 0

    def want(self, link: LinkKey, id_: int, ranges: Sequence[Sequence[object]]) -> None:
        """A neighbour asks for ranges of streams. Raises `ValueError` for anything else."""
        found = [
            (str(origin), str(topic), integer(str(first)), integer(str(last))) for origin, topic, first, last in ranges
        ][:RANGES_MAX]
        slot = link, min(id_, 0)
        if id_ < 0:
            self._make_room(link, found)
        self._wants.pop(slot, None)
        self._wants[slot] = (id_, found)

    def _make_room(self, link: LinkKey, ranges: list[Gone]) -> None:
        """One more want on behalf of another: the same one, asked again, gives way to it, or of many the oldest."""
        fetches = [slot for slot in self._of(link) if slot[1]]
        same = [slot for slot in fetches if self._wants[slot][1] == ranges]
        for slot in same or fetches[: max(0, len(fetches) - FETCHES_MAX + 1)]:
            del self._wants[slot]

    def _of(self, link: LinkKey) -> list[_Slot]:
        return [slot for slot in self._wants if slot[0] == link]

    def forget(self, link: LinkKey) -> None:
        """The link is gone."""
        for slot in self._of(link):
            del self._wants[slot]

    def moved(self, old: LinkKey, new: LinkKey) -> None:
        """The link goes on over another connection."""
        for slot in self._of(old):
            self._wants[new, slot[1]] = self._wants.pop(slot)

    def idle_ms(self, now: Now, longest_ms: int) -> int:
        """How soon there is something to serve, in milliseconds; `longest_ms` when nothing is asked."""
        if not self._wants:
            return longest_ms
        return min(longest_ms, _PAUSE_MS if now.mono_us < self._free_us else 0)

    def serve(self, turn: Turn) -> None:
        """Send the next piece to whoever has waited longest. Raises `StoreError`."""
        if not self._wants or turn.now.mono_us < self._free_us:
            return
        slot = next(iter(self._wants))
        id_, ranges = self._wants.pop(slot)
        link, _ = slot
        here, absent = self._split(ranges)
        rows, gone = read_ranges(self._state, here, REPLAY_BYTES_MAX)
        for row in rows:
            turn.links.append((link, replayed(row.frame)))
        turn.control_after(link, {"t": "served", "id": id_, "gone": gone, "absent": absent})
        size = sum(len(row.frame) for row in rows)
        self._free_us = turn.now.mono_us + size * 1_000_000 // SERVED_BYTES_PER_S

    def _split(self, ranges: list[Gone]) -> tuple[list[Gone], list[Gone]]:
        """What of the ranges lies in this node's part of the streams, and what does not."""
        here, absent = list[Gone](), list[Gone]()
        for origin, topic, first, last in ranges:
            stream = self._state.relay.streams.get((origin, topic))
            base, head = (stream.base, stream.head) if stream else (last, last)
            if first <= base:
                absent.append((origin, topic, first, min(last, base)))
            if last > head:
                absent.append((origin, topic, max(first, head + 1), last))
            if max(first, base + 1) <= min(last, head):
                here.append((origin, topic, max(first, base + 1), min(last, head)))
        return here, absent
