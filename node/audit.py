"""The audit: do the books balance? Counters and ranges, one pass over an index, no look at an event.

    a stream     head - base  =  events in the log  +  deleted by retention  (a range below the log's first)
                                                    +  lost between nodes    (ranges that no node has any more, named)
    a consumer   published    =  settled + waiting + dead + expired + lost + in flight

A consumer's right side comes from three places that are written independently: its cursors (how far), its counters
(what became of what they passed) and the table of letters (what is there now). They agree or something was lost.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from node.delivery import Consumer
from node.state import State

Row = dict[str, Any]


def audit(state: State) -> Row:
    """The whole balance, in the shape of `mesh audit --json`."""
    streams = stream_balances(state)
    letters = letter_counts(state)
    consumers = [consumer_balance(state, each, letters) for _, each in sorted(state.consumers.items())]
    return {
        "balanced": all(row["balanced"] for row in (*streams, *consumers)),
        "streams": streams,
        "consumers": consumers,
        "lost_ranges": [*state.letters.losses(), *lost_between_nodes(state)],
    }


def stream_balances(state: State) -> list[Row]:
    """Per stream: what was published, what the log holds, what it lacks."""
    sizes, holes = state.log_sizes.streams(), _hole_sizes(state)
    rows = []
    for stream in sorted(state.relay.by_id.values(), key=lambda each: (each.origin, each.topic)):
        first, last, held = sizes.get(stream.id, (stream.head + 1, stream.head, 0))
        lost = sum(max(0, end - max(begin, first) + 1) for begin, end in holes.get(stream.id, ()))
        rows.append(
            {
                "origin": stream.origin,
                "topic": stream.topic,
                "published": stream.head - stream.base,
                "in_log": held,
                "deleted": first - 1 - stream.base,
                "missing": stream.head - first + 1 - held,
                "lost": lost,
                "behind": stream.gap.known - stream.head if stream.gap else 0,
                "balanced": last <= stream.head and first > stream.base and held + lost == stream.head - first + 1,
            }
        )
    return rows


def _hole_sizes(state: State) -> dict[int, list[tuple[int, int]]]:
    holes: dict[int, list[tuple[int, int]]] = {}
    for stream, first, last, _ in state.log.holes():
        holes.setdefault(stream, []).append((first, last))
    return holes


def lost_between_nodes(state: State) -> list[Row]:
    """The ranges of streams that no node had any more, in the shape of a consumer's losses."""
    return [
        {
            "consumer": None,
            "origin": state.relay.by_id[stream].origin,
            "topic": state.relay.by_id[stream].topic,
            "first": first,
            "last": last,
            "reason": "no node has it any more",
            "at_us": at_us,
        }
        for stream, first, last, at_us in state.log.holes()
    ]


def consumer_balance(state: State, consumer: Consumer, letters: Counter[tuple[str, str]]) -> Row:
    """One consumer's books. `letters` counts (consumer, state)."""
    books = consumer.books
    waiting, dead = letters[books.name, "waiting"], letters[books.name, "dead"]
    in_flight = sum(each.in_flight(state.relay.by_id.values()) for each in consumer.followings)
    settled = books.handled + books.resolved
    published = books.passed + in_flight
    return {
        "consumer": books.name,
        "published": published,
        "settled": settled,
        "waiting": waiting,
        "dead": dead,
        "expired": books.expired,
        "lost": books.lost,
        "in_flight": in_flight,
        "balanced": published == settled + waiting + dead + books.expired + books.lost + in_flight,
    }


def letter_counts(state: State) -> Counter[tuple[str, str]]:
    """(consumer, state) → how many letters."""
    counts: Counter[tuple[str, str]] = Counter()
    for consumer, _, letter_state, count, _ in state.letters.counts():
        counts[consumer, letter_state] += count
    return counts
