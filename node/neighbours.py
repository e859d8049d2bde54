"""The neighbours: what the links' messages mean for the rest of the node, and what the peers are told.

link up ────────▶ tell it our interest          interest heard ─▶ Interest, acknowledged
link down ──────▶ forget its interest           interest_ack ───▶ registrations that wait for it
frame ──────────▶ the intake                    our interest changed ─▶ tell every peer
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from mesh.errors import MalformedFrame
from mesh.topic import PatternSet
from node.intake import Intake
from node.link import Heard, Link
from node.links import Links
from node.membership import Membership
from node.sessions import Sessions
from node.state import State
from node.turn import NONSENSE, LinkKey, Turn
from node.wanting import Wanting

LinkEvent = tuple[LinkKey, str, str]
"""What the sockets saw happen to a connection: key, one of connected, disconnected, dropped, stranger, and a detail."""


class Neighbours:
    """The node's side towards its peers."""

    def __init__(
        self,
        state: State,
        links: Links,
        membership: Membership,
        sessions: Sessions,
        intake: Intake,
        counts: Counter[str],
    ) -> None:
        self.links = links
        self._membership = membership
        self._state = state
        self._sessions = sessions
        self._intake = intake
        self._counts = counts
        self._announced = -1
        self._wanting = Wanting(state)

    def happened(self, event: LinkEvent, turn: Turn) -> None:
        """Something happened to a connection."""
        key, what, detail = event
        if what == "connected":
            self.links.connected(key, turn)
        elif what == "disconnected":
            self._heed(self.links.disconnected(key, detail), turn)
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
        try:
            link, heard = self.links.receive(key, data, turn)
            if link is not None:
                self._intake.forwarded(data, turn)
            self._heed(heard, turn)
        except MalformedFrame as error:
            self._counts[f"malformed {error.kind}"] += 1
        except NONSENSE:
            self._counts["malformed control"] += 1

    def tick(self, turn: Turn) -> None:
        """Heartbeats; and tell every peer when what is wanted here has changed."""
        self._heed(self.links.tick(turn), turn)
        if self._announced != self._state.interest.version:
            self._announced = self._state.interest.version
            self._wanting.shrink()
            for key in self.links.up():
                self._tell_interest(key, turn)
        if not self._intake.closed:
            self._wanting.keep(turn)

    def _heed(self, heard: list[Heard], turn: Turn) -> None:
        interest = self._state.interest
        for each in heard:
            self._membership.heed(each, turn)
            kind, link, fields = each
            if kind == "interest":
                self._answer_interest(link, fields, turn)
            elif kind == "interest_ack":
                self._begin_streams(link, fields, turn)
                self._sessions.registrations.interest_known(link.key, int(fields["version"]))
            elif kind == "up":
                self._tell_interest(link.key, turn)
            elif kind == "down":
                interest.forget(link.key)
                self._wanting.forget(link.key)

    def _answer_interest(self, link: Link, fields: dict[str, Any], turn: Turn) -> None:
        """Note what the peer wants; tell it where our streams of topics it did not want before stand."""
        interest, patterns = self._state.interest, tuple(map(str, fields["patterns"]))
        before, now = PatternSet(interest.of(link.key)), PatternSet(patterns)
        interest.announced(link.key, patterns)
        relay = self._state.relay
        heads = relay.heads_of(self._state.origin, lambda topic: now.matches(topic) and not before.matches(topic))
        turn.control(link.key, {"t": "interest_ack", "version": fields["version"], "heads": heads})

    def _begin_streams(self, link: Link, fields: dict[str, Any], turn: Turn) -> None:
        """Place the beginning of the peer's streams that come to light with its answer.

        Where nobody here wanted the topic until now, that is the head it names; what was wanted all along is owed from
        its first event. A stream that is known and that a durable consumer is owed has its beginning already.
        """
        before = self._wanting.before(link.origin)
        for topic, head in fields["heads"]:
            if before.matches(str(topic)):
                self._intake.begin_stream(link.origin, str(topic), 0, turn)
            elif not self._state.owed(link.origin, str(topic)):
                self._intake.begin_stream(link.origin, str(topic), int(head), turn)
        version = int(fields["version"])
        turn.once_committed.append(lambda: self._wanting.answered(link.key, link.origin, version))

    def _tell_interest(self, key: LinkKey, turn: Turn) -> None:
        interest = self._state.interest
        self._wanting.told(key, interest.version, interest.patterns)
        turn.control(key, {"t": "interest", "version": interest.version, "patterns": interest.patterns})
