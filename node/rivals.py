"""Rivals: two living nodes of one name. Who of them keeps it, and how a copy is told from a restart. No I/O.

    whoever is linked here      whoever greets                    what becomes of it
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    a.1 in the life x           a.1 in the life x                 SAME      another connection of it
    a.1 in the life x           a.1 in a later life               ASK_HOLDER: restarted, or a copy?
                                      x answers                   TWIN      a copied data directory
                                      x does not                  SAME      restarted
    a.1 in the life x           a.1 in an earlier life            ASK_FORMER: there, or a late word of one gone?
                                      it answers                  TWIN      a database from a backup, or a copy
                                      it does not                 STALE     nothing
    a.1 in the life x           a.1 in another just as late       TWIN      a copied data directory
    a.1                         a.2, younger                      YOUNGER   refused; a.1 is told
    a.1                         a.2, older                        ASK_NEWCOMER: there, or a late word of one gone?
                                      it answers                  ELDER     let in; a.1 is refused
                                      it does not                 STALE     nothing

The elder keeps the name: a machine that is set up wrong does not take the place of one that has been working. Nodes
that lived in the two halves of a partition are judged by every peer alike, for ages are said in the greeting and in the
gossip. They travel as ages, never as times of day, and arrive late by the way they went: of two that began within
`_TIE_S` of each other the lesser origin stays. Who says no age (an older release) never takes a name away.

A twin must not speak under its origin any longer, or two different events would have one id: it takes a new generation,
and is a rival like any other then.

A greeting alone proves nothing: it may have been read late. While somebody is asked (a ping, whose answer names the
life) the greeting is held. A connection whose far end has died says so at once when something is sent; only a machine
that vanished costs a restarted node the whole wait.

Who is refused lives on, and is shown beside the one that keeps the name, for an operator has to rename one of them. It
asks again and again, and that is how it is known to live: no link is there to tell. When it asks no more, nothing is
left to be done about it, and a row that says "rename one" for another hour would send an operator after a node that is
switched off. Where it stops in good order it says goodbye to whoever refuses it, and has left. Otherwise whoever was
asked calls it dead, within a minute. Either way it is shown no more, as a former self is not; its rival says no more
that there are two. Who never was asked (the other cannot dial it) knows nothing and calls nobody dead. If one who is
called dead asks somewhere else, it is told so there, and contradicts as any member does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from node.turn import LinkKey

ANSWER_S = 2.0
"""How long the former self of a greeting node has to answer: round trips may take seconds, and so long a greeting takes
to come again."""
HELD_MS = 20
"""How long a turn may wait while a greeting is held."""
ASKS_WITHIN_S = 45.0
"""Who is refused asks again so soon: every 2 s, but after a pause of up to 30 s where it gave the connection up."""
COUNT_MAX = 1 << 53
"""What a member counts of itself stays an integer in JSON and in the database."""
_TIE_S = 1.0
_AGE_MAX_S = 1e9

Greeting = dict[str, Any]


class Claim(NamedTuple):
    """A node that goes by a name. `began_us`: when its process began, on this node's monotonic clock."""

    origin: str
    life: str = ""
    incarnation: int = 0
    began_us: int | None = None


class Verdict(Enum):
    """What becomes of a greeting in a name that is linked; see the module. WAIT: somebody was asked before."""

    SAME = "same"
    ASK_HOLDER = "ask holder"
    ASK_NEWCOMER = "ask newcomer"
    ASK_FORMER = "ask former"
    WAIT = "wait"
    TWIN = "twin"
    ELDER = "elder"
    YOUNGER = "younger"
    STALE = "stale"


def prevails(one: Claim, other: Claim) -> bool:
    """Whether `one` keeps the name that both have; of two, at most one does."""
    if one.began_us is None or other.began_us is None:
        return False
    if abs(one.began_us - other.began_us) > _TIE_S * 1e6:
        return one.began_us < other.began_us
    return (one.origin, one.life) < (other.origin, other.life)


