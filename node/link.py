"""A link: what is known of one connection to a peer, and why a peer's greeting is refused. Values and one rule.

connecting ─▶ greeting ─▶ up ─▶ down ─▶ greeting …
                 ├──▶ refused
                 └──▶ spare               what moves a link from one state to the next is in `node.links`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from node.turn import LinkKey

LINK_PROTOCOL = 1

TALK = frozenset(("interest", "interest_ack", "beacon", "heads", "digest", "want", "served", "reach"))
"""Kinds of control messages that are no business of the link itself, and count only while it is up."""

LinkState = Literal["connecting", "greeting", "up", "down", "refused", "spare"]


class Identity(NamedTuple):
    """What a node says of itself in a greeting."""

    name: str
    origin: str
    version: str
    listen: str
    role: str = "peer"


@dataclass(slots=True)
class Link:
    """One connection. Moments in microseconds of the monotonic clock; `rtt_us` and `skew_us` measured by ping.

    `address` is where the peer may be dialled, `dialled_at` the address by which this connection was made, and
    `connected` says that it stands.
    """

    key: LinkKey
    address: str
    dialled_at: str = ""
    connected: bool = False
    state: LinkState = "connecting"
    name: str = ""
    origin: str = ""
    version: str = ""
    role: str = "peer"
    reason: str = ""
    left: bool = False
    acted_us: int = 0
    heard_us: int = 0
    heard_wall_us: int = 0
    rtt_us: int | None = None
    skew_us: int | None = None
    sent: int = 0
    received: int = 0
    dropped: int = 0
    repaired: int = 0

    @property
    def dialled(self) -> bool:
        """Whether this node opened the connection."""
        return isinstance(self.key, str)


class Heard(NamedTuple):
    """A control message that concerns others than the link itself: one of `TALK`, or `up` or `down`."""

    kind: str
    link: Link
    fields: dict[str, Any]


def objection(me: Identity, greeting: dict[str, Any]) -> str:
    """Why a greeting cannot be accepted, or ""."""
    if greeting.get("protocol") != LINK_PROTOCOL:
        spoken = greeting.get("protocol")
        return f"it speaks link protocol {spoken!r}, this node {LINK_PROTOCOL}; run the same release on both"
    if not isinstance(greeting.get("name"), str) or not isinstance(greeting.get("origin"), str):
        return "its greeting has no name or origin"
    if greeting["origin"] == me.origin:
        return "that address is this node itself; remove it from the peers"
    if greeting["name"] == me.name:
        return f"two nodes are called {me.name!r}; give one another --name"
    return ""
