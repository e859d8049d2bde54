"""Membership: who is in the cluster, and how this node keeps in touch with everybody. It joins the rules of its parts.

    links ──up, down, goodbye──▶ ┌ Members ┐ ──verdicts, facts──▶ `mesh peers`, the disk
    links ◀──── rows, digests ──▶│ Gossip  │
    Turn  ◀── dial, undial ──────│ Dialling│◀── seeds, and the members known from the disk
                                 └─────────┘

What a node says of itself travels in every greeting and in its gossip. Its incarnation is on disk before it is told to
anybody: whoever knows a higher one of this origin, or a later event of it, has met this database in a later state. The
database is a copy of the past then, and goes on under a new generation: a sequence must not be used twice. Which of its
events others know as different ones is for `node.divergence`.

A node whose name is used by another living node goes on for its local programs. Who has a link to the one refuses the
other; both are told, and say so (`node.conflict`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from node.addresses import usable
from node.changes import MemberRow
from node.clock import Now
from node.conflict import Conflict
from node.dialling import Dialling
from node.divergence import Divergence
from node.facts import Fact, fact_of
from node.gossip import Gossip
from node.link import NAMED, Heard, Link
from node.links import Links
from node.members import Member, Members
from node.state import State
from node.suspicion import Knobs
from node.turn import Turn


class Membership:
    """The members as one node sees them. `draw` yields numbers in [0, 1)."""

    def __init__(
        self, state: State, links: Links, limits: Knobs, seeds: Iterable[str], draw: Callable[[], float]
    ) -> None:
        self.limits = limits
        self.seeds = tuple(seeds)
        self.divergence = Divergence(state)
        self._state = state
        self._links = links
        self._draw = draw
        self.members = Members(fact_of(links.me), limits)
        self._said = self.members.me
        self._gossip = Gossip(self.members, self._usable, links.began_us)
        self._dialling = Dialling(links.me.role, self.seeds, limits, draw)
        self._awake_us: int | None = None
        self._beat_us = 0
        self._repeat_us = 0
        self._kept: dict[str, MemberRow] = {}
        generations = state.store.read_meta().get("generations", "").split()
        former = {f"{state.name}.{each}" for each in generations}
        self._conflict = Conflict(state.name, state.origin, former, limits)

    @property
    def conflict(self) -> str:
        """Which other living node has this one's name, or ""."""
        return self._conflict.said

    @property
    def isolated(self) -> bool:
        """Whether somebody refuses this node for its name."""
        return self._conflict.isolated

    def load(self, rows: Iterable[MemberRow], now_us: int) -> None:
        """Begin with the members that were known before the node was started; heard of, not seen."""
        self._repeat_us = now_us + int(self.limits.repeat_us * self._draw())
        self._conflict.begin(now_us)
        for row in rows:
            addresses = self._usable(json.loads(row.addresses))
            fact = Fact(row.name, row.origin, row.incarnation, row.sequence, addresses=addresses)
            self.members.learn(fact, now_us)
            self._kept[row.origin] = row
            self.members.unkept[row.origin] = None

    def _usable(self, addresses: Iterable[object]) -> tuple[str, ...]:
        return usable(addresses, self._links.me.addresses, self.seeds)

    # ── what the links report ────────────────────────────────────────────────────────────────────────────────────────

    def heed(self, heard: Heard, turn: Turn) -> None:
        """Take in what concerns the members; the rest is for others."""
        kind, link, fields = heard
        if kind == "up":
            self._linked(link, turn)
        elif kind == "down":
            self._unlinked(link, turn)
        elif kind == "members":
            answer = self._gossip.receive(fields, turn.now.mono_us)
            if answer is not None:
                turn.control(link.key, answer)
        elif kind == "known":
            self.divergence.heed(link, fields, turn)
        elif kind == "moved":
            self.divergence.moved(fields["from"], link.key)
        elif kind == "rival":
            self._conflict.rival(fields, link.name, turn.now.mono_us)
        elif kind == "asks":
            self._asked(link, turn)
        elif kind == "goodbye":
            self._asks_no_more(str(fields.get("origin", "")), str(fields.get("life", "")), turn)
        elif kind == "twin":
            self.divergence.suspect(str(fields.get("reason", ""))[:300], turn)

    def _linked(self, link: Link, turn: Turn) -> None:
        self.members.linked(self._fact(link), turn.now.mono_us, link.began_us)
        self._gossip.begin(link.key)
        known = self.divergence.known(link.origin)
        if known is not None:
            turn.control(link.key, known)
        self._tell_if_gone(link, turn)

    def _tell_if_gone(self, link: Link, turn: Turn) -> None:
        """Whoever is there and held for gone hears it, and contradicts."""
        row = self.members.rows.get(link.origin)
        if row is not None and row.fact.status != "here":
            turn.control(link.key, self._gossip.about(row, turn.now.mono_us))

    def _unlinked(self, link: Link, turn: Turn) -> None:
        self.divergence.down(link.key)
        if any(each.origin == link.origin and each.state == "up" for each in self._links.links.values()):
            return
        if link.left:
            self.members.left(link.origin, turn.now.mono_us, link.life)
        else:
            yields = bool(link.objected) and link.refused in NAMED
            self.members.unlinked(link.origin, link.reason, yields, link.life)
        if self._links.me.role == "leaf":
            self._say_here(turn)

    def _fact(self, link: Link) -> Fact:
        """What the far end of a connection says of itself."""
        said = link.name, link.origin, link.incarnation, link.sequence
        return Fact(*said, "here", link.role, self._usable(link.addresses or [link.address]), link.version, link.life)

    def _asked(self, link: Link, turn: Turn) -> None:
        """A node is refused for its name. No link tells it that it is held for dead, so it is told here."""
        self.members.asked(self._fact(link), turn.now.mono_us, link.began_us)
        self._tell_if_gone(link, turn)

    def _asks_no_more(self, origin: str, life: str, turn: Turn) -> None:
        """Somebody stops that is not linked: it is heeded where it was refused for its name."""
        row = self.members.rows.get(origin)
        if row is not None and row.yields and row.fact.life == life:
            self.members.left(origin, turn.now.mono_us, life)

    def _say_here(self, turn: Turn) -> None:
        """A later word of this node: it is there, whoever may have lost sight of it."""
        me = self._links.me
        self._links.me = me._replace(sequence=me.sequence + 1)
        self.members.me = fact_of(self._links.me)
        self._repeat_us = turn.now.mono_us + self.limits.repeat_us

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def awake(self, now: Now) -> None:
        """A turn begins; when the last one was long ago, this node was stopped itself, and silence says nothing.

        Before anything else: who asks in this very turn how the members are is not told of a silence, either.
        """
        if self._awake_us is not None and now.mono_us - self._awake_us > self.limits.late_after_us:
            self.members.pardon(now.mono_us)
            self._links.pardon(now)
        self._awake_us = now.mono_us

    def tick(self, turn: Turn) -> None:
        """Pass verdicts, dial, gossip. Comes before the links' own tick."""
        now = turn.now
        if now.mono_us >= self._beat_us:
            self._beat_us = now.beat(self.limits.heartbeat_us)
            self._beat(turn)
        self.divergence.tick(turn)
        self._tell(turn)

    def _tell(self, turn: Turn) -> None:
        """Pass on what is news: about others to some, about this node itself to all."""
        if self.members.changed:
            for link, message in self._gossip.news(self._links.up(), turn.now.mono_us, self._draw()):
                turn.control(link, message)
        if self._said != self.members.me:
            self._said = self.members.me
            turn.control_all(self._links.up(), self._gossip.about_me(turn.now.mono_us))

    def _beat(self, turn: Turn) -> None:
        now_us = turn.now.mono_us
        for link in [each for each in self._links.links.values() if each.state == "up"]:
            if not self.members.heard(link.origin, link.heard_us):  # the table was full when the link came up
                self.members.linked(self._fact(link), now_us, link.began_us)
                self._tell_if_gone(link, turn)
        self.members.judge(now_us)
        if now_us >= self._repeat_us:
            self._say_here(turn)
        self._dial(turn)
        compared = self._gossip.compare(self._links.up())
        if compared is not None:
            turn.control(*compared)
        self._conflict.look(self.members, self._links.links.values(), now_us)
        if self.members.outrun_at >= 0:
            mine = self.members.me.incarnation
            self.divergence.suspect(f"it was known with incarnation {self.members.outrun_at}, and has {mine}", turn)
        elif self.members.doubled:
            twin = "another process speaks as this one: a data directory was copied, and both are in use"
            self.divergence.suspect(twin, turn)

    def _dial(self, turn: Turn) -> None:
        decision = self._dialling.decide(self.members, self._links.links, turn.now.mono_us)
        for heard in self._links.undial(decision.undial, turn):
            self.heed(heard, turn)
        self._links.dial(decision.dial)
        turn.undials += decision.undial
        turn.dials += decision.dial

    # ── what is written down ─────────────────────────────────────────────────────────────────────────────────────────

    def keep(self, turn: Turn) -> None:
        """Write what a later start needs. Not while the disk is closed."""
        incarnation = self.members.refutation
        if incarnation is not None:
            turn.changes.meta["incarnation"] = str(incarnation)
            turn.once_committed.append(lambda: self._refute(incarnation))
        if self.members.unkept:
            self._keep_members(turn)

    def _refute(self, incarnation: int) -> None:
        """The incarnation is on disk: contradict."""
        self._links.me = self._links.me._replace(incarnation=incarnation)
        self.members.me = fact_of(self._links.me)

    def _keep_members(self, turn: Turn) -> None:
        """Whoever changed since is looked at, and not everybody: in a large mesh somebody does in most turns."""
        origins, members = list(self.members.unkept), self.members
        members.unkept.clear()
        rows = [members.rows[origin] for origin in origins if origin in members.rows]
        wanted = {row.fact.origin: _as_kept(row.fact) for row in rows if _worth_keeping(row)}
        gone = [origin for origin in origins if origin in self._kept and origin not in wanted]
        turn.changes.members += [row for origin, row in wanted.items() if self._kept.get(origin) != row]
        turn.changes.members_forgotten += [(origin,) for origin in gone]

        def kept() -> None:
            self._kept.update(wanted)
            for origin in gone:
                del self._kept[origin]

        turn.once_committed.append(kept)
        turn.once_failed.append(lambda: members.unkept.update(dict.fromkeys(origins)))

    def lost_for_good(self, origin: str) -> bool:
        """Whether an origin will never speak again: its machine has begun anew, or is no longer expected."""
        row, name = self.members.rows.get(origin), origin.rpartition(".")[0]
        if row is None:
            return True
        anew = name == self._state.name or any(each.fact.origin != origin for each in self.members.rivals(name))
        return row.fact.status != "here" and anew


def _as_kept(fact: Fact) -> MemberRow:
    return MemberRow(fact.origin, fact.name, fact.incarnation, fact.sequence, json.dumps(fact.addresses))


def _worth_keeping(row: Member) -> bool:
    """Peers that can be dialled; also those that are gone, who may be back when this node starts again."""
    return row.fact.role == "peer" and bool(row.fact.addresses)
