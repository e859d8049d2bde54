"""Links: how two nodes greet, who of two connections is used, and when a link counts as down. Rules, no sockets.

    dialler                                   acceptor
    ── connected ──▶ hello ─────────────────▶  checks version, name, a second connection
                     hello | refuse ◀────────
    interest ──────────────────────────────▶ ◀─────────────────────────── interest
    frames, ping/pong, interest, interest_ack … both ways, until nothing was heard for `dead_after_s`

    connecting ─▶ greeting ─▶ up ◀──▶ spare     another connection to the same peer is in use
                     │         └─▶ down ─▶ greeting …       by the dialler, as long as the connection stands
                     └──▶ refused   the reason is shown; tried again with the next connection

One TCP connection carries a link, whoever dialled it. Of several to one peer both ends use the one of least rank (name
of the dialler, address it dialled): both know it, so they agree without asking. The others stay open as spares.

A link outlives its connections: when another one of the same peer, in the same life of it, takes over, the link has
`moved`, and nobody is told that it was down. What was said on it before stands, and is said again as a whole, because
the end of it may be lost. Who loses the connection in use takes a spare at once and tells the far end to `use` it.
Where both ends use different ones nevertheless, the pings say so, and the end with the greater name follows. Until both
have changed, either end takes frames and talk from a spare, too; only what says a change to what was said before counts
on the connection in use alone.

A greeting that is no answer comes from somebody who may have lost sight of this node: it is told everything again.

Control messages are 0x00 and JSON; a frame never begins with 0x00. A frame on a connection that has not greeted is not
looked at: who accepted it asks `who` that is, who dialled it greets again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.errors import MalformedFrame
from mesh.requests import unpack_control
from node.clock import Now
from node.link import (
    LINK_PROTOCOL,
    LINK_PROTOCOL_MIN,
    NAMED,
    TALK,
    Heard,
    Identity,
    Link,
    LinkState,
    Refusal,
    Talk,
    objection,
    same_life,
    same_name,
    same_origin,
)
from node.rivals import HELD_MS, Greeting, Rivals, Verdict
from node.turn import CONTROL, LinkKey, Turn

_GREETING_S = 2.0
"""A greeting unanswered for this long is sent again; so often, too, a peer is called that fell silent."""
_SPARED = "another connection is used"
_MEASURED_BEATS = 5
"""Every so many heartbeats the round trip and the far clock are measured."""
_SETTLED_S = 3.0
"""What both ends use is the same again within this time, unless something went wrong."""
_WALL_US_MAX = 1 << 62
_ACCEPTED_SILENT_MAX = 1024
"""Accepted connections that have not greeted; more are not remembered."""


class Links:
    """All connections of a node. Methods return what others must hear of; what to send goes into the turn.

    `began_us`: when this process began, on the monotonic clock.
    """

    def __init__(self, me: Identity, heartbeat_s: float, dead_after_s: float, began_us: int = 0) -> None:
        self.me = me
        self.began_us = began_us
        self.links: dict[LinkKey, Link] = {}
        self.strangers = 0
        self._heartbeat_us = int(heartbeat_s * 1e6)
        self._dead_after_us = int(dead_after_s * 1e6)
        self._next_ping_us = 0
        self._beats = 0
        self._pardon_us = 0
        self._rivals = Rivals()

    def pardon(self, now: Now) -> None:
        """This node was stopped itself: no link is given up for what was not heard until now."""
        self._pardon_us = now.mono_us

    def dial(self, addresses: Iterable[str]) -> None:
        """Begin with these addresses; the sockets connect by themselves and report."""
        for address in addresses:
            self.links[address] = Link(address, address, dialled_at=address)

    def undial(self, addresses: Iterable[str], turn: Turn) -> list[Heard]:
        """End these connections, and do not make them again."""
        gone = [self.links.pop(address) for address in addresses if address in self.links]
        return [heard for link in gone for heard in self._lower(link, "not dialled any more", "down", turn)]

    def up(self) -> set[LinkKey]:
        """The links in use."""
        return {key for key, link in self.links.items() if link.state == "up"}

    # ── what the sockets report ──────────────────────────────────────────────────────────────────────────────────────

    def connected(self, key: LinkKey, turn: Turn) -> None:
        """A dialled connection stands: greet."""
        link = self.links.get(key)
        if link is not None:  # else it was let go of meanwhile
            link.connected, link.reason = True, ""
            self._greet(link, turn)

    def disconnected(self, key: LinkKey, reason: str, turn: Turn) -> list[Heard]:
        """A connection is gone (dialled ones are tried again by their sockets)."""
        self._rivals.ended(key)
        link = self.links.get(key)
        if link is None:
            return []
        if not link.dialled:
            del self.links[key]
        link.connected = False
        return self._lower(link, reason, "down" if link.origin else "connecting", turn)

    def receive(self, key: LinkKey, data: bytes, turn: Turn) -> tuple[Link | None, list[Heard]]:
        """Take one message. A link in the answer means: `data` is a frame, and may come in over that link."""
        link = self.links.get(key)
        if data[:1] == CONTROL:
            return None, self._control(key, link, unpack_control(data[1:]), turn)
        through = self._through(link)
        if link is None or through is None:
            self.strangers += 1
            self._ask_who(key, link, turn)
            return None, []
        self._heard(link, turn.now)
        link.received += 1
        return through, []

    def _through(self, link: Link | None, changes: bool = False) -> Link | None:
        """The link that speaks over a connection: itself if in use, else the one for which it is a spare."""
        if link is None or link.state == "up":
            return link
        used = self._used(link.name) if link.state == "spare" and not changes else None
        return used if used is not None and same_life(used, link) else None

    def _ask_who(self, key: LinkKey, link: Link | None, turn: Turn) -> None:
        """The far end holds a connection for a link that is none at this end."""
        if isinstance(key, bytes):
            turn.control(key, {"t": "who"})
        elif link is not None and link.connected and link.state == "down" and not link.left:
            self._greet(link, turn)

    def _heard(self, link: Link, now: Now) -> None:
        link.heard_us, link.heard_wall_us = now.mono_us, now.wall_us

    # ── control messages ─────────────────────────────────────────────────────────────────────────────────────────────

    def _control(self, key: LinkKey, link: Link | None, message: dict[str, Any], turn: Turn) -> list[Heard]:
        kind = message.get("t")
        if kind == "hello":
            return self._hello(key, link, message, turn)
        if kind == "pong":
            self._rivals.answered(key, str(message.get("life", "")), int(message["at"]))
        if link is None:
            self.strangers += 1
            turn.control(key, {"t": "who"})
            return []
        self._heard(link, turn.now)
        if kind == "who":
            return self._asked_who(link, turn)
        if kind == "refuse":
            return self._refused(link, message, turn)
        if kind == "goodbye":
            return self._left(link, turn)
        if kind == "use":
            return self._follow(link, turn.now)
        if kind == "ping":
            return self._pinged(link, message, turn)
        if kind == "pong":
            self._measure(link, message, turn.now)
        through = self._through(link, TALK.get(str(kind)) is Talk.CHANGES) if kind in TALK else None
        return [Heard(str(kind), through, message)] if through is not None else []

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
        return self._follow(link, turn.now)

    def _left(self, link: Link, turn: Turn) -> list[Heard]:
        """The peer stops: every connection to it is about to end."""
        alike = [each for each in self.links.values() if each.name == link.name and same_life(each, link)]
        for each in alike:
            each.left = True
        return [heard for each in alike for heard in self._lower(each, "left", "down", turn)]

    def _greet(self, link: Link, turn: Turn) -> None:
        link.state, link.acted_us = "greeting", turn.now.mono_us
        turn.control(link.key, self._greeting(link, False, turn.now))

    def _greeting(self, link: Link, answer: bool, now: Now) -> dict[str, Any]:
        how = {"answer": answer, "spare": link.state == "spare", "dialled_at": link.dialled_at}
        spoken = {"protocol": LINK_PROTOCOL, "protocol_min": LINK_PROTOCOL_MIN}
        return {"t": "hello", **spoken, **how, **self.me._asdict(), "age_s": (now.mono_us - self.began_us) / 1e6}

    def _hello(self, key: LinkKey, link: Link | None, message: Greeting, turn: Turn) -> list[Heard]:
        if link is not None and link.dialled and not link.connected:
            return []  # the end of what came over a connection that is gone brings no link up
        refusal = objection(self.me, message)
        if refusal:
            return [*self._refuse(key, link, refusal, message, turn), *self._own_rival(refusal, message)]
        holder, heard = self._used(message["name"]), []
        if holder is not None:
            found = self._rivals.judge(key, message, holder.key, holder.claim, turn.now.mono_us)
            if found in (Verdict.ASK_HOLDER, Verdict.ASK_NEWCOMER):
                return self._ask(holder.key if found is Verdict.ASK_HOLDER else key, turn)
            if found in (Verdict.WAIT, Verdict.STALE):
                return []
            if found in (Verdict.TWIN, Verdict.YOUNGER):
                return self._turn_away(key, link, message, holder, found, turn)
            heard = self._yield(holder, message, turn) if found is Verdict.ELDER else []
        return [*heard, *self._welcome(key, link, message, turn)]

    def _welcome(self, key: LinkKey, link: Link | None, message: Greeting, turn: Turn) -> list[Heard]:
        """A greeting to which nothing is to be said against."""
        if link is None:
            if sum(not each.dialled for each in self.links.values()) >= _ACCEPTED_SILENT_MAX:
                full = Refusal("full", "this node holds as many links as it may")
                return self._refuse(key, link, full, message, turn)
            link = self._accept(key, message)
        link.greeted(message, turn.now.mono_us)
        self._heard(link, turn.now)
        heard = self._others_ended(link, turn)
        if message.get("answer"):
            return heard + self._answered(link, bool(message.get("spare")), turn)
        heard += self._choose(link, turn.now) or self._moved(link, link)
        turn.control(key, self._greeting(link, True, turn.now))
        return heard

    def _others_ended(self, link: Link, turn: Turn) -> list[Heard]:
        """A peer in a new life has nothing behind its former connections any more."""
        former = [each for each in self.links.values() if each.name == link.name and not same_life(each, link)]
        former = sorted((each for each in former if each.state in ("up", "spare")), key=lambda each: each.state == "up")
        return [heard for each in former for heard in self._lower(each, "the peer restarted", "down", turn)]

    def _answered(self, link: Link, spare: bool, turn: Turn) -> list[Heard]:
        """A greeting is answered; the far end says if it uses another connection, of which this end may know or not."""
        used = self._used(link.name)
        if spare and used is not None and used is not link:
            self._spare(link, turn.now)
            return []
        if spare:
            turn.control(link.key, {"t": "use"})
        return self._choose(link, turn.now)

    def _accept(self, key: LinkKey, message: dict[str, Any]) -> Link:
        """A connection that another node dialled; a former one on which it said goodbye is forgotten."""
        for each in [each for each in self.links.values() if each.name == message["name"] and each.left]:
            if not each.dialled:
                del self.links[each.key]
        link = Link(key, str(message.get("listen", "")), str(message.get("dialled_at", "")), True)
        self.links[key] = link
        return link

    def _ask(self, key: LinkKey, turn: Turn) -> list[Heard]:
        """Ask whoever is at the far end of a connection whether it is there still."""
        turn.control(key, {"t": "ping", "at": turn.now.mono_us, "used": False})
        return []

    def _turn_away(
        self, key: LinkKey, link: Link | None, message: Greeting, holder: Link, found: Verdict, turn: Turn
    ) -> list[Heard]:
        """A second living node of a name is not let in, and the first is told of it."""
        told = {field: str(message.get(field, "")) for field in ("origin", "listen")}
        turn.control(holder.key, {"t": "rival", **told})
        twin = found is Verdict.TWIN
        refusal = same_origin(holder.origin) if twin else same_name(holder.name, told["origin"], holder.origin)
        return self._refuse(key, link, refusal, message, turn)

    def _yield(self, holder: Link, message: Greeting, turn: Turn) -> list[Heard]:
        """Who holds a name gives way to an elder one: none of its connections is used any more, the spares first."""
        refusal = same_name(holder.name, holder.origin, str(message["origin"]))
        alike = [each for each in self.links.values() if each.name == holder.name and same_life(each, holder)]
        alike = sorted((each for each in alike if each.state in ("up", "spare")), key=lambda each: each.state == "up")
        greeted = {"name": holder.name, "origin": holder.origin, "life": holder.life}
        return [heard for each in alike for heard in self._refuse(each.key, each, refusal, greeted, turn)]

    def _own_rival(self, refusal: Refusal, message: Greeting) -> list[Heard]:
        """What a greeting in this node's own name means for others."""
        if refusal.code not in NAMED or message["name"] != self.me.name:
            return []
        return [Heard("rival", Link(b"", str(message.get("listen", ""))), dict(message))]

    def _refuse(self, key: LinkKey, link: Link | None, refusal: Refusal, greeted: Greeting, turn: Turn) -> list[Heard]:
        """Say no to who `greeted`; the words name the process that they are for."""
        meant = {field: str(greeted.get(field, "")) for field in ("origin", "life")}
        turn.control(key, {"t": "refuse", **refusal._asdict(), **meant, "by": self.me.name})
        if link is None:
            return []
        link.objected = str(greeted.get("name", ""))
        return self._end(link, refusal, turn)

    def _refused(self, link: Link, message: dict[str, Any], turn: Turn) -> list[Heard]:
        if (message.get("origin", self.me.origin), message.get("life", self.me.life)) != (self.me.origin, self.me.life):
            return []  # it was meant for a former life of this node
        refusal = Refusal(str(message.get("code", "")), str(message.get("reason", "")))
        link.refused_by, link.keeps = (str(message.get(field, ""))[:300] for field in ("by", "keeps"))
        ended = self._end(link, refusal, turn)
        return [*ended, Heard("twin", link, message)] if refusal.code == "twin" else ended

    def _end(self, link: Link, refusal: Refusal, turn: Turn) -> list[Heard]:
        link.refused, link.acted_us = refusal.code, turn.now.mono_us
        return self._lower(link, refusal.reason, "refused", turn)

    def _asked_who(self, link: Link, turn: Turn) -> list[Heard]:
        """The far end does not know this connection (it was restarted): begin again."""
        if link.state == "greeting" or not link.dialled or not link.connected:
            return []
        heard = self._lower(link, "the peer restarted", "down", turn)
        self._greet(link, turn)
        return heard

    # ── which connection is used ─────────────────────────────────────────────────────────────────────────────────────

    def _choose(self, link: Link, now: Now) -> list[Heard]:
        """Use this connection unless one of lesser rank is; of two alike the newer, for the older one is gone."""
        rival = self._used(link.name)
        if link is rival:
            return []
        if rival is None:
            link.state = "up"
            return [Heard("up", link, {})]
        if self._rank(rival) < self._rank(link):
            self._spare(link, now)
            return []
        self._spare(rival, now)
        return self._moved(rival, link)

    def _spare(self, link: Link, now: Now) -> None:
        link.state, link.reason, link.acted_us = "spare", _SPARED, now.mono_us

    def _follow(self, link: Link, now: Now) -> list[Heard]:
        """The far end uses this connection: so does this one."""
        used = self._used(link.name)
        if link.state not in ("up", "spare") or used is None:
            return []
        if used is not link:
            self._spare(used, now)
        return self._moved(used, link)

    def _moved(self, old: Link, new: Link) -> list[Heard]:
        """A link goes on over another connection, or over the same for somebody who lost sight of it."""
        used = self._used(new.name) if old is new else new
        if used is None:
            return []
        used.state, used.reason = "up", ""
        return [Heard("moved", used, {"from": used.key if old is new else old.key})]

    def _used(self, name: str) -> Link | None:
        """The link to the peer of that name, if one is up."""
        return next((each for each in self.links.values() if each.name == name and each.state == "up"), None)

    def _rank(self, link: Link) -> tuple[str, str]:
        return (self.me.name if link.dialled else link.name), link.dialled_at

    def _lower(self, link: Link, reason: str, state: LinkState, turn: Turn) -> list[Heard]:
        """A connection is of no more use; a spare takes its place, or the link is down."""
        was_up = link.state == "up"
        link.state, link.reason = state, reason
        if not was_up:
            return []
        spares = [each for each in self.links.values() if each.state == "spare" and same_life(each, link)]
        heir = min((each for each in spares if not each.left), key=self._rank, default=None)
        if heir is None:
            return [Heard("down", link, {})]
        turn.control(heir.key, {"t": "use"})
        return self._moved(link, heir)

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
        longest_ms = min(longest_ms, HELD_MS) if self._rivals.held else longest_ms
        return min(longest_ms, max(0, -((now.mono_us - self._next_ping_us) // 1000)))

    def tick(self, turn: Turn) -> list[Heard]:
        """Ping, give up on silent links, greet again where an answer is overdue. Once per heartbeat.

        The ping alone says that this node is there; an answer, which measures, is asked for now and then.
        """
        now_us = turn.now.mono_us
        held = self._rivals.held
        heard = [each for key, greeting in held for each in self._hello(key, self.links.get(key), greeting, turn)]
        if now_us < self._next_ping_us:
            return heard
        self._next_ping_us = turn.now.beat(self._heartbeat_us)
        self._beats += 1
        heard_since_us = now_us - self._dead_after_us
        if self._pardon_us < heard_since_us:
            heard += self._end_silent([link for link in self.links.values() if link.heard_us < heard_since_us], turn)
        for place, link in enumerate(self.links.values()):
            if link.state in ("up", "spare"):
                measure = link.rtt_us is None or (self._beats + place) % _MEASURED_BEATS == 0
                turn.control(link.key, {"t": "ping", "at": now_us if measure else None, "used": link.state == "up"})
            elif link.dialled and self._greeting_due(link, now_us):
                self._greet(link, turn)
        return heard

    def _end_silent(self, silent: list[Link], turn: Turn) -> list[Heard]:
        """Give up on connections on which nothing is heard: the spares first, so that none of them takes over."""
        heard: list[Heard] = []
        for link in sorted(silent, key=lambda link: link.state == "up"):
            if not link.dialled and not (link.left and link.state == "down"):
                del self.links[link.key]
            if link.state in ("up", "spare"):
                heard += self._lower(link, f"silent for {self._dead_after_us / 1e6:g} s", "down", turn)
        return heard

    def _greeting_due(self, link: Link, now_us: int) -> bool:
        """Whether a standing connection should be greeted.

        Nothing came back, or another node has the name of one of both and may be gone by now.
        """
        named = link.state == "refused" and link.refused in NAMED and self._used(link.objected) is None
        waits = link.connected and not link.left and (link.state in ("greeting", "down") or named)
        return waits and now_us - link.acted_us > _GREETING_S * 1e6

    def goodbye(self, turn: Turn) -> None:
        """Tell every peer that this node leaves in good order."""
        for key in self.up():
            turn.control(key, {"t": "goodbye"})
