"""The workloads: what is published, how fast, and what is measured.

    burst     as fast as the publisher can, for some seconds     events/s from the first to the last delivered
    latency   1,000 events/s on a fixed schedule                 microseconds from publish to handler

The events are what programs of a cluster tell each other: JSON objects of 100-300 bytes with a dozen fields. Two fields
are added to each: `n`, its number, by which losses and repetitions are found (and which makes every event's content
different, so that no dedup window takes one for another), and `sent_ns`, the monotonic time just before it was
published, which all processes of one machine share.
"""

from __future__ import annotations

from itertools import cycle, islice
from random import Random
from time import monotonic_ns, sleep
from typing import Any, NamedTuple, Protocol

Payload = dict[str, Any]

TEMPLATES = 1000
"""Different events before they repeat (all but `n` and `sent_ns`); more than any cache of strings holds by accident."""

CHUNK = 64
"""Events published between two looks at the clock."""

_BOARDS = ("hex8", "hexagonal", "square8", "square19")


class Workload(NamedTuple):
    """One workload. `rate` is in events per second; 0: as fast as the publisher can."""

    name: str
    about: str
    rate: int


class Publishing(NamedTuple):
    """What a publisher did. `late_us`: how far behind its schedule each event was published (empty in a burst)."""

    published: int
    late_us: list[float]


class Publisher(Protocol):
    """As much of a contender's publisher as a workload needs."""

    def publish(self, payload: Payload) -> None:
        """Publish one event."""


BURST = Workload("burst", "as fast as the publisher can", 0)
LATENCY = Workload("latency", "1,000 events/s on a fixed schedule", 1000)
WORKLOADS = {workload.name: workload for workload in (BURST, LATENCY)}


def make_templates(count: int = TEMPLATES, seed: int = 7) -> list[Payload]:
    """`count` payloads without `n` and `sent_ns`, the same ones in every process and run."""
    draw = Random(seed)
    return [_SHAPES[index % len(_SHAPES)](draw) for index in range(count)]


def publish_burst(publisher: Publisher, first: int, seconds: float) -> Publishing:
    """Publish events numbered from `first` on for so long, without a pause."""
    templates, publish = cycle(make_templates()), publisher.publish
    n, end_ns = first, monotonic_ns() + int(seconds * 1e9)
    while monotonic_ns() < end_ns:
        for template in islice(templates, CHUNK):
            publish({**template, "n": n, "sent_ns": monotonic_ns()})
            n += 1
    return Publishing(n - first, [])


def publish_paced(publisher: Publisher, first: int, seconds: float, rate: int) -> Publishing:
    """Publish `rate` events a second. One that is late does not move the ones behind it: they follow at once."""
    templates, late_us, begin_ns = cycle(make_templates()), [], monotonic_ns()
    for index in range(int(seconds * rate)):
        due_ns = begin_ns + index * 1_000_000_000 // rate
        wait_ns = due_ns - monotonic_ns()
        if wait_ns > 0:
            sleep(wait_ns / 1e9)
        now_ns = monotonic_ns()
        late_us.append((now_ns - due_ns) / 1e3)
        publisher.publish({**next(templates), "n": first + index, "sent_ns": now_ns})
    return Publishing(len(late_us), late_us)


def _host(draw: Random) -> str:
    return f"gpu-{draw.randrange(50):02}.cluster"


def _config(draw: Random) -> str:
    return f"{draw.choice(_BOARDS)}_{draw.randrange(2, 5)}p"


def _training_completed(draw: Random) -> Payload:
    return {
        "config_key": _config(draw),
        "model_path": f"models/{draw.randrange(1 << 32):08x}.pth",
        "host": _host(draw),
        "epochs": draw.randrange(10, 80),
        "final_loss": round(draw.random(), 6),
        "elo": round(1500 + 600 * draw.random(), 1),
        "promoted": draw.random() < 0.3,
    }


def _new_games(draw: Random) -> Payload:
    return {
        "host": _host(draw),
        "new_games": draw.randrange(1, 500),
        "total_games": draw.randrange(1 << 20),
        "config_key": _config(draw),
        "trigger": "selfplay",
    }


def _sync_completed(draw: Random) -> Payload:
    return {
        "host": _host(draw),
        "targets": [_host(draw) for _ in range(draw.randrange(1, 4))],
        "sync_type": "incremental",
        "files_synced": draw.randrange(200),
        "bytes_transferred": draw.randrange(1 << 32),
        "duration_seconds": round(30 * draw.random(), 3),
        "config_key": _config(draw),
        "errors": None,
    }


_SHAPES = (_training_completed, _new_games, _sync_completed)
