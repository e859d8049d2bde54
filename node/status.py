"""The status: rows about a node for people and programs. Reads the state, changes nothing."""

from __future__ import annotations

from typing import Any

from node.audit import audit
from node.clock import Now
from node.core import Node
from node.delivery import Consumer
from node.peer_rows import peer_rows
from node.state import State
from node.streams import Stream

Row = dict[str, Any]

_LAG_STREAMS_MAX = 100
"""Streams looked at for the age of the oldest unsettled event; a consumer that is behind in more is behind anyway."""


def status(node: Node, version: str, started_us: int, now: Now) -> Row:
    """The node at a glance, in the shape of `mesh status --json`."""
    state = node.state
    books = audit(state)
    return {
        "node": node_row(node, version, started_us, now),
        "membership": {
            **node.membership.limits.described(),
            "members": len(node.membership.members.rows),
            "turned_away": node.membership.members.turned_away,
        },
        "peers": peer_rows(node, now),
        "sessions": [
            {"session": each.id.hex(), "name": each.name, "pid": each.pid, "subscriptions": len(each.subs)}
            for each in node.sessions.sessions.values()
        ],
        "consumers": consumer_rows(state, now),
        "dlq": dlq_summary(state, now),
        "dedup": {"remembered": len(state.relay.window)},
        "log": {**state.log_sizes.size(), "damaged": len(state.log.damaged)},
        "counts": dict(sorted({**node.counts, "from strangers": node.links.strangers}.items())),
        "interest": list(state.interest.patterns),
        "balanced": books["balanced"],
    }


def node_row(node: Node, version: str, started_us: int, now: Now) -> Row:
    """Who the node is, how long it runs, and what is wrong with its disk or its name."""
    trouble = node.lately(now)
    return {
        "name": node.state.name,
        "origin": node.state.origin,
        "version": version,
        "uptime_s": round((now.wall_us - started_us) / 1e6, 3),
        "trouble": str(trouble) if trouble else None,
        "role": node.links.me.role,
        "incarnation": node.links.me.incarnation,
        "conflict": node.membership.conflict or None,
    }


def consumer_rows(state: State, now: Now) -> list[Row]:
    """One row per consumer, in the shape of `mesh consumers --json`."""
    streams = list(state.relay.by_id.values())
    rows = []
    for _, consumer in sorted(state.consumers.items()):
        lag, oldest_us = _lag(state, consumer, streams)
        lag_s = round((now.wall_us - oldest_us) / 1e6, 3) if oldest_us else 0.0
        rows.append({**consumer_row(consumer, lag, now), "lag_s": lag_s})
    return rows


def consumer_row(consumer: Consumer, lag: int | None, now: Now) -> Row:
    """One consumer that has not settled `lag` events; None while they were not counted."""
    books = consumer.books
    holders = [each.holder for each in consumer.followings if each.attachment]
    return {
        "consumer": books.name,
        "pattern": books.pattern,
        "durable": books.durable,
        "state": "attached" if holders else "detached",
        "process": ", ".join(sorted(set(holders))),
        "lag": lag,
        "in_flight": lag if holders else 0,
        "settled": books.handled + books.resolved,
        "failed": books.failed,
        "lost": books.lost,
        "last_report_s": round((now.wall_us - books.seen_us) / 1e6, 3),
    }


def _lag(state: State, consumer: Consumer, streams: list[Stream]) -> tuple[int, int | None]:
    """Events a consumer has not settled, and when this node took in the oldest of them."""
    lag, oldest_us = 0, None
    for following in consumer.followings:
        behind = following.behind(streams)
        lag += following.in_flight(behind)
        for stream in behind[:_LAG_STREAMS_MAX]:
            taken_us = state.log.appended_us(stream.id, following.cursor(stream) + 1)
            if taken_us is not None:
                oldest_us = taken_us if oldest_us is None else min(oldest_us, taken_us)
    return lag, oldest_us


def dlq_summary(state: State, now: Now) -> Row:
    """The dead letter queue at a glance, in the shape of `mesh dlq --json`."""
    by_topic: dict[str, int] = {}
    by_consumer: dict[str, int] = {}
    counts = {"waiting": 0, "dead": 0}
    oldest_us = now.wall_us
    for consumer, topic, letter_state, count, first_us in state.letters.counts():
        counts[letter_state] += count
        by_topic[topic] = by_topic.get(topic, 0) + count
        by_consumer[consumer] = by_consumer.get(consumer, 0) + count
        oldest_us = min(oldest_us, first_us)
    healthy = not counts["dead"]
    return {
        **counts,
        "resolved": sum(each.books.resolved for each in state.consumers.values()),
        "by_topic": by_topic,
        "by_consumer": by_consumer,
        "oldest_age_s": round((now.wall_us - oldest_us) / 1e6, 3),
        "healthy": healthy,
        "message": _health(counts["dead"], counts["waiting"]),
    }


def _health(dead: int, waiting: int) -> str:
    if dead:
        return f"{dead} dead; read them with `mesh dlq list`, mend the handler, then `mesh dlq retry --all`"
    return f"{waiting} waiting for their next attempt" if waiting else "no dead letters"
