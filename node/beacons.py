"""Beacons: the heads that moved, announced once a second. Rules only.

    B:7 moved ──▶ beacon [B 7]   beacon [B 7]   beacon [B 7]   silence          to programs that want the topic, and to
                  at the next second, and twice more                            the links that its events go out on

Who missed the last event of a stream sees no gap, for nothing follows; a beacon shows it. It says how far a stream
reaches at this moment, so that one beacon serves however many events came, and one that is late does no harm. Very many
heads go in several beacons.
"""

from __future__ import annotations

from mesh.requests import pack_beacon
from node.speaking import Speaking
from node.state import State
from node.streams import Stream
from node.turn import ROWS_MAX, LinkKey, Turn

BEACON_TIMES = 3
"""A head is announced in so many beacons: one may be dropped like any message to a slow subscriber."""

Moved = dict[int, tuple[Stream, int]]
"""Stream id → the stream, and in how many beacons its head is still to be announced."""


class Beacons:
    """What is to be announced: `moved`, which the intake fills. It is one object for good."""

    def __init__(self, state: State, speaking: Speaking) -> None:
        self._state = state
        self._speaking = speaking
        self.moved: Moved = {}

    def recall(self) -> None:
        """The state was read back: of the heads that moved, announce what is on disk."""
        known = self._state.relay.by_id
        for id_, (_, left) in list(self.moved.items()):
            if id_ in known:
                self.moved[id_] = (known[id_], left)
            else:
                del self.moved[id_]

    def send(self, turn: Turn) -> None:
        """Announce the heads of the streams that moved since the last beacon, here and to the links they go out on."""
        if not self.moved:
            return
        wanted_here, heads = self._state.interest.wanted_here, list[tuple[str, str, int]]()
        rows: dict[LinkKey, list[tuple[str, str, int]]] = {}
        for stream, _ in self.moved.values():
            if wanted_here(stream.topic):
                heads.append((stream.origin, stream.topic, stream.head))
            for link in self._speaking.told_of(stream.topic, stream.origin):
                rows.setdefault(link, []).append((stream.origin, stream.topic, stream.head))
        turn.out += [[pack_beacon(heads[at : at + ROWS_MAX])] for at in range(0, len(heads), ROWS_MAX)]
        for link, found in rows.items():
            turn.heads_after(link, "beacon", found)
        self._once_more()

    def _once_more(self) -> None:
        for id_, (stream, left) in list(self.moved.items()):
            if left > 1:
                self.moved[id_] = (stream, left - 1)
            else:
                del self.moved[id_]
