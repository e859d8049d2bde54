"""Gossip: how two tables of members become one at little cost. Messages in, messages out; no I/O.

    every heartbeat, with one peer in turn        when something was news

    A ── digest ─────────────────▶ B              A ── rows ──▶ three peers     (about itself: ──▶ all)
      ◀── have (only if it differs) ──
      ── rows, want ─────────────▶                who hears news passes it on to three, who knows it already does not
      ◀── rows ─────────────────────

An idle cluster pays one digest per node and heartbeat, however large it is. News travels in a few steps by being passed
on at once, and what that misses is found by the digests: every pair of tables is compared sooner or later (Demers et
al., 1987: rumours and anti-entropy). A peer that has just been linked is compared first.

A row says how long a member has been there, and how long it has been gone, as ages: clocks of different machines are
never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from blake3 import blake3

from node.facts import STATUSES, Fact, Stamp
from node.link import ADDRESSES_MAX
from node.members import Member, Members
from node.rivals import COUNT_MAX, began_us
from node.turn import LinkKey

_ROWS_MAX = 200
"""Rows in one message; what is beyond comes with the next comparison."""
_TOLD = 3
"""How many peers news is passed on to by each who hears it."""
_TEXT_MAX = 300
_NOTHING: Stamp = (-1, 0, 0, "")

Message = dict[str, Any]


class Gossip:
    """What to tell the peers about the members, and what to make of what they tell. `draw` is uniform in [0, 1).

    `began_us`: when this process began.
    """

    def __init__(
        self, members: Members, usable: Callable[[Iterable[object]], tuple[str, ...]], began_us: int = 0
    ) -> None:
        self._members = members
        self._began_us = began_us
        self._usable = usable
        self._queue: list[LinkKey] = []
        self._digest = ""
        self._digest_of: tuple[int, Fact] | None = None

    # ── to tell ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, link: LinkKey) -> None:
        """A link came up: compare with it first."""
        self._queue = [link, *(each for each in self._queue if each != link)]

    def compare(self, up: set[LinkKey]) -> tuple[LinkKey, Message] | None:
        """The peer to compare with now, and the digest for it."""
        known = [link for link in self._queue if link in up]
        self._queue = known + sorted(up.difference(known), key=str)
        if not self._queue:
            return None
        link = self._queue.pop(0)
        self._queue.append(link)
        return link, {"t": "members", "digest": self.digest()}

    def news(self, up: set[LinkKey], now_us: int, draw: float) -> list[tuple[LinkKey, Message]]:
        """What has changed since this was last asked, for some of the peers."""
        origins = self._members.take_changed()[:_ROWS_MAX]
        if not origins or not up:
            return []
        links, first = sorted(up, key=str), int(draw * len(up))
        chosen = [links[(first + step) % len(links)] for step in range(min(_TOLD, len(links)))]
        return [(link, self._rows(origins, now_us)) for link in chosen]

    def about_me(self, now_us: int) -> Message:
        """What this node says of itself."""
        return {"t": "members", "rows": [self._about_me(now_us)]}

    def _about_me(self, now_us: int) -> Message:
        return _row(self._members.me, 0.0, now_us - self._began_us)

    def about(self, member: Member, now_us: int) -> Message:
        """What is held of one member."""
        return self._rows([member.fact.origin], now_us)

    def digest(self) -> str:
        """A short text that is the same wherever the same is known."""
        state = self._members.version, self._members.me
        if self._digest_of != state:
            stamps = sorted((fact.origin, *fact.stamp) for fact in self._members.facts())
            self._digest, self._digest_of = blake3(orjson.dumps(stamps)).hexdigest(16), state
        return self._digest

    # ── to hear ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, message: Message, now_us: int) -> Message | None:
        """Take in one message; the answer to it, if it needs one."""
        for row in message.get("rows", ())[:_ROWS_MAX]:
            fact, gone_us = self._read(row)
            self._members.learn(fact, now_us, gone_us, began_us(row, now_us))
        if "want" in message:
            return self._rows([str(each) for each in message["want"][:_ROWS_MAX]], now_us) if message["want"] else None
        if "have" in message:
            return self._difference(_stamps(message["have"], message.get("lives")), now_us)
        if "digest" in message and message["digest"] != self.digest():
            facts = list(self._members.facts())
            have = [[fact.origin, *fact.stamp[:3]] for fact in facts]
            return {"t": "members", "have": have, "lives": [fact.life for fact in facts]}
        return None

    def _difference(self, theirs: dict[str, Stamp], now_us: int) -> Message:
        """The rows the other lacks, and the names of those that are lacking here."""
        ours = {fact.origin: fact.stamp for fact in self._members.facts()}
        newer = [origin for origin, stamp in ours.items() if stamp > theirs.get(origin, _NOTHING)]
        buried = self._members.buried
        lacking = [
            origin
            for origin, stamp in theirs.items()
            if stamp > ours.get(origin, _NOTHING) and not buried(origin, stamp)
        ]
        return {**self._rows(newer[:_ROWS_MAX], now_us), "want": lacking[:_ROWS_MAX]}

    def _rows(self, origins: Iterable[str], now_us: int) -> Message:
        rows, me = self._members.rows, self._members.me
        told = [_row_of(rows[origin], now_us) for origin in origins if origin in rows]
        return {"t": "members", "rows": told + ([self._about_me(now_us)] if me.origin in origins else [])}

    def _read(self, row: dict[str, Any]) -> tuple[Fact, int]:
        """A row as it came; raises `ValueError`, `KeyError` or `TypeError` where it is none."""
        name, origin, status, role = (str(row[key]) for key in ("name", "origin", "status", "role"))
        if not origin.startswith(f"{name}.") or len(origin) > _TEXT_MAX or role not in ("peer", "leaf"):
            raise ValueError(f"{origin!r} ({role!r}) is no member")
        life = row.get("life", "")
        incarnation, place, sequence, life = _stamp((row["incarnation"], STATUSES.index(status), row["sequence"]), life)
        addresses = self._usable(row["addresses"][: 2 * ADDRESSES_MAX])
        fact = Fact(
            name,
            origin,
            incarnation,
            sequence,
            STATUSES[place],
            "leaf" if role == "leaf" else "peer",
            addresses,
            str(row.get("version", ""))[:_TEXT_MAX],
            life,
        )
        return fact, int(min(max(float(row.get("gone_s", 0.0)), 0.0), 1e9) * 1e6)


def _row_of(member: Member, now_us: int) -> Message:
    gone_s = 0.0 if member.gone_us is None else (now_us - member.gone_us) / 1e6
    return _row(member.fact, gone_s, None if member.began_us is None else now_us - member.began_us)


def _row(fact: Fact, gone_s: float, age_us: int | None) -> Message:
    age = {} if age_us is None else {"age_s": age_us / 1e6}
    return {**fact._asdict(), "gone_s": gone_s, **age}


def _stamps(have: list[list[Any]], lives: list[str] | None) -> dict[str, Stamp]:
    """What another has, by origin; an older release does not name the lives."""
    rows = zip(have, lives or [""] * len(have), strict=True)
    return {str(origin): _stamp(counts, life) for (origin, *counts), life in rows}


def _stamp(counts: Iterable[Any], life: object) -> Stamp:
    incarnation, place, sequence = (int(each) for each in counts)
    if not all(0 <= each <= COUNT_MAX for each in (incarnation, place, sequence)) or place >= len(STATUSES):
        raise ValueError(f"({incarnation}, {place}, {sequence}) orders no fact")
    return incarnation, place, sequence, str(life)[:_TEXT_MAX]
