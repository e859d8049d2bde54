"""A link: what is known of one connection to a peer, and why a peer's greeting is refused. Values and one rule.

connecting ─▶ greeting ─▶ up ─▶ down ─▶ greeting …
                 ├──▶ refused
                 └──▶ spare               what moves a link on is in `node.links`, `node.greetings`, `node.connections`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple

from node.clock import Now
from node.rivals import Claim, began_us, count
from node.turn import LinkKey

LINK_PROTOCOL = LINK_PROTOCOL_MIN = 1
"""The newest and the oldest way to talk over a link that this node knows; a link uses the newest that both know."""


class Talk(Enum):
    """What a control message says: something that stands by itself, or a change to what the same life said before.

    A change names the life, as far as its sender does so.
    """

    WHOLE = 0
    CHANGES = 1


TALK = {
    **dict.fromkeys(("interest", "reach"), Talk.CHANGES),
    **dict.fromkeys(("interest_ack", "beacon", "heads", "digest", "want", "served"), Talk.WHOLE),
    **dict.fromkeys(("members", "known", "rival", "ask", "answer"), Talk.WHOLE),
}
"""Kinds of control messages that are no business of the link itself, and count only while it is up."""

ADDRESSES_MAX = 8
"""Addresses of one member; further ones are not looked at."""
_TEXT_MAX = 300
_BEARS_S_MAX = 1e6

NAMED = frozenset({"name", "twin"})
"""Codes of refusals because another node has the name; they are asked again."""

KEY_REFUSED = "the key is not allowed"
"""Why a connection ended whose handshake failed for who this node is, and not for how it speaks."""

Role = Literal["peer", "leaf"]
LinkState = Literal["connecting", "greeting", "up", "down", "refused", "spare"]


class Identity(NamedTuple):
    """What a node says of itself in a greeting. `life` is random and new with every start."""

    name: str
    origin: str
    version: str
    listen: str
    role: Role = "peer"
    incarnation: int = 0
    sequence: int = 0
    addresses: tuple[str, ...] = ()
    life: str = ""


@dataclass(slots=True)
class Link:
    """One connection. Moments in microseconds of the monotonic clock; `rtt_us` and `skew_us` measured by ping.

    `address` is where the peer may be dialled, `dialled_at` the address by which this connection was made, and
    `connected` says that it stands, and `refused` is the code of the refusal (see `Refusal`), "" for none; `refused_by`
    is the name of the node that refused this one there, `keeps` the origin for whose sake, `objected` the name under
    which this node refused the other. `unmade`: there is no socket for it, and nothing dials. `began_us`: when the
    far process began, if it said so; `bears_us`: the silence after which it takes this node for dead, 0 if it did not
    say. `beat` counts heartbeats (`node.heartbeats`).
    """

    key: LinkKey
    address: str
    dialled_at: str = ""
    connected: bool = False
    state: LinkState = "connecting"
    name: str = ""
    origin: str = ""
    version: str = ""
    role: Role = "peer"
    incarnation: int = 0
    sequence: int = 0
    addresses: tuple[object, ...] = ()
    life: str = ""
    protocol: int = LINK_PROTOCOL
    reason: str = ""
    refused: str = ""
    refused_by: str = ""
    keeps: str = ""
    objected: str = ""
    unmade: bool = False
    began_us: int | None = None
    bears_us: int = 0
    beat: int = 0
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

    @property
    def claim(self) -> Claim:
        """Who is at the far end, of those that may have one name."""
        return Claim(self.origin, self.life, self.incarnation, self.began_us)

    def spoke(self, now: Now) -> None:
        """Something was heard from the far end."""
        self.heard_us, self.heard_wall_us = now.mono_us, now.wall_us

    def greeted(self, greeting: dict[str, Any], now_us: int) -> None:
        """Note who is at the far end. Where that is malformed, raises `ValueError` or `TypeError` and notes nothing."""
        incarnation, sequence = count(greeting, "incarnation"), count(greeting, "sequence")
        addresses = tuple(greeting.get("addresses", ()))[:ADDRESSES_MAX]
        began, bears_s = began_us(greeting, now_us), min(max(float(greeting.get("bears_s", 0)), 0), _BEARS_S_MAX)
        bears_us = int(bears_s * 1e6)
        self.name, self.origin = greeting["name"], greeting["origin"]
        self.version, self.life = (str(greeting.get(key, ""))[:_TEXT_MAX] for key in ("version", "life"))
        self.role = "leaf" if greeting.get("role") == "leaf" else "peer"
        self.incarnation, self.sequence, self.addresses = incarnation, sequence, addresses
        self.protocol = min(LINK_PROTOCOL, int(greeting["protocol"]))
        self.began_us, self.bears_us = began, bears_us
        self.left, self.reason, self.refused, self.refused_by, self.keeps, self.objected = False, "", "", "", "", ""


def same_life(one: Link, other: Link) -> bool:
    """Whether two connections lead to the same run of the same node."""
    return (one.origin, one.life) == (other.origin, other.life)


class Heard(NamedTuple):
    """A control message that concerns others than the link itself: one of `TALK`, or what happened to a link.

    That is `up`, `down`, `moved`: the link goes on over the connection `link`, and `from` in its fields is the key of
    the one before; `asks`: a node is refused for its name, and `link` says of it what its greeting does; `goodbye`: one
    that has no link stops, and says its origin and life itself.
    """

    kind: str
    link: Link
    fields: dict[str, Any]


class Refusal(NamedTuple):
    """Why a greeting is not accepted. `code`: protocol, malformed, self, name, twin or full.

    `keeps`: the origin that has the name.
    """

    code: str
    reason: str
    keeps: str = ""


def objection(me: Identity, greeting: dict[str, Any]) -> Refusal | None:
    """Why a greeting cannot be accepted by anybody like us, or None."""
    newest = greeting.get("protocol")
    oldest = greeting.get("protocol_min", newest)
    if not isinstance(newest, int) or not isinstance(oldest, int) or not _common(oldest, newest):
        spoken = repr(newest) if oldest == newest else f"{oldest!r} to {newest!r}"
        return Refusal(
            "protocol", f"it speaks link protocol {spoken}, this node {LINK_PROTOCOL}; run the same release on both"
        )
    if not _is_member(greeting.get("name"), greeting.get("origin")):
        return Refusal("malformed", "its greeting has no name, or no origin of that name")
    if greeting["origin"] == me.origin and greeting.get("life", "") == me.life:
        return Refusal("self", "that address is this node itself; remove it from the peers")
    if greeting["origin"] == me.origin:
        return same_origin(me.origin)
    return same_name(me.name, str(greeting["origin"]), me.origin) if greeting["name"] == me.name else None


def same_name(name: str, refused: str, keeps: str) -> Refusal:
    """Another node of that name is there; the origins of who is refused, and of who is not."""
    return Refusal("name", f"two nodes are called {name!r}: {refused} and {keeps}, which keeps it; rename one", keeps)


def same_origin(origin: str) -> Refusal:
    """Another process speaks under that origin."""
    said = f"two processes are {origin}: one of them runs on a copy of the other's data directory"
    return Refusal("twin", said, origin)


def _common(oldest: int, newest: int) -> bool:
    return oldest <= LINK_PROTOCOL and newest >= LINK_PROTOCOL_MIN


def _is_member(name: object, origin: object) -> bool:
    if not isinstance(name, str) or not isinstance(origin, str) or len(origin) > _TEXT_MAX:
        return False
    return name != "" and origin.rpartition(".")[0] == name
