"""Greetings: how two nodes come to know who is at the far end, and who is not let in. Rules, no sockets.

    dialler                                   acceptor
    ── connected ──▶ hello ─────────────────▶  checks version, name, a second process of that name
                     hello | refuse ◀────────

    stands, no answer for `_GREETING_S`       said again
    refused for a name                        said again as often: who has it may be gone by then
    a hello that is no answer                 from somebody who may have lost sight of this node: it is told all again

Who greets in a name that is linked already is another connection of the same process, a restart of it, or a rival: that
is judged in `node.rivals`. A refusal names the process that it is for, because what waits for a connection may be read
by a later life of the node. It says the reason, who says no, and who has the name instead.
"""

from __future__ import annotations

from typing import Any

from mesh.errors import MalformedFrame
from node.clock import Now
from node.connections import Connections
from node.link import (
    LINK_PROTOCOL,
    LINK_PROTOCOL_MIN,
    NAMED,
    Heard,
    Identity,
    Link,
    Refusal,
    objection,
    same_name,
    same_origin,
)
from node.rivals import HELD_MS, Greeting, Rivals, Verdict
from node.turn import LinkKey, Turn

_GREETING_S = 2.0
"""A greeting unanswered for this long is sent again; so often, too, a peer is called that fell silent."""
_ACCEPTED_SILENT_MAX = 1024
"""Accepted connections that have not greeted; more are not remembered."""
_LEFT_MAX = 64
"""Accepted connections on which somebody said goodbye, and that are remembered; of more, the oldest are forgotten."""
_TEXT_MAX = 300


