"""The plan: what an operator chose, as the rules need it. Settings are for people, in seconds; a plan is values.

    NodeSettings (`node.config`) ─▶ plan_of ─▶ Plan ─▶ `node.assembly`, or the simulation's own

A dedup window is asked for by topic, and an operator names patterns: the first that matches counts, and what was found
for a topic once is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mesh.limits import DEDUP_EVENTS_MAX
from mesh.topic import check_pattern
from node.config import NodeSettings
from node.link import Role
from node.retention import Limits


class Plan(NamedTuple):
    """What an operator chose.

    `dedup_window_us` gives a topic's window in microseconds, `dedup_keep_us` the longest of all, `dedup_events` how
    many events they hold together; `peers` are the addresses that are dialled first, `advertise` those where others may
    dial it if it is not where it listens, `critical` the topics that must have a consumer here, `replicate` the
    patterns that are kept here without one.
    """

    peers: tuple[str, ...]
    heartbeat_s: float
    dead_after_s: float
    limits: Limits
    dedup_window_us: Callable[[str], int]
    dedup_keep_us: int
    role: Role = "peer"
    advertise: tuple[str, ...] = ()
    critical: tuple[str, ...] = ()
    replicate: tuple[str, ...] = ()
    dedup_events: int = DEDUP_EVENTS_MAX


def plan_of(settings: NodeSettings) -> Plan:
    """What of the settings the rules need."""
    window_us, keep_us = _dedup_windows(settings)
    return Plan(
        settings.peers,
        settings.heartbeat_s,
        settings.dead_after_s,
        _limits(settings),
        window_us,
        keep_us,
        settings.role,
        settings.advertise,
        settings.critical,
        settings.replicate,
        settings.dedup_events,
    )


def _dedup_windows(settings: NodeSettings) -> tuple[Callable[[str], int], int]:
    """The dedup window of a topic in microseconds, and the longest of all windows."""
    by_pattern = [(check_pattern(text), int(window * 1e6)) for text, window in settings.dedup_windows.items()]
    usual = int(settings.dedup_window_s * 1e6)
    known: dict[str, int] = {}

    def window_us(topic: str) -> int:
        found = known.get(topic)
        if found is None:
            exact = [us for pattern, us in by_pattern if pattern.matches(topic)]
            found = known[topic] = exact[0] if exact else usual
        return found

    return window_us, max([usual, *(us for _, us in by_pattern)])


def _limits(settings: NodeSettings) -> Limits:
    """What is kept, from the settings."""
    return Limits(
        settings.log_age_s, settings.log_events, settings.log_bytes, settings.letters_age_s, settings.letters_max
    )
