"""The wiring as one node sees it: what is announced, who subscribes, and what must be handled. Read by `wiring.view`.

    streams ────▶ emitted     topic → when the newest event of it was taken in here;   origins: topic → who announces it
    consumers ──▶ subscribed  pattern → consumers, durable ones also while they are away;   attached: those here now
    programs ───▶ critical    topics the configuration or a program requires

One row; a view of the whole mesh is one row from every node, put together by who asked (`mesh.coordination`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from node.state import State
from node.streams import Stream

STREAMS_DATED_MAX = 2000
"""Streams whose newest event is looked up, about 10 µs each; of a topic beyond that it is only said that it exists."""


def wiring_row(state: State, critical: Collection[str]) -> dict[str, Any]:
    """This node's row; the shape is `mesh.coordination.wiring_gaps.WiringRow`, and `origins` beside it."""
    streams = sorted(state.relay.by_id.values(), key=lambda each: (each.origin != state.origin, each.topic))
    subscribed: dict[str, set[str]] = {}
    attached: dict[str, set[str]] = {}
    for name, consumer in state.consumers.items():
        for following in consumer.followings:
            subscribed.setdefault(following.pattern.text, set()).add(name)
            if following.attachment:
                attached.setdefault(following.pattern.text, set()).add(name)
    return {
        "node": state.name,
        "emitted": _emitted(state, streams),
        "origins": _origins(streams),
        "subscribed": {pattern: sorted(names) for pattern, names in sorted(subscribed.items())},
        "attached": {pattern: sorted(names) for pattern, names in sorted(attached.items())},
        "critical": sorted(critical),
    }


def _emitted(state: State, streams: list[Stream]) -> dict[str, float | None]:
    seen: dict[str, float | None] = {stream.topic: None for stream in streams if stream.head > 0}
    for stream in streams[:STREAMS_DATED_MAX]:
        at_us = state.log.appended_us(stream.id, stream.head) if stream.head else None
        before = seen.get(stream.topic)
        if at_us is not None and (before is None or at_us / 1e6 > before):
            seen[stream.topic] = at_us / 1e6
    return dict(sorted(seen.items()))


def _origins(streams: list[Stream]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for stream in streams:
        if stream.head > 0:
            found.setdefault(stream.topic, []).append(stream.origin)
    return {topic: sorted(origins) for topic, origins in sorted(found.items())}
