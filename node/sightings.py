"""Sightings: what an operator reads in the log of who comes and goes. A rule; it compares how peers are now and before.

    nothing, known      ─▶ alive     linked with b
    suspect, dead, left ─▶ alive     back: b
    alive               ─▶ suspect   suspected: b (the connection was closed)
    alive, suspect      ─▶ dead      taken for dead: b (silent for 10 s)
    alive, suspect      ─▶ left      left: b
    alive, suspect      ─▶ known     no link any more: b (heard of through others …; c carries its events)
    an address where no node has answered for ten looks     no node at tcp://10.0.0.7:7270 (nobody answers there)

Looked at once in a while and never per heartbeat, so a peer that flickers costs a line a look. What befalls many at
once is one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_NAMED_MAX = 8
"""Names in one line; of more, how many they are."""

_PATIENCE_LOOKS = 10
"""For how many looks an address may be silent: nodes that are started together do not come up at once."""

_NEWS = {
    "alive": "linked with {}",
    "back": "back: {}",
    "suspect": "suspected: {}",
    "dead": "taken for dead: {}",
    "left": "left: {}",
    "unlinked": "no link any more: {}",
    "nobody": "no node at {}",
}


class Sightings:
    """What one node has seen of its peers so far."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._silent: dict[tuple[str, str], int] = {}

    def news(self, rows: Iterable[dict[str, Any]]) -> list[str]:
        """What has changed since the last look, a line for each kind; `rows` as in `mesh peers`."""
        rows = list(rows)
        found: dict[str, list[str]] = {}
        states = {row["origin"]: row for row in rows if row["origin"]}
        for origin, row in states.items():
            kind = _change(self._states.get(origin, "known"), row["state"])
            if kind:
                reason = row["reason"] if kind in ("suspect", "dead", "unlinked") else ""
                found.setdefault(kind, []).append(_with(row["name"], reason))
        self._states = {origin: self._remembered(origin, row["state"]) for origin, row in states.items()}
        silent = [(row["address"], row["reason"]) for row in rows if not row["origin"]]
        self._silent = {each: self._silent.get(each, 0) + 1 for each in silent}
        nobody = [_with(*each) for each, looks in self._silent.items() if looks == _PATIENCE_LOOKS]
        if nobody:
            found["nobody"] = nobody
        return [_NEWS[kind].format(_joined(found[kind])) for kind in _NEWS if kind in found]

    def _remembered(self, origin: str, now: str) -> str:
        """A peer's state for the next look: who was here before is not one of whom was only heard."""
        return "unlinked" if now == "known" and self._states.get(origin, "known") != "known" else now


def _change(before: str, now: str) -> str:
    """Which of the news it is, or "" for none."""
    if now == "known":
        return "unlinked" if before in ("alive", "suspect") else ""
    if now == before:
        return ""
    if before == "known":  # of whom one only heard
        return now if now == "alive" else ""
    return "back" if now == "alive" else now


def _with(what: str, reason: str) -> str:
    return f"{what} ({reason})" if reason else what


def _joined(names: list[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
