"""Suspicion: from two knobs to verdicts about a member. Arithmetic alone, in microseconds.

    silence   0 ────────── suspect_after ────────── dead_after ─────────────────────── forget_after
    linked    alive          suspect                 (its link is taken down: dead)
    no link   suspect        suspect                  dead                              forgotten

The knobs are `heartbeat_s`, how often a sign of life is sent, and `dead_after_s`, how long the silence of a peer is
borne. Everything else follows from them, so that no two can contradict each other. A shorter `dead_after_s` routes
around a dead peer sooner, and calls more often dead who was only stopped, paged out or behind a slow link.

A node that was itself stopped (its own loop came late) has heard nobody for as long, and can tell nothing from that:
silence counts from its waking then. Lifeguard (Dadgar, Phillips and Currey, 2018) found that such nodes make most of
the false accusations in a cluster.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["alive", "suspect", "dead"]

_FORGET_DEATHS = 360
_GRACE_BEATS = 3
_REPEATS = 4


class Knobs(NamedTuple):
    """The two knobs, and what follows from them; microseconds.

    suspect_after_us   silence after which a linked member is doubted: half of what makes it dead, at least 1.5 beats
    forget_after_us    how long a dead or left member is shown, and then remembered as a tombstone: an hour at 10 s
    late_after_us      own ticks further apart than this: the node was stopped itself
    repeat_us          how often a member says that it is here, so that it is not forgotten where it has no link
    grace_us           how long a node waits for the other to dial before it dials too
    """

    heartbeat_us: int
    dead_after_us: int

    @property
    def suspect_after_us(self) -> int:
        """Half of `dead_after_us`, and at least one and a half heartbeats: a sign may be a little late."""
        return max(self.dead_after_us // 2, self.heartbeat_us * 3 // 2)

    @property
    def forget_after_us(self) -> int:
        """360 deaths long."""
        return _FORGET_DEATHS * self.dead_after_us

    @property
    def repeat_us(self) -> int:
        """Four times before it would be forgotten."""
        return self.forget_after_us // _REPEATS

    @property
    def late_after_us(self) -> int:
        """As long as makes a peer suspect: from there on this node may be the one that is late."""
        return self.suspect_after_us

    @property
    def grace_us(self) -> int:
        """Three heartbeats."""
        return _GRACE_BEATS * self.heartbeat_us

    def described(self) -> dict[str, float]:
        """All effective values in seconds, for people."""
        return {
            "heartbeat_s": self.heartbeat_us / 1e6,
            "suspect_after_s": self.suspect_after_us / 1e6,
            "dead_after_s": self.dead_after_us / 1e6,
            "forget_after_s": self.forget_after_us / 1e6,
            "late_after_s": self.late_after_us / 1e6,
        }


def knobs(heartbeat_s: float, dead_after_s: float) -> Knobs:
    """The knobs from seconds. Raises `ValueError` when one lost heartbeat would be a death."""
    if not 0 < heartbeat_s * 2 <= dead_after_s:
        raise ValueError(
            f"dead_after_s is {dead_after_s:g} and heartbeat_s {heartbeat_s:g}; "
            "one lost heartbeat would be a death, use at least twice the heartbeat"
        )
    return Knobs(int(heartbeat_s * 1e6), int(dead_after_s * 1e6))


def verdict(limits: Knobs, linked: bool, silent_us: int) -> Verdict:
    """What to think of a member that was heard before, and is silent for so long."""
    if linked:
        return "alive" if silent_us <= limits.suspect_after_us else "suspect"
    return "suspect" if silent_us <= limits.dead_after_us else "dead"
