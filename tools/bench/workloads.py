"""The workloads: what is published, how fast, to how many, and over how many nodes.

    burst        one topic, as fast as the publisher can                  events/s, from first to last delivery
    singles      two topics in turn, so that no two events share a frame  the same
    topics-200   200 topics in turn                                       the same
    documents    8 KB each;  large: 200 KB each                           MB/s of JSON
    latency      1,000 events/s on a fixed schedule;  latency-10k: 10,000  microseconds from publish to handler
    fan-out      8 subscribers, a process each                            events/s delivered, all together
    two-hops     publisher and subscriber at different nodes              events/s

The events are what programs of a cluster tell each other: JSON objects of 100-300 bytes with a dozen fields. Two fields
are added to each: `n`, its number, by which losses and repetitions are found (and which makes every event's content
different, so that no dedup window takes one for another), and `sent_ns`, the monotonic time just before it was
published, which all processes of one machine share.

A source makes events while they are asked for, and pauses where the schedule has some: a client that blocks sleeps
there, one on an event loop awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from random import Random
from time import monotonic_ns, sleep
from typing import Any, NamedTuple

import orjson

Payload = dict[str, Any]

Item = tuple[str, Payload] | float
"""An event to be published to a topic now, or a pause in seconds."""

_BOARDS = ("hex8", "hexagonal", "square8", "square19")


class Kind(NamedTuple):
    """A kind of payload: so many different ones before they repeat, `chunk` of them between two looks at the clock."""

    bytes_about: int
    templates: int
    chunk: int


KINDS = {"event": Kind(200, 1000, 64), "document": Kind(8 << 10, 100, 16), "large": Kind(200 << 10, 10, 1)}


class Workload(NamedTuple):
    """One workload. `rate` is in events per second; 0: as fast as the publisher can. `events_max` bounds a burst."""

    name: str
    about: str
    rate: int = 0
    kind: str = "event"
    topic_count: int = 1
    subscribers: int = 1
    hops: int = 1
    events_max: int = 1 << 62

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics, published to in turn."""
        if self.topic_count == 1:
            return ("bench.TRAINING_COMPLETED",)
        return tuple(f"bench.topic-{index:03}" for index in range(self.topic_count))


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("burst", "one topic, as fast as the publisher can"),
        Workload("singles", "two topics in turn, so that no two events share a frame", topic_count=2),
        Workload("topics-200", "200 topics in turn", topic_count=200),
        Workload("documents", "documents of 8 KB", kind="document"),
        Workload("large", "documents of 200 KB", kind="large"),
        Workload("latency", "1,000 events/s on a fixed schedule", rate=1000),
        Workload("latency-10k", "10,000 events/s on a fixed schedule", rate=10_000),
        Workload("fan-out", "8 subscribers, all deliveries together", subscribers=8, events_max=100_000),
        Workload("two-hops", "publisher and subscriber at two linked nodes", hops=2),
    )
}


class Source:
    """The events of one part of a run, numbered from `first` on. `late_us`: how far behind its schedule each was."""

    def __init__(self, workload: Workload, first: int) -> None:
        self.published = 0
        self.late_us: list[float] = []
        self._workload = workload
        self._first = first

    def items(self, seconds: float) -> Iterator[Item]:
        """Everything to publish in so many seconds."""
        return self._paced(seconds) if self._workload.rate else self._burst(seconds)

    def _burst(self, seconds: float) -> Iterator[Item]:
        """Without a pause."""
        workload, chunk = self._workload, KINDS[self._workload.kind].chunk
        pairs, first = cycle(_pairs(workload)), self._first
        n, end, end_ns = first, first + workload.events_max, monotonic_ns() + int(seconds * 1e9)
        while monotonic_ns() < end_ns and n < end:
            for _ in range(chunk):
                topic, template = next(pairs)
                yield topic, {**template, "n": n, "sent_ns": monotonic_ns()}
                n += 1
        self.published = n - first

    def _paced(self, seconds: float) -> Iterator[Item]:
        """On a schedule. An event that is late does not move the ones behind it: they follow at once."""
        pairs, rate, begin_ns = cycle(_pairs(self._workload)), self._workload.rate, monotonic_ns()
        for index in range(int(seconds * rate)):
            due_ns = begin_ns + index * 1_000_000_000 // rate
            while (wait_ns := due_ns - monotonic_ns()) > 0:
                yield wait_ns / 1e9
            topic, template = next(pairs)
            now_ns = monotonic_ns()
            self.late_us.append((now_ns - due_ns) / 1e3)
            self.published += 1
            yield topic, {**template, "n": self._first + index, "sent_ns": now_ns}


def drive(items: Iterable[Item], publish: Callable[[str, Payload], object]) -> None:
    """Publish what a source says, and sleep where it pauses."""
    for item in items:
        if isinstance(item, float):
            sleep(item)
        else:
            publish(*item)


def make_templates(kind: str = "event", seed: int = 7) -> list[Payload]:
    """Payloads without `n` and `sent_ns`, the same ones in every process and run."""
    draw, kind_ = Random(seed), KINDS[kind]
    if kind == "event":
        return [_SHAPES[index % len(_SHAPES)](draw) for index in range(kind_.templates)]
    return [_document(draw, kind_.bytes_about) for _ in range(kind_.templates)]


def body_bytes(kind: str) -> float:
    """The mean size of a payload as JSON, `n` and `sent_ns` included."""
    templates = make_templates(kind)
    sizes = [len(orjson.dumps({**each, "n": 123_456, "sent_ns": monotonic_ns()})) for each in templates]
    return sum(sizes) / len(sizes)


def _pairs(workload: Workload) -> list[tuple[str, Payload]]:
    """Topics in turn, each time with another template."""
    templates, topics = make_templates(workload.kind), workload.topics
    count = max(len(topics), len(templates))
    return [(topics[index % len(topics)], templates[index % len(templates)]) for index in range(count)]


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


def _document(draw: Random, size: int) -> Payload:
    """A report of many records, about `size` bytes as JSON."""
    document: Payload = {"host": _host(draw), "kind": "evaluation_report", "records": []}
    one = len(orjson.dumps(_training_completed(draw))) + 1
    document["records"] = [_training_completed(draw) for _ in range(size // one)]
    return document


_SHAPES = (_training_completed, _new_games, _sync_completed)