class Greetings:
    """One node's greetings, said and heard. `me`: what it says of itself; `began_us`: when its process began.

    `bears_s`: the silence after which a peer counts as dead here; it is told how often it has to be heard.
    """

    def __init__(self, me: Identity, began_us: int, bears_s: float, connections: Connections) -> None:
        self.me = me
        self.began_us = began_us
        self._bears_s = bears_s
        self._connections = connections
        self._table = connections.links
        self._rivals = Rivals()

    def greet(self, link: Link, turn: Turn) -> None:
        """Say who this node is over a connection that it dialled; a goodbye from before is about another life."""
        link.state, link.acted_us, link.left = "greeting", turn.now.mono_us, False
        turn.control(link.key, self._greeting(link, False, turn.now))

    def _greeting(self, link: Link, answer: bool, now: Now) -> dict[str, Any]:
        how = {"answer": answer, "spare": link.state == "spare", "dialled_at": link.dialled_at}
        spoken = {"protocol": LINK_PROTOCOL, "protocol_min": LINK_PROTOCOL_MIN}
        age_s = (now.mono_us - self.began_us) / 1e6
        return {"t": "hello", **spoken, **how, **self.me._asdict(), "age_s": age_s, "bears_s": self._bears_s}

    def due(self, link: Link, now_us: int) -> bool:
        """Whether a standing connection should be greeted.

        Nothing came back, or another node has the name of one of both and may be gone by now.
        """
        named = link.state == "refused" and link.refused in NAMED and self._connections.used(link.objected) is None
        waits = link.connected and not link.left and (link.state in ("greeting", "down") or named)
        return waits and now_us - link.acted_us > _GREETING_S * 1e6

    def asked_who(self, link: Link, turn: Turn) -> list[Heard]:
        """The far end does not know this connection (it was restarted): begin again."""
        if link.state == "greeting" or not link.dialled or not link.connected:
            return []
        heard = self._connections.lower(link, "the peer restarted", "down", turn)
        self.greet(link, turn)
        return heard

    def again(self, turn: Turn) -> list[Heard]:
        """Look again at the greetings that are held."""
        held = self._rivals.held
        return [each for key, greeting in held for each in self.hello(key, self._table.get(key), greeting, turn)]

    def idle_ms(self, longest_ms: int) -> int:
        """How long nothing is due here, in milliseconds."""
        return min(longest_ms, HELD_MS) if self._rivals.held else longest_ms

    def ended(self, key: LinkKey) -> None:
        """A connection is gone, or let go of, and with it who greeted over it."""
        self._rivals.ended(key)

    def ponged(self, key: LinkKey, message: dict[str, Any]) -> None:
        """An answer came over a connection: perhaps to what was asked about a greeting."""
        self._rivals.answered(key, str(message.get("life", "")), int(message["at"]))

    # ── greetings of others ──────────────────────────────────────────────────────────────────────────────────────────

    def hello(self, key: LinkKey, link: Link | None, message: Greeting, turn: Turn) -> list[Heard]:
        """Somebody greets, or answers a greeting. Who is there under one name does not greet under another.

        A malformed one is refused at once: it may be judged when nobody is there to blame for it, or a link has ended
        on account of it.
        """
        if isinstance(key, str) and (link is None or not link.connected):
            return []  # the end of what came over a connection that is gone, or was let go of, brings no link up
        refusal = objection(self.me, message)
        if refusal:
            rival = self._own_rival(refusal, message)
            return [*self._refuse(key, link, refusal, message, turn), *rival]
        if link is not None and link.state in ("up", "spare") and link.name != message["name"]:
            raise MalformedFrame("hello", f"{link.name} greets as {str(message['name'])[:_TEXT_MAX]}")
        greeter = self._greeter(key, message, turn)
        holder, heard = self._connections.used(message["name"]), []
        if holder is not None:
            found = self._rivals.judge(key, message, holder.key, holder.claim, turn.now.mono_us)
            if found in (Verdict.ASK_HOLDER, Verdict.ASK_NEWCOMER, Verdict.ASK_FORMER):
                return self._ask(holder.key if found is Verdict.ASK_HOLDER else key, turn)
            if found in (Verdict.WAIT, Verdict.STALE):
                return []
            if found in (Verdict.TWIN, Verdict.YOUNGER):
                return self._turn_away(greeter, link, message, holder, found, turn)
            heard = self._yield(holder, message, turn) if found is Verdict.ELDER else []
        return [*heard, *self._welcome(key, link, message, turn)]

    def _welcome(self, key: LinkKey, link: Link | None, message: Greeting, turn: Turn) -> list[Heard]:
        """A greeting to which nothing is to be said against; another one over the same connection is held no longer."""
        if link is None:
            if sum(not (each.dialled or each.left) for each in self._table.values()) >= _ACCEPTED_SILENT_MAX:
                full = Refusal("full", "this node holds as many links as it may")
                return self._refuse(key, link, full, message, turn)
            link = self._accept(key, message)
        self._rivals.ended(key)
        former = link.claim
        link.greeted(message, turn.now.mono_us)
        link.spoke(turn.now)
        heard = self._connections.end_former_lives(link, former, turn)
        if message.get("answer"):
            return heard + self._connections.answered(link, bool(message.get("spare")), turn)
        heard += self._connections.choose(link, turn.now) or self._connections.moved(link, link)
        turn.control(key, self._greeting(link, True, turn.now))
        return heard

    def _accept(self, key: LinkKey, message: dict[str, Any]) -> Link:
        """A connection that another node dialled; a former one on which it said goodbye is forgotten.

        So are the oldest on which others did, who may never be back.
        """
        left = [each for each in self._table.values() if each.left and not each.dialled]
        for place, each in enumerate(left, start=_LEFT_MAX - len(left)):
            if place < 0 or each.name == message["name"]:
                del self._table[each.key]
        link = Link(key, str(message.get("listen", "")), str(message.get("dialled_at", "")), True)
        self._table[key] = link
        return link

    def _ask(self, key: LinkKey, turn: Turn) -> list[Heard]:
        """Ask whoever is at the far end of a connection whether it is there still."""
        turn.control(key, {"t": "ping", "at": turn.now.mono_us, "used": False})
        return []

    def _turn_away(
        self, asker: Link, link: Link | None, message: Greeting, holder: Link, found: Verdict, turn: Turn
    ) -> list[Heard]:
        """A second living node of a name is not let in, and the first is told of it."""
        twin = found is Verdict.TWIN
        asks = [] if twin else [Heard("asks", asker, {})]
        turn.control(holder.key, {"t": "rival", **_rival(message)})
        refusal = same_origin(holder.origin) if twin else same_name(holder.name, message["origin"], holder.origin)
        return [*self._refuse(asker.key, link, refusal, message, turn), *asks]

    def _greeter(self, key: LinkKey, message: Greeting, turn: Turn) -> Link:
        """Who greets, whatever becomes of it. Raises where the greeting is malformed; once it was held is too late."""
        greeter = Link(key, str(message.get("listen", "")))
        greeter.greeted(message, turn.now.mono_us)
        return greeter

    def _yield(self, holder: Link, message: Greeting, turn: Turn) -> list[Heard]:
        """Who holds a name gives way to an elder one: none of its connections is used any more, the spares first."""
        refusal = same_name(holder.name, holder.origin, str(message["origin"]))
        alike = [each for each in self._connections.alike(holder) if each.state in ("up", "spare")]
        greeted = {"name": holder.name, "origin": holder.origin, "life": holder.life}
        return [heard for each in alike for heard in self._refuse(each.key, each, refusal, greeted, turn)]

    def _own_rival(self, refusal: Refusal, message: Greeting) -> list[Heard]:
        """What a greeting in this node's own name means for others."""
        if refusal.code not in NAMED or message["name"] != self.me.name:
            return []
        return [Heard("rival", Link(b"", ""), _rival(message))]

    def _refuse(self, key: LinkKey, link: Link | None, refusal: Refusal, greeted: Greeting, turn: Turn) -> list[Heard]:
        """Say no to who `greeted`; the words name the process that they are for."""
        meant = {field: str(greeted.get(field, "")) for field in ("origin", "life")}
        turn.control(key, {"t": "refuse", **refusal._asdict(), **meant, "by": self.me.name})
        if link is None:
            return []
        link.objected = str(greeted.get("name", ""))
        return self._end(link, refusal, turn)

    # ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def refused(self, link: Link, message: dict[str, Any], turn: Turn) -> list[Heard]:
        """The far end does not let this node in."""
        if (message.get("origin", self.me.origin), message.get("life", self.me.life)) != (self.me.origin, self.me.life):
            return []  # it was meant for a former life of this node
        refusal = Refusal(str(message.get("code", "")), str(message.get("reason", "")))
        link.refused_by, link.keeps = (str(message.get(field, ""))[:_TEXT_MAX] for field in ("by", "keeps"))
        ended = self._end(link, refusal, turn)
        return [*ended, Heard("twin", link, message)] if refusal.code == "twin" else ended

    def _end(self, link: Link, refusal: Refusal, turn: Turn) -> list[Heard]:
        link.refused, link.acted_us = refusal.code, turn.now.mono_us
        return self._connections.lower(link, refusal.reason, "refused", turn)


def _rival(greeting: Greeting) -> dict[str, str]:
    """Who greets in a name that is taken: its origin, and the best address by which it is found."""
    best = next(iter(greeting.get("addresses", ())), greeting.get("listen", ""))
    return {"origin": greeting["origin"], "listen": str(best)[:_TEXT_MAX]}
