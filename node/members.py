"""Members: who is in the cluster, as far as this node has heard or seen. A table and its rules, no I/O.

    fact     what is said of a member, by itself or about it; the later one wins, whoever brings it (`node.facts`)
    seen     what this node knows by a link of its own: only that makes a member alive

              known ──link──▶ alive ──silence──▶ suspect ──silence──▶ dead ──▶ forgotten (a tombstone for a while)
    heard of ◀──it spoke to another── │ ◀───────────┘
                                      └──goodbye──▶ left ─────────────────────▶ forgotten

Rows are kept by origin, not by name: a node that lost its disk is another member with the name of the former one. When
it is linked and its former self is not, the former one is dead and shown no more. Two that both live are rivals: who
has a link to both keeps the elder, and calls the other dead only when that asks no more to be let in (`node.rivals`).

Suspicion stays at home: every node doubts for itself. A death is told, because who has no link to the member could not
know it; and a member that hears of its own raises its incarnation.

Who was linked with a member and is not any more watches it on, until it hears a later word of it: then the member has
spoken to another, who watches it now. It is `known` again, and no business of the former neighbour to call dead. So a
leaf that changes its peers is not accused for ever, and a real death still has a witness: whoever got the last word
over a link. A leaf says that it is here whenever it loses a link, and every member says so now and then; of whom
nothing has been heard for `forget_after`, also its last witness is gone. Of who was restarted, and is linked with
another already, the end of a link to its former life says nothing, a goodbye included.

A tombstone stands against what is still told of who is forgotten, and not against the member itself: where it is linked
again, after a long partition or from a backup, it is held as before it was forgotten, is told so, and contradicts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from node.facts import STATUSES, Fact, Stamp
from node.rivals import ASKS_WITHIN_S, Claim, prevails
from node.suspicion import Knobs, verdict

MEMBERS_MAX = 1024
"""Members in the table, dead ones included. The gone ones go first; a further living one is not taken in, and if it is
linked, asked in again at every heartbeat."""
_TOMBSTONES_MAX = 4096
_AHEAD_MAX = 1 << 20
"""Starts and contradictions that a database may have forgotten. Who says that this node is further ahead speaks of none
of its lives; and an incarnation that came from there would stay, and leave no room to count on."""

State = Literal["known", "alive", "suspect", "dead", "left"]


@dataclass(slots=True)
class Member:
    """A row. Moments in microseconds of the monotonic clock; `heard_us` is None as long as it never spoke here.

    `learned_us`: when a later word of its own came here, by whatever way. `watched`: nobody else is known to have got
    that word over a link, so its silence is for this node to judge. `began_us`: when its process began, if that was
    said; an age is no part of a fact, for it grows. `yields`: it was refused here, for another has its name.
    """

    fact: Fact
    learned_us: int
    heard_us: int | None = None
    linked: bool = False
    watched: bool = False
    gone_us: int | None = None
    reason: str = ""
    began_us: int | None = None
    yields: bool = False

    @property
    def claim(self) -> Claim:
        """What it is among those of its name."""
        return Claim(self.fact.origin, self.fact.life, self.fact.incarnation, self.began_us)


class Members:
    """The table. `me` is what this node says of itself; it is no row.

    `changed` are the origins of which peers are to be told, `unkept` those that may stand otherwise on the disk.
    """

    def __init__(self, me: Fact, limits: Knobs, members_max: int = MEMBERS_MAX) -> None:
        self.me = me
        self.limits = limits
        self.rows: dict[str, Member] = {}
        self.version = 0
        self.changed: dict[str, None] = {}
        self.unkept: dict[str, None] = {}
        self.accused_at = -1
        self.outrun_at = -1
        self.doubled = ""
        self.turned_away = 0
        self._members_max = members_max
        self._tombstones: dict[str, tuple[Stamp, int]] = {}
        self._pardon_us = 0

    # ── what is heard ────────────────────────────────────────────────────────────────────────────────────────────────

    def learn(self, fact: Fact, now_us: int, gone_us: int = 0, began_us: int | None = None) -> bool:
        """Take in a fact; whether it was news.

        `gone_us`: how long a dead or left member has been gone. `began_us`: when the process began, if that is known.
        """
        if fact.origin == self.me.origin:
            self._of_myself(fact)
            return False
        row = self.rows.get(fact.origin)
        if row is None and not self._admits(fact):
            return False
        if row is not None and (fact.stamp, fact) <= (row.fact.stamp, row.fact):
            return False
        if row is None:
            row = self.rows[fact.origin] = Member(fact, now_us)
        if began_us is not None or row.fact.life != fact.life:
            row.began_us = began_us
        self._put(row, fact, now_us, gone_us)
        return True

    def _of_myself(self, fact: Fact) -> None:
        """Note where this node is said to be gone, to be further than it is, or to be another process."""
        if fact.incarnation - self.me.incarnation > _AHEAD_MAX:
            return
        if fact.status != "here" and fact.incarnation >= self.me.incarnation:
            self.accused_at = max(self.accused_at, fact.incarnation)
        if fact.incarnation > self.me.incarnation:
            self.outrun_at = max(self.outrun_at, fact.incarnation)
        elif fact.incarnation == self.me.incarnation and fact.life not in (self.me.life, ""):
            self.doubled = fact.life

    def _admits(self, fact: Fact) -> bool:
        if self.buried(fact.origin, fact.stamp):
            return False
        if len(self.rows) < self._members_max or self._make_room():
            return True
        self.turned_away += 1
        return False

    def buried(self, origin: str, stamp: Stamp) -> bool:
        """Whether a tombstone stands against a fact of that stamp."""
        tombstone = self._tombstones.get(origin)
        return tombstone is not None and stamp <= tombstone[0]

    def _make_room(self) -> bool:
        """Forget who has been gone for longest."""
        gone = [(row.gone_us, origin) for origin, row in self.rows.items() if row.gone_us is not None]
        oldest = min(((since, origin) for since, origin in gone if not self.rows[origin].linked), default=None)
        if oldest:
            self._bury(oldest[1], oldest[0])
        return oldest is not None

    def _put(self, row: Member, fact: Fact, now_us: int, gone_us: int) -> None:
        row.fact = fact
        row.gone_us = None if fact.status == "here" else now_us - gone_us
        if fact.status == "here":
            row.reason, row.learned_us, row.watched = "", now_us, row.linked
        self._tombstones.pop(fact.origin, None)
        self._touch(fact.origin)

    def _touch(self, origin: str) -> None:
        self.version += 1
        self.changed[origin] = self.unkept[origin] = None

    def take_changed(self) -> list[str]:
        """The origins whose facts are news since this was last asked."""
        found = [origin for origin in self.changed if origin in self.rows]
        self.changed.clear()
        return found

    # ── what is seen ─────────────────────────────────────────────────────────────────────────────────────────────────

    def linked(self, fact: Fact, now_us: int, began_us: int | None = None) -> None:
        """A link to the member came up; who had its name before and has no link is dead, unless it was sent away."""
        self._exhume(fact, now_us)
        self.learn(fact, now_us, began_us=began_us)
        row = self.rows.get(fact.origin)
        if row is None:
            return
        row.linked, row.watched, row.heard_us, row.reason, row.yields = True, True, now_us, "", False
        row.began_us = row.began_us if began_us is None else began_us
        for other in self.rivals(fact.name):
            if other is not row and not other.linked and not other.yields:
                self._died(other, now_us, f"{fact.origin} is there in its place")

    def _exhume(self, fact: Fact, now_us: int) -> None:
        """Who is linked is not forgotten: what its tombstone says of it is held again, and it can contradict that."""
        stamp, _ = self._tombstones.pop(fact.origin, (fact.stamp, 0))
        if stamp > fact.stamp:
            incarnation, place, sequence, life = stamp
            gone = fact._replace(incarnation=incarnation, status=STATUSES[place], sequence=sequence, life=life)
            self.learn(gone, now_us)

    def unlinked(self, origin: str, reason: str, yields: bool = False, life: str = "") -> None:
        """The link to a member, in that life of it, is down. `yields`: this node ended it; another has the name."""
        row = self.rows.get(origin)
        if row is not None:
            row.linked, row.reason, row.yields = False, reason, yields
            row.watched = row.watched and not yields and row.fact.life in (life, "")

    def asked(self, fact: Fact, now_us: int, began_us: int | None = None) -> None:
        """A member that is refused, for another has its name, asks again: it is there, and this node its witness."""
        self.learn(fact, now_us, began_us=began_us)
        row = self.rows.get(fact.origin)
        if row is not None and not row.linked:
            row.yields, row.watched, row.heard_us = True, True, now_us

    def left(self, origin: str, now_us: int, life: str = "") -> None:
        """The member said goodbye, in that life of it."""
        self.unlinked(origin, "left", life=life)
        row = self.rows.get(origin)
        if row is not None and row.fact.life in (life, ""):
            self.learn(row.fact._replace(status="left"), now_us)

    def heard(self, origin: str, heard_us: int) -> bool:
        """A link to the member was last heard at that moment; whether it is known here that it has one."""
        row = self.rows.get(origin)
        if row is None or not row.linked:
            return False
        row.heard_us = heard_us
        return True

    def pardon(self, now_us: int) -> None:
        """This node was stopped itself: what it did not hear until now says nothing."""
        self._pardon_us = now_us

    # ── what is thought of it ────────────────────────────────────────────────────────────────────────────────────────

    def judge(self, now_us: int) -> None:
        """Pass the verdicts that are due, and forget who is long gone."""
        for origin, row in list(self.rows.items()):
            if row.gone_us is not None and not row.linked:
                if now_us - row.gone_us > self.limits.forget_after_us:
                    self._bury(origin, now_us)
            elif self._overdue(row, now_us):
                asks_no_more = "it was refused for its name, and asks no more"
                self._died(row, now_us, asks_no_more if row.yields else row.reason or "not heard any more")
        for origin in [each for each, (_, until_us) in self._tombstones.items() if until_us <= now_us]:
            del self._tombstones[origin]

    def _overdue(self, row: Member, now_us: int) -> bool:
        if row.linked or row.fact.status != "here":
            return False
        if not row.watched or row.heard_us is None:
            return now_us - max(row.learned_us, self._pardon_us) > self.limits.forget_after_us
        pause_us = int(ASKS_WITHIN_S * 1e6) if row.yields else 0
        return verdict(self.limits, False, self._silent_us(row.heard_us, now_us) - pause_us) == "dead"

    def _silent_us(self, heard_us: int, now_us: int) -> int:
        return now_us - max(heard_us, self._pardon_us)

    def _died(self, row: Member, now_us: int, reason: str) -> None:
        row.reason = reason
        self.learn(row.fact._replace(status="dead"), now_us)

    def _bury(self, origin: str, now_us: int) -> None:
        row = self.rows.pop(origin)
        self.version += 1
        self.unkept[origin] = None
        if len(self._tombstones) >= _TOMBSTONES_MAX:
            del self._tombstones[next(iter(self._tombstones))]
        self._tombstones[origin] = row.fact.stamp, now_us + self.limits.forget_after_us

    def state(self, row: Member, now_us: int) -> State:
        """What this node holds a member for."""
        if row.linked and row.heard_us is not None:
            return verdict(self.limits, True, self._silent_us(row.heard_us, now_us))
        if row.fact.status != "here":
            return row.fact.status
        return "suspect" if row.watched and not row.yields else "known"

    def outranks(self, row: Member, origin: str) -> bool:
        """Whether a member, as far as is known, keeps the name that it has together with another."""
        other = self.rows.get(origin)
        return row.fact.status == "here" and other is not None and prevails(row.claim, other.claim)

    def rivals(self, name: str) -> list[Member]:
        """The rows of a name that are not gone."""
        return [row for row in self.rows.values() if row.fact.name == name and row.fact.status == "here"]

    # ── of this node itself ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def refutation(self) -> int | None:
        """The incarnation with which to contradict what is said of this node, or None."""
        return self.accused_at + 1 if self.accused_at >= self.me.incarnation else None

    def facts(self) -> Iterable[Fact]:
        """Everything that may be told: this node first."""
        return (self.me, *(row.fact for row in self.rows.values()))
