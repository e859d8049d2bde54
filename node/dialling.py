"""Dialling: which addresses a node keeps a connection to. A rule; the sockets connect, and try again, by themselves.

    seeds      all at once and for good, until one is a second way to a peer that is linked, or leads to this node
    members    peers that are not linked: the lower name dials at once, the other only when no link came of it within
               a grace period (then only this direction works, or the lower name does not know the other yet)
    leaf       nobody dials it: it dials itself, and beyond its seeds as many peers as make three

A connection that does not come up within `dead_after` is given up; the member's next address follows after a pause
that doubles up to half a minute and is jittered, so that a cluster that comes back is not met by all at once. Within
that time libzmq connects again by itself, every 0.1 to 5 s. A seed for which there is no socket with which libzmq could
try, as none was to be had or something answered that is no node, is dialled again after such pauses, too. Where a
connection is there already, at a seed or at the address of a link that fell, that has the first turn. A member that
left is not dialled any more.

Of two that go by one name (`node.rivals`) the elder is dialled although the younger is linked: the younger yields when
it answers, and not before, for hearsay does not say that it is there.

An address that led to this node itself has another turn when a member that is gone would be forgotten: machines are
given other addresses now and then.

A second connection to a peer is a spare (`node.links`). It is closed after a while, and a seed among them is dialled
again as soon as the link goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.retry import delay_s
from node.link import Link, Role
from node.members import Member, Members
from node.suspicion import Knobs
from node.turn import LinkKey

LEAF_LINKS = 3
"""Peers that a leaf is linked with: when one goes, another carries on, and a third is there at once."""
_PAUSE_FIRST_S, _PAUSE_CAP_S = 1.0, 30.0
_OWN_MAX = 256
"""Addresses remembered to lead to this node; of more, the oldest are forgotten, and may be dialled in vain."""


class Decision(NamedTuple):
    """Addresses to connect to, and to let go of."""

    dial: list[str]
    undial: list[str]


@dataclass(slots=True)
class _Target:
    """A member to be dialled: since when it has no link, and how the attempts went.

    `tried`: the addresses that have had their turn, of all that it has.
    """

    since_us: int
    next_us: int = 0
    tries: int = 0
    address: str = ""
    opened_us: int = 0
    tried: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Round:
    """What is looked at in one decision."""

    now_us: int
    links: Mapping[LinkKey, Link]
    linked: dict[str, str]
    """name → origin"""
    decision: Decision = field(default_factory=lambda: Decision([], []))

    def open(self, address: str) -> bool:
        """Whether there is a connection, or soon will be."""
        return address in self.decision.dial or (address in self.links and address not in self.decision.undial)


class Dialling:
    """Whom one node dials. `draw` yields numbers in [0, 1)."""

    def __init__(self, role: Role, seeds: Iterable[str], limits: Knobs, draw: Callable[[], float]) -> None:
        self._role = role
        self._seeds = tuple(seeds)
        self._limits = limits
        self._draw = draw
        self._own: dict[str, int] = {}
        self._spare_since: dict[str, int] = {}
        self._resting: dict[str, str] = {}
        self._unmade: dict[str, tuple[int, int]] = {}
        self._targets: dict[str, _Target] = {}
        self._opened: dict[str, int] = {}

    def decide(self, members: Members, links: Mapping[LinkKey, Link], now_us: int) -> Decision:
        """What to change now. Ask once per heartbeat."""
        linked = {link.name: link.origin for link in links.values() if link.state == "up"}
        round_ = _Round(now_us, links, linked)
        self._own = {address: until_us for address, until_us in self._own.items() if until_us > now_us}
        for link in [link for link in links.values() if link.dialled]:
            self._look_at(link, round_)
        self._dial_seeds(round_)
        candidates = self._candidates(members)
        self._forget_targets(candidates, members, round_)
        for row in candidates:
            self._look_for(row, members, round_)
        self._sweep(round_)
        self._opened.update(dict.fromkeys(round_.decision.dial, now_us))
        for address in round_.decision.undial:
            self._opened.pop(address, None)
            self._spare_since.pop(address, None)
        return round_.decision

    def _sweep(self, round_: _Round) -> None:
        """Let go of every connection that was opened for a member and is neither a link nor to become one.

        One that is greeting has its time: the far end may use it already.
        """
        wanted = {*self._seeds, *(target.address for target in self._targets.values()), *round_.decision.undial}
        for address in self._opened.keys() - wanted:
            link = round_.links.get(address)
            young = round_.now_us - self._opened[address] <= self._limits.dead_after_us
            used = ("up", "spare", "greeting") if young else ("up", "spare")
            if link is not None and link.state not in used:
                round_.decision.undial.append(address)

    # ── connections that are there ───────────────────────────────────────────────────────────────────────────────────

    def _look_at(self, link: Link, round_: _Round) -> None:
        """Let go of what leads to this node itself, and of what has been a spare for a while."""
        address = link.address
        if not link.unmade:
            self._unmade.pop(address, None)
        if link.refused == "self":
            self._own[address] = round_.now_us + self._limits.forget_after_us
            if len(self._own) > _OWN_MAX:
                del self._own[next(iter(self._own))]
            round_.decision.undial.append(address)
        elif link.unmade and address in self._seeds:
            self._make_again(address, round_)
        elif link.state == "spare" and link.name in round_.linked:
            since_us = self._spare_since.setdefault(address, round_.now_us)
            if round_.now_us - since_us > self._limits.dead_after_us:
                if address in self._seeds:
                    self._resting[address] = link.name
                round_.decision.undial.append(address)
        else:
            self._spare_since.pop(address, None)

    def _make_again(self, address: str, round_: _Round) -> None:
        """Let go of a seed without a socket when its pause is over, so that it is dialled again."""
        tries, next_us = self._unmade.get(address, (0, 0))
        if not next_us:
            self._unmade[address] = tries + 1, round_.now_us + self._pause_us(tries + 1)
        elif round_.now_us >= next_us:
            self._unmade[address] = tries, 0
            round_.decision.undial.append(address)

    def _dial_seeds(self, round_: _Round) -> None:
        for address in self._seeds:
            rests = self._resting.get(address) in round_.linked
            if address not in self._own and not rests and not round_.open(address):
                self._resting.pop(address, None)
                round_.decision.dial.append(address)

    # ── members without a link ───────────────────────────────────────────────────────────────────────────────────────

    def _candidates(self, members: Members) -> list[Member]:
        """Peers that may be dialled; each leaf in another order, so that the peers share them."""
        found = [row for row in members.rows.values() if row.fact.role == "peer" and row.fact.addresses]
        found = [row for row in found if row.fact.status != "left"]
        if self._role == "leaf" and found:
            first = int(self._draw() * len(found))
            found = found[first:] + found[:first]
        return found

    def _forget_targets(self, candidates: list[Member], members: Members, round_: _Round) -> None:
        """Who is linked, left or forgotten is dialled no more, nor who has become a leaf."""
        wanted = {row.fact.origin for row in candidates if not _served(row, members, round_)}
        for origin in self._targets.keys() - wanted:
            del self._targets[origin]

    def _look_for(self, row: Member, members: Members, round_: _Round) -> None:
        if _served(row, members, round_):
            return
        target = self._targets.setdefault(row.fact.origin, _Target(round_.now_us))
        if target.address:
            self._wait_for(target, round_)
        elif self._due(target, row, members.me.name, round_):
            self._open(target, row, round_)

    def _due(self, target: _Target, row: Member, my_name: str, round_: _Round) -> bool:
        if round_.now_us < target.next_us:
            return False
        if self._role == "leaf":
            trying = sum(each.address not in ("", *self._seeds) for each in self._targets.values())
            return len(round_.linked) + trying < LEAF_LINKS
        return my_name < row.fact.name or round_.now_us - target.since_us > self._limits.grace_us

    def _open(self, target: _Target, row: Member, round_: _Round) -> None:
        """Try the next of its addresses, each in its turn; before all others where there is a connection already."""
        addresses = [each for each in row.fact.addresses if each not in self._own]
        if not addresses:
            return
        if target.tried.issuperset(addresses):
            target.tried.clear()
        address = min((each for each in addresses if each not in target.tried), key=lambda each: not round_.open(each))
        target.address, target.opened_us = address, round_.now_us
        target.tried.add(address)
        if not round_.open(address):
            round_.decision.dial.append(address)

    def _wait_for(self, target: _Target, round_: _Round) -> None:
        """Give the attempt its time; then let go, and pause before the next."""
        if round_.now_us - target.opened_us <= self._limits.dead_after_us:
            return
        target.tries += 1
        target.address = ""
        target.next_us = round_.now_us + self._pause_us(target.tries)

    def _pause_us(self, tries: int) -> int:
        return int(delay_s(_PAUSE_FIRST_S, _PAUSE_CAP_S, tries, 0.5 + self._draw() / 2) * 1e6)


def _served(row: Member, members: Members, round_: _Round) -> bool:
    """Whether a member is linked, or another of its name that is to keep it."""
    origin = round_.linked.get(row.fact.name)
    return origin is not None and not (origin != row.fact.origin and members.outranks(row, origin))
