"""Which peers deserve a look."""

from __future__ import annotations

from typing import Any

SKEW_MS_MAX = 1000.0
"""A peer whose clock differs by more is an issue: people compare times of different machines."""


def has_issue(row: dict[str, Any], viewer: str = "peer") -> bool:
    """Whether a row of `peers` is not well: not alive, no link, events dropped, or a clock far from this one's.

    `viewer` is the role of the node whose row it is. A leaf that is linked with other peers alone is none of this
    node's business, nor are, for a leaf, the peers that it does not dial because it has links enough.
    """
    if row["state"] == "known" and (row["role"] == "leaf" or (viewer == "leaf" and not row["via"])):
        return False
    return row["state"] != "alive" or row["link"] != "up" or bool(row["dropped"]) or clock_is_off(row)


def clock_is_off(row: dict[str, Any]) -> bool:
    """Whether the peer's clock is far from this one's."""
    skew_ms = row["clock_skew_ms"]
    return skew_ms is not None and abs(skew_ms) > SKEW_MS_MAX
