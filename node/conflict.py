"""Conflict: whether another living node goes by this one's name, and how an operator is told. A rule, no I/O.

    rival ──said by who has a link to both, or greeted itself──▶ ┐
    members ──a row of this node's name that lives───────────────▶ Conflict ──▶ `mesh status`, the log
    links ──who refuses this node, and for whose sake────────────▶ ┘

What is told holds for as long as who is refused may take to ask again (`node.rivals`); it is told each time. Who says
goodbye has left, and is spoken of no more.

A node that has just taken a new generation was the other itself. Who has not noticed yet that the former one is gone is
believed only when all must have noticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from node.link import NAMED, Link
from node.members import Members
from node.rivals import ASKS_WITHIN_S
from node.suspicion import Knobs

_RIVALS_MAX = 16
_TEXT_MAX = 300


class Conflict:
    """What one node knows of others of its name. `former`: the origins that were its own before.

    `said` names them, or is ""; `isolated`: somebody refuses this node for its name.
    """

    def __init__(self, name: str, origin: str, former: Collection[str], limits: Knobs) -> None:
        self.said = ""
        self.isolated = False
        self._name = name
        self._origin = origin
        self._limits = limits
        self._former = frozenset(former) - {origin}
        self._former_until_us = 0
        self._rivals: dict[str, tuple[int, str]] = {}

    def begin(self, now_us: int) -> None:
        """This node has started."""
        self._former_until_us = now_us + 2 * self._limits.dead_after_us

    def rival(self, fields: dict[str, Any], told_by: str, now_us: int) -> None:
        """Another node of this name is there; `told_by` is the name of who says so, "" where it greeted itself."""
        origin, listen = str(fields["origin"])[:_TEXT_MAX], str(fields.get("listen", ""))[:_TEXT_MAX]
        if self._was_itself(origin, now_us):
            return
        said = f"{origin} at {listen or 'an address unknown'}" + (f", says {told_by}" if told_by else "")
        lasts_us = max(2 * self._limits.dead_after_us, int(ASKS_WITHIN_S * 1e6))
        if origin in self._rivals or len(self._rivals) < _RIVALS_MAX:
            self._rivals[origin] = now_us + lasts_us, said

    def _was_itself(self, origin: str, now_us: int) -> bool:
        """Whether an origin was this node's own until lately, as far as can be known."""
        return origin in self._former and now_us < self._former_until_us

    def look(self, members: Members, links: Iterable[Link], now_us: int) -> None:
        """See how it is now. Once per heartbeat."""
        rows = members.rows
        left = {origin for origin in self._rivals if origin in rows and rows[origin].fact.status == "left"}
        lasting = {origin: each for origin, each in self._rivals.items() if each[0] > now_us}
        self._rivals = {origin: each for origin, each in lasting.items() if origin not in left}
        refusing = [each for each in links if each.connected and each.refused in NAMED and not each.objected]
        refused_by = sorted({each.refused_by or each.address for each in refusing} - {self._name})
        self.isolated = bool(refused_by)
        others = self._told(members, now_us) or self._kept(refusing, now_us)
        by = f"; this one is refused by {', '.join(refused_by)}" if refused_by else ""
        two = f"two nodes are called {self._name!r}: this one, {self._origin}, and {'; '.join(others)}; rename one{by}"
        self.said = two if others else ""

    def _told(self, members: Members, now_us: int) -> list[str]:
        """Those that were told of, and those that the table has had for a while."""
        return [said for _, said in self._rivals.values()] + [
            f"{row.fact.origin} at {', '.join(row.fact.addresses) or 'an address unknown'}"
            for row in members.rivals(self._name)
            if row.fact.origin not in self._rivals
            and now_us - row.learned_us > self._limits.dead_after_us
            and not self._was_itself(row.fact.origin, now_us)
        ]

    def _kept(self, refusing: Iterable[Link], now_us: int) -> list[str]:
        """For whose sake this node is refused."""
        keep = {
            each.keeps or "another": each
            for each in refusing
            if each.keeps != self._origin and not self._was_itself(each.keeps, now_us)
        }
        return [f"{origin}, says {link.refused_by or link.address}" for origin, link in keep.items()]
