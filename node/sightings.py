"""Sightings: what an operator reads in the log of who comes and goes. A rule; it compares how peers are now and before.

    nothing, known      ─▶ alive     linked with b
    suspect, dead, left ─▶ alive     back: b
    alive               ─▶ suspect   suspected: b (the connection was closed)
    alive, suspect      ─▶ dead      taken for dead: b (silent for 10 s)
    alive, suspect      ─▶ left      left: b

Looked at once in a while and never per heartbeat, so a peer that flickers costs a line a look. What befalls many at
once is one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_NAMED_MAX = 8
"""Names in one line; of more, how many they are."""

_NEWS = {
    "alive": "linked with {}",
    "back": "back: {}",
    "suspect": "suspected: {}",
    "dead": "taken for dead: {}",
    "left": "left: {}",
}


class Sightings:
    """What one node has seen of its peers so far."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def news(self, rows: Iterable[dict[str, Any]]) -> list[str]:
        """What has changed since the last look, a line for each kind; `rows` as in `mesh peers`."""
        found: dict[str, list[str]] = {}
        states = {row["origin"]: row for row in rows if row["origin"]}
        for origin, row in states.items():
            kind = _change(self._states.get(origin, "known"), row["state"])
            if kind:
                reason = f" ({row['reason']})" if row["reason"] and kind in ("suspect", "dead") else ""
                found.setdefault(kind, []).append(row["name"] + reason)
        self._states = {origin: row["state"] for origin, row in states.items()}
        return [_NEWS[kind].format(_joined(found[kind])) for kind in _NEWS if kind in found]


def _change(before: str, now: str) -> str:
    """Which of the news it is, or "" for none."""
    if now in (before, "known"):
        return ""
    if before == "known":  # of whom one only heard
        return now if now == "alive" else ""
    return "back" if now == "alive" else now


def _joined(names: list[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
