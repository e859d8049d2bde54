"""The neighbours: what the links' messages mean for the rest of the node, and what the peers are told.

link up, down ───────────▶ routes, interest (`node.spreading`), gaps (`node.repair`)
frame ───────────────────▶ the intake; one ahead of its turn shows a gap
interest, interest_ack ──▶ `node.spreading`
beacon, heads, digest ───▶ how far others are: `node.repair`
want, served ────────────▶ `node.serving`, `node.fetching`, `node.repair`
reach ───────────────────▶ who links with whom: `node.carrying`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

from mesh.errors import MalformedFrame
from mesh.frame import REPLAYED, passed_on
from node.beginnings import Beginnings
from node.carrying import Carrying
from node.clock import Now
from node.comparing import Comparing
from node.fetching import Fetching
from node.inbox import LinkEvent
from node.intake import Intake
from node.link import Heard, Link
from node.links import Links, only_says_it_lives
from node.repair import HEARSAY_S, Repair
from node.routes import Routes
from node.serving import Serving
from node.speaking import Speaking
from node.spreading import Spreading
from node.state import State
from node.telling import VERSION_BITS
from node.turn import NONSENSE, LinkKey, Turn, integer
from node.wanting import Wanting

Fields = dict[str, Any]
_PENDING_MS = 50
_LOOK_S = 0.5
"""How often it is looked at who is missed."""
REACH_S = 0.02
"""How far apart changes of who is reached are told, for each neighbour: all tell all, which grows with the cube."""

NAMED_S = 5.0
"""Within this time a member that lives is known to all: who is still unheard of then came before its namesake."""


class Neighbours:
    """The node's side towards its peers. `others` are told everything that links report, too.

    `lost_for_good` says whether an origin will never speak again. `stirred`: since the last tick something has come
    that says more than that somebody lives.
    """

    def __init__(
        self,
        state: State,
        links: Links,
        others: tuple[Callable[[Heard, Turn], None], ...],
        routes: Routes,
        speaking: Speaking,
        wanting: Wanting,
        intake: Intake,
        lost_for_good: Callable[[str], bool],
        counts: Counter[str],
    ) -> None:
        self.links = links
        self.routes = routes
        self._speaking = speaking
        self._others = others
        self._state = state
        self._intake = intake
        self._counts = counts
        self._wanting = wanting
        self._lost_for_good = lost_for_good
        self._unheard: dict[str, int] = {}
        self._beginnings = Beginnings(state, routes, wanting, intake)
        self.spreading = Spreading(state, routes, speaking, wanting, self._beginnings, links.me)
        self.repair = Repair(state, routes, intake, lost_for_good, counts)
        self.serving = Serving(state)
        self._fetching = Fetching(state, speaking)
        self._comparing = Comparing(state, routes, speaking)
        self._carrying = Carrying(state.name)
        self._reached: frozenset[str] = frozenset()
        self._reach_version = links.me.incarnation << VERSION_BITS
        self._look_us = self._reach_us = 0
        self.stirred = False
        self._talk: dict[str, Callable[[Link, Fields, Turn], None]] = {
            "up": self._up,
            "down": self._down,
            "moved": self._moved,
            "interest": self.spreading.interest,
            "interest_ack": self._answered,
            "beacon": self._beacon,
            "heads": self._heads,
            "digest": self._compare,
            "want": self._want,
            "served": self.repair.served,
            "reach": self._reach,
        }

    # ── what arrives ─────────────────────────────────────────────────────────────────────────────────────────────────

    def happened(self, event: LinkEvent, turn: Turn) -> None:
        """Something happened to a connection."""
        key, what, detail = event
        if what == "connected":
            self.links.connected(key, turn)
        elif what == "disconnected":
            self._heed(self.links.disconnected(key, detail, turn), turn)
        elif what == "unreached":
            self.links.unreached(key, detail)
        elif what == "unmade":
            self.links.unmade(key, detail)
        elif what == "dropped":
            self._dropped(key, int(detail))
        else:
            self._counts[f"refused connection: {detail}"] += 1

    def _dropped(self, key: LinkKey, count: int) -> None:
        self._counts["dropped at a link"] += count
        link = self.links.links.get(key)
        if link:
            link.dropped += count

    def receive(self, key: LinkKey, data: bytes, turn: Turn) -> None:
        """One message from a connection: a frame for the intake, or control."""
        self._answers_left(turn)
        try:
            link, heard = self.links.receive(key, data, turn)
            self.stirred |= bool(heard) or not only_says_it_lives(data)
            if link is not None:
                self._frame(link, data, turn)
            self._heed(heard, turn)
        except MalformedFrame as error:
            self._counts[f"malformed {error.kind}"] += 1
        except NONSENSE:
            self._counts["malformed control"] += 1

    def _frame(self, link: Link, data: bytes, turn: Turn) -> None:
        frame = self._intake.forwarded(data, link.key, turn)
        if frame is not None:
            self.repair.arrived(frame.origin, frame.topic, frame.last, link.key)
            if frame.flags & REPLAYED:
                link.repaired += frame.count
                turn.links += [(asker, passed_on(data)) for asker in self._fetching.askers(link.key, frame)]

    def _heed(self, heard: list[Heard], turn: Turn) -> None:
        for each in heard:
            for heed in self._others:
                heed(each, turn)
            take = self._talk.get(each.kind)
            if take is not None:
                take(each.link, each.fields, turn)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, turn: Turn) -> None:
        """Heartbeats; tell the peers what has changed; ask for what is missing, serve what is asked."""
        self.stirred = False
        self._answers_left(turn)
        self._heed(self.links.tick(turn), turn)
        self._look_around(turn)
        self.spreading.tick(turn)
        self._comparing.tick(turn)
        if not self._intake.closed:
            self.repair.tick(turn)
        self.serving.serve(turn)
        self._fetching.tick(turn)

    def idle_ms(self, now: Now, longest_ms: int) -> int:
        """How long nothing is due here, in milliseconds."""
        if self.spreading.waiting or self.repair.open:
            longest_ms = min(longest_ms, _PENDING_MS)
        longest_ms = self.links.idle_ms(now, longest_ms)
        return self.serving.idle_ms(now, longest_ms)

    def _look_around(self, turn: Turn) -> None:
        """Say who is reached from here when that has changed, and have those carried who are missed."""
        if turn.now.mono_us < self._look_us or self.routes.leaf:
            return
        self._look_us = turn.now.later(_LOOK_S)
        reached = frozenset(each.name for each in self.routes.neighbours.values() if not each.leaf)
        if reached != self._reached and (turn.now.mono_us >= self._reach_us or self._carries(self._reached - reached)):
            self._reach_us = turn.now.later(REACH_S * len(self.routes.neighbours))
            fields = {"names": sorted(reached - self._reached), "lost": sorted(self._reached - reached), "whole": False}
            self._reached = reached
            self._reach_version += 1
            turn.control_all(self.routes.neighbours, self._reach_says(fields))
        self.spreading.ask_to_carry(self._carrying.choose(self.routes.neighbours, self.spreading.carry, turn.now))

    def detour(self, name: str) -> str | None:
        """The neighbour asked to carry for a member, "" while there is none; None when none of them reaches it."""
        asked = next((key for key, names in self.spreading.carry.items() if name in names), None)
        if asked in self.routes.neighbours:
            return self.routes.neighbours[asked].name
        return "" if self._carrying.reaches(name) or not self.routes.neighbours else None

    def _carries(self, lost: frozenset[str]) -> bool:
        """Whether somebody relies on this node for one of these."""
        return any(lost & each.carried for each in self.routes.neighbours.values())

    # ── talk ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _up(self, link: Link, _: Fields, turn: Turn) -> None:
        self.spreading.up(link, turn)
        self._comparing.up(link.key, turn.now)
        self.repair.up(turn.now)
        self._say_reached(link.key, turn)

    def _say_reached(self, key: LinkKey, turn: Turn) -> None:
        fields = {"names": sorted(self._reached), "lost": [], "whole": True}
        turn.control(key, self._reach_says(fields))

    def _reach_says(self, fields: Fields) -> Fields:
        return {"t": "reach", "life": self.links.me.life, "version": self._reach_version, **fields}

    def _moved(self, link: Link, fields: Fields, turn: Turn) -> None:
        """A link goes on over another connection: what is known of the far end stands, and it is told all again."""
        old, new = fields["from"], link.key
        self.spreading.moved(old, new, turn)
        for part in (self.repair, self.serving, self._fetching, self._comparing, self._carrying):
            part.moved(old, new)
        self._say_reached(new, turn)

    def _down(self, link: Link, _: Fields, turn: Turn) -> None:
        self.spreading.down(link.key)
        for part in (self.repair, self.serving, self._fetching, self._comparing, self._carrying):
            part.forget(link.key)

    def _answered(self, link: Link, fields: Mapping[str, Any], turn: Turn) -> None:
        self.spreading.answered(link, fields, lambda row: self.repair.learn(*row, link.key), turn)

    def _answers_left(self, turn: Turn) -> None:
        """Place what was answered while the disk took nothing."""
        for key, fields in self.spreading.answers_left():
            try:
                self._answered(self.links.links[key], fields, turn)
            except NONSENSE:
                self._counts["malformed control"] += 1

    def _beacon(self, link: Link, fields: Fields, turn: Turn) -> None:
        """A neighbour says how far the streams reach that it brings here."""
        for origin, topic, head in fields["heads"]:
            self._learn(link, str(origin), str(topic), integer(head), 0, turn)

    def _heads(self, link: Link, fields: Fields, turn: Turn) -> None:
        """A neighbour says how far it is in streams that, for all it knows, others bring here."""
        for origin, topic, head in fields["heads"]:
            since_us = self._unheard_since(str(origin), turn.now)
            if since_us is None or turn.now.mono_us - since_us >= NAMED_S * 1e6:
                bygone = since_us is not None
                self._learn(link, str(origin), str(topic), integer(head), turn.now.later(HEARSAY_S), turn, bygone)

    def _unheard_since(self, origin: str, now: Now) -> int | None:
        """Since when an origin that has a namesake here is known by hearsay alone, and not as one that may still speak.

        None for any other. Which of the two came first cannot be told from their names.
        """
        if not self._wanting.has_namesake(origin) or self.routes.heard.ways(origin) or not self._lost_for_good(origin):
            self._unheard.pop(origin, None)
            return None
        return self._unheard.setdefault(origin, now.mono_us)

    def _learn(
        self,
        link: Link,
        origin: str,
        topic: str,
        head: int,
        not_before_us: int,
        turn: Turn,
        bygone: bool = False,
    ) -> None:
        """What is held here of a stream, or was wanted all along, is owed; what nobody here wants is passed over."""
        if not self._speaking.wants(topic):
            return
        known = self._state.relay.streams.get((origin, topic))
        if known is None or known.head == known.base:
            self._beginnings.place((origin, topic, head), lambda row: None, turn, bygone)
        self.repair.learn(origin, topic, head, link.key, not_before_us)

    def _compare(self, link: Link, fields: Fields, turn: Turn) -> None:
        self._comparing.compare(link.key, [int(each) for each in fields["buckets"]], turn)

    def _want(self, link: Link, fields: Fields, turn: Turn) -> None:
        """Somebody is behind: what is here is served, what never was is fetched for it."""
        self.serving.want(link.key, integer(fields["id"]), fields["ranges"])
        self._fetching.want(link.key, fields["ranges"], turn)

    def _reach(self, link: Link, fields: Fields, turn: Turn) -> None:
        names, lost = ([intern(str(name)) for name in fields[key]] for key in ("names", "lost"))
        self._carrying.reach(link.key, int(fields["version"]), names, bool(fields["whole"]), lost)
