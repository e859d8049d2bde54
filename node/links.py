"""Links: what comes over the connections to peers, whom it is for, and when a link counts as down. Rules, no sockets.

    dialler                                   acceptor
    ── connected ──▶ hello ─────────────────▶  checks version, name, a second connection
                     hello | refuse ◀────────
    interest ──────────────────────────────▶ ◀─────────────────────────── interest
    frames, ping/pong, interest, interest_ack … both ways, until nothing was heard for `dead_after_s`

    connecting ─▶ greeting ─▶ up ◀──▶ spare     another connection to the same peer is in use
                     │         └─▶ down ─▶ greeting …       by the dialler, as long as the connection stands
                     └──▶ refused   the reason is shown; tried again with the next connection

One TCP connection carries a link, whoever dialled it; which of several that is, is decided in `node.connections`, and
who is let in, in `node.greetings`. Where both ends use different ones nevertheless, the pings say so, and the end with
the greater name follows.

Control messages are 0x00 and JSON; a frame never begins with 0x00. A frame on a connection that has not greeted is not
looked at: who accepted it asks `who` that is, who dialled it greets again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import orjson

from mesh.errors import MalformedFrame
from mesh.requests import unpack_control
from node.clock import Now
from node.connections import Connections
from node.greetings import Greetings
from node.heartbeats import Heartbeats
from node.link import NAMED, TALK, Heard, Identity, Link, Talk
from node.turn import CONTROL, LinkKey, Turn

_SETTLED_S = 3.0
"""What both ends use is the same again within this time, unless something went wrong."""
_WALL_US_MAX = 1 << 62
_SIGNS_OF_LIFE = tuple(CONTROL + orjson.dumps({"t": kind})[:-1] for kind in ("ping", "pong"))
_OPEN = ("up", "spare")


def only_says_it_lives(data: bytes) -> bool:
    """Whether a message is a ping, or the answer to one: nearly all that comes to an idle node."""
    return data.startswith(_SIGNS_OF_LIFE)


class Links:
    """All connections of a node. Methods return what others must hear of; what to send goes into the turn."""

    def __init__(self, me: Identity, heartbeat_s: float, dead_after_s: float, began_us: int = 0) -> None:
        self._connections = Connections(me.name)
        self._greetings = Greetings(me, began_us, dead_after_s, self._connections)
        self.links = self._connections.links
        self.strangers = 0
        self._heartbeat_us = int(heartbeat_s * 1e6)
        self._dead_after_us = int(dead_after_s * 1e6)
        self._next_ping_us = 0
        self._heartbeats = Heartbeats(self._heartbeat_us, self._dead_after_us)
        self._pardon_us = 0

    @property
    def me(self) -> Identity:
        """What this node says of itself."""
        return self._greetings.me

    @me.setter
    def me(self, me: Identity) -> None:
        self._greetings.me = me

    @property
    def began_us(self) -> int:
        """When this process began, on the monotonic clock."""
        return self._greetings.began_us

    def pardon(self, now: Now) -> None:
        """This node was stopped itself: no link is given up for what was not heard until now."""
        self._pardon_us = now.mono_us

    def dial(self, addresses: Iterable[str]) -> None:
        """Begin with these addresses; the sockets connect by themselves and report."""
        for address in addresses:
            self.links[address] = Link(address, address, dialled_at=address)

    def undial(self, addresses: Collection[str], turn: Turn) -> list[Heard]:
        """End these connections, and do not make them again."""
        for address in addresses:
            self._greetings.ended(address)
        gone = [self.links.pop(address) for address in addresses if address in self.links]
        return [heard for link in gone for heard in self._connections.lower(link, "not dialled any more", "down", turn)]

    def up(self) -> set[LinkKey]:
        """The links in use."""
        return {key for key, link in self.links.items() if link.state == "up"}

    # ── what the sockets report ──────────────────────────────────────────────────────────────────────────────────────

    def connected(self, key: LinkKey, turn: Turn) -> None:
        """A dialled connection stands: greet."""
        link = self.links.get(key)
        if link is not None:  # else it was let go of meanwhile
            link.connected, link.reason = True, ""
            self._greetings.greet(link, turn)

    def disconnected(self, key: LinkKey, reason: str, turn: Turn) -> list[Heard]:
        """A connection is gone (dialled ones are tried again by their sockets)."""
        self._greetings.ended(key)
        link = self.links.get(key)
        if link is None:
            return []
        if not link.dialled:
            del self.links[key]
        link.connected = False
        return self._connections.lower(link, reason, "down" if link.origin else "connecting", turn)

    def unreached(self, key: LinkKey, reason: str) -> None:
        """No connection comes about; of a peer that was there before, how it went says more."""
        link = self.links.get(key)
        if link is not None and not link.origin:
            link.reason = reason

    def unmade(self, key: LinkKey, reason: str) -> None:
        """There is no socket that would dial; whoever dials (`node.dialling`) must do so again."""
        link = self.links.get(key)
        if link is not None:
            link.unmade, link.reason = True, reason

    def receive(self, key: LinkKey, data: bytes, turn: Turn) -> tuple[Link | None, list[Heard]]:
        """Take one message. A link in the answer means: `data` is a frame, and may come in over that link."""
        link = self.links.get(key)
        if data[:1] == CONTROL:
            return None, self._control(key, link, unpack_control(data[1:]), turn)
        through = self._connections.through(link)
        if link is None or through is None:
            self.strangers += 1
            self._ask_who(key, link, turn)
            return None, []
        link.spoke(turn.now)
        link.received += 1
        return through, []

    def _ask_who(self, key: LinkKey, link: Link | None, turn: Turn) -> None:
        """The far end holds a connection for a link that is none at this end."""
        if isinstance(key, bytes):
            turn.control(key, {"t": "who"})
        elif link is not None and link.connected and link.state == "down" and not link.left:
            self._greetings.greet(link, turn)

    # ── control messages ─────────────────────────────────────────────────────────────────────────────────────────────

    def _control(self, key: LinkKey, link: Link | None, message: dict[str, Any], turn: Turn) -> list[Heard]:
        kind = message.get("t")
        if kind == "hello":
            return self._greetings.hello(key, link, message, turn)
        if kind == "pong":
            self._greetings.ponged(key, message)
        if link is None:
            self.strangers += 1
            turn.control(key, {"t": "who"})
            return [Heard("goodbye", Link(key, ""), message)] if kind == "goodbye" else []
        link.spoke(turn.now)
        if kind == "who":
            return self._greetings.asked_who(link, turn)
        if kind == "refuse":
            return self._greetings.refused(link, message, turn)
        if kind == "goodbye":
            return self._left(link, message, turn)
        if kind == "use":
            return self._connections.follow(link, turn.now)
        if kind == "mark":
            turn.control(link.key, {"t": "took", "put": int(message["put"])})
        if kind == "took":
            turn.took.append((link.key, int(message["put"])))
        if kind == "ping":
            return self._pinged(link, message, turn)
        if kind == "pong":
            self._measure(link, message, turn.now)
        through = self._speaks_for(link, str(kind), message) if kind in TALK else None
        return [Heard(str(kind), through, message)] if through is not None else []

    def _speaks_for(self, link: Link, kind: str, message: dict[str, Any]) -> Link | None:
        """For which link a kind of talk over a connection counts. Who refuses a name may say how its node is held.

        A change to what another life of the peer said, read late, is none to what this one says.
        """
        if kind == "members" and link.refused in NAMED:
            return link
        changes = TALK[kind] is Talk.CHANGES
        if changes and message.get("life", link.life) != link.life:
            return None
        return self._connections.through(link, changes)

    def _pinged(self, link: Link, message: dict[str, Any], turn: Turn) -> list[Heard]:
        if link.state == "down" and not link.dialled and not link.left:
            turn.control(link.key, {"t": "who"})  # it was taken for gone, and is there
        if message["at"] is not None:
            pong = {"t": "pong", "at": message["at"], "wall_us": turn.now.wall_us, "life": self.me.life}
            turn.control(link.key, pong)
        settled = turn.now.mono_us - link.acted_us > _SETTLED_S * 1e6
        if not (message.get("used") and link.state == "spare" and settled and link.name < self.me.name):
            return []
        turn.control(link.key, {"t": "use"})
        return self._connections.follow(link, turn.now)

    def _left(self, link: Link, message: dict[str, Any], turn: Turn) -> list[Heard]:
        """The peer stops: every connection to it is about to end, but one that is greeted stands anew already.

        Who was never let in is known by its own words alone.
        """
        said = [Heard("goodbye", link, message)] if link.state == "refused" else []
        alike = [each for each in self._connections.alike(link) if each.state != "greeting"] if link.name else [link]
        for each in alike:
            each.left = True
        return said + [heard for each in alike for heard in self._connections.lower(each, "left", "down", turn)]

    def _measure(self, link: Link, message: dict[str, Any], now: Now) -> None:
        """Round trip, and the far clock against ours at its middle (Cristian 1989)."""
        at_us, wall_us = int(message["at"]), int(message["wall_us"])
        if not 0 <= at_us <= now.mono_us or not 0 <= wall_us < _WALL_US_MAX:
            raise MalformedFrame("pong", f"at {at_us}, wall clock {wall_us}; neither a ping of ours nor a time of day")
        link.rtt_us = now.mono_us - at_us
        link.skew_us = wall_us - (now.wall_us - link.rtt_us // 2)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def idle_ms(self, now: Now, longest_ms: int) -> int:
        """How long nothing is due here, in milliseconds."""
        longest_ms = self._greetings.idle_ms(longest_ms)
        return min(longest_ms, max(0, -((now.mono_us - self._next_ping_us) // 1000)))

    def tick(self, turn: Turn) -> list[Heard]:
        """Give up on silent links, greet again where an answer is overdue, ping. Once per heartbeat.

        The ping alone says that this node is there; an answer, which measures, is asked for now and then.
        """
        now_us = turn.now.mono_us
        heard = self._greetings.again(turn)
        if now_us < self._next_ping_us:
            return heard
        self._next_ping_us = turn.now.beat(self._heartbeat_us)
        heard_since_us = now_us - self._dead_after_us
        if self._pardon_us < heard_since_us:
            heard += self._end_silent([link for link in self.links.values() if link.heard_us < heard_since_us], turn)
        for link in [each for each in self.links.values() if each.dialled and self._greetings.due(each, now_us)]:
            self._greetings.greet(link, turn)
        self._ping(turn)
        return heard

    def _ping(self, turn: Turn) -> None:
        """Say that this node is there; nearly all of it is the same for all."""
        alike: dict[tuple[bool, bool], list[LinkKey]] = {}
        links = [each for each in self.links.values() if each.state in _OPEN]
        for link, measure in self._heartbeats.beat(links, turn.now.mono_us):
            alike.setdefault((measure, link.state == "up"), []).append(link.key)
        for (measure, used), keys in alike.items():
            turn.control_all(keys, {"t": "ping", "at": turn.now.mono_us if measure else None, "used": used})

    def _end_silent(self, silent: list[Link], turn: Turn) -> list[Heard]:
        """Give up on connections on which nothing is heard: the spares first, so that none of them takes over."""
        heard: list[Heard] = []
        for link in sorted(silent, key=lambda link: link.state == "up"):
            if not link.dialled and not (link.left and link.state == "down"):
                del self.links[link.key]
            if link.state in ("up", "spare"):
                heard += self._connections.lower(link, f"silent for {self._dead_after_us / 1e6:g} s", "down", turn)
        return heard

    def goodbye(self, turn: Turn) -> None:
        """Tell every peer that this node leaves in good order, and who refuses its name that it asks no more."""
        asked = [link.key for link in self.links.values() if link.connected and link.refused == "name"]
        turn.control_all([*self.up(), *asked], {"t": "goodbye", "origin": self.me.origin, "life": self.me.life})