def verdict(newcomer: Claim, holder: Claim) -> Verdict:
    """What a greeting is at first sight, beside a link that has its name."""
    if newcomer.origin != holder.origin:
        return Verdict.ASK_NEWCOMER if prevails(newcomer, holder) else Verdict.YOUNGER
    if newcomer.life in (holder.life, ""):
        return Verdict.SAME
    if newcomer.incarnation == holder.incarnation:
        return Verdict.TWIN
    return Verdict.ASK_HOLDER if newcomer.incarnation > holder.incarnation else Verdict.ASK_FORMER


def began_us(said: Mapping[str, Any], now_us: int) -> int | None:
    """When a node began that says its age. Raises `ValueError` or `TypeError` where the age is none."""
    age_s = said.get("age_s")
    return None if age_s is None else now_us - int(min(max(float(age_s), 0.0), _AGE_MAX_S) * 1e6)


def count(greeting: Mapping[str, Any], field: str) -> int:
    """What a node counts of itself. Raises `ValueError` or `TypeError` where that is no count."""
    found = int(greeting.get(field, 0))
    if not 0 <= found <= COUNT_MAX:
        raise ValueError(f"{field} is {found}; a count is from 0 to {COUNT_MAX}")
    return found


def claim_of(greeting: Greeting, now_us: int) -> Claim:
    """What a greeting claims."""
    life = str(greeting.get("life", ""))
    return Claim(greeting["origin"], life, count(greeting, "incarnation"), began_us(greeting, now_us))


@dataclass(slots=True)
class _Held:
    """A greeting, and who was asked: over which connection, in which life, since when; whether it has answered."""

    key: LinkKey
    greeting: Greeting
    newcomer: str
    asked: LinkKey
    life: str
    since_us: int
    answered: bool = False


_ANSWERED = {
    Verdict.ASK_HOLDER: (Verdict.TWIN, Verdict.SAME),
    Verdict.ASK_NEWCOMER: (Verdict.ELDER, Verdict.STALE),
    Verdict.ASK_FORMER: (Verdict.TWIN, Verdict.STALE),
}
"""What it comes to when whoever was asked answers, and when not."""


class Rivals:
    """The greetings that are held: the last one for each name that is linked, and over each connection."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    @property
    def held(self) -> list[tuple[LinkKey, Greeting]]:
        """The greetings to be judged again."""
        return [(each.key, each.greeting) for each in self._held.values()]

    def judge(self, key: LinkKey, greeting: Greeting, held_by: LinkKey, holder: Claim, now_us: int) -> Verdict:
        """What a greeting on the connection `key` is now, beside the link `held_by` that has its name."""
        name, newcomer = greeting["name"], claim_of(greeting, now_us)
        found, former = verdict(newcomer, holder), self._held.pop(name, None)
        self.ended(key)
        if found not in _ANSWERED:
            return found
        asked, life = (held_by, holder.life) if found is Verdict.ASK_HOLDER else (key, newcomer.life)
        if former is None or (former.asked, former.life, former.newcomer) != (asked, life, newcomer.life):
            self._held[name] = _Held(key, greeting, newcomer.life, asked, life, now_us)
            return found
        answered, silent = _ANSWERED[found]
        if former.answered or now_us - former.since_us > ANSWER_S * 1e6:
            return answered if former.answered else silent
        former.key, former.greeting = key, greeting
        self._held[name] = former
        return Verdict.WAIT

    def answered(self, key: LinkKey, life: str, at_us: int) -> None:
        """Over a connection came an answer to what was asked at that moment, from a process in that life."""
        for each in self._held.values():
            if (each.asked, each.life) == (key, life) and at_us >= each.since_us:
                each.answered = True

    def ended(self, key: LinkKey) -> None:
        """Nothing is held any more of what was said over a connection: it is gone, or somebody was let in over it."""
        self._held = {name: each for name, each in self._held.items() if each.key != key}
