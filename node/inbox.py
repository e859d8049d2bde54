"""The inbox: everything that arrived since the last turn. What the sockets hand to the core, and a test makes up.

    in ─▶ frames    out ─▶ subscriptions    ctl ─▶ requests    links ─▶ links, link_events

Connections come and go while messages are on their way, and what came over one that has ended since still counts. So
what happened to links is told in two parts, around the messages (`around_messages`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.turn import LinkKey

LinkEvent = tuple[LinkKey, str, str]
"""What the sockets saw happen to a connection: key, what, and a detail.

One of connected, disconnected, unreached (there is none yet, and why), unmade (there is no socket that dials, or no
longer, and why), dropped, stranger.
"""


@dataclass(slots=True)
class Inbox:
    """Everything that arrived since the last turn."""

    frames: list[bytes] = field(default_factory=list)
    subscriptions: list[bytes] = field(default_factory=list)
    requests: list[list[bytes]] = field(default_factory=list)
    links: list[tuple[LinkKey, bytes]] = field(default_factory=list)
    link_events: list[LinkEvent] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing arrived."""
        return not self.frames and self._nothing_else

    @property
    def only_frames(self) -> bool:
        """Whether nothing arrived but frames of local publishers."""
        return bool(self.frames) and self._nothing_else

    @property
    def only_links(self) -> bool:
        """Whether nothing arrived but messages of peers."""
        return bool(self.links) and not (self.frames or self.subscriptions or self.requests or self.link_events)

    @property
    def _nothing_else(self) -> bool:
        return not (self.subscriptions or self.requests or self.links or self.link_events)

    @property
    def size_bytes(self) -> int:
        """Of what publishers and peers have sent."""
        return sum(map(len, self.frames)) + sum(len(data) for _, data in self.links)


def around_messages(events: list[LinkEvent]) -> tuple[list[LinkEvent], list[LinkEvent]]:
    """What happened to connections before the messages of a turn, and after: what came over one that ended counts."""
    last = {key: what for key, what, _ in events if what in ("connected", "disconnected")}
    after = [event for event in events if event[1] == "disconnected" and last[event[0]] == "disconnected"]
    return [event for event in events if event not in after], after
