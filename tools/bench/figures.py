"""The figures: what one run gave, what several runs say together, and how two contenders compare.

    runs of one cell ──▶ median, least, greatest of every figure
    runs of two cells, round by round ──▶ their ratio: median, least, greatest

On a machine that is not idle absolute figures are noise, so contenders take turns and a ratio is taken within each
round, where both met about the same conditions. CPU time per event hardly depends on what else runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Run:
    """One run's measured part, warm-up excluded.

    published      events given to the publisher
    expected       deliveries that follow from that: one for each subscriber
    delivered      different events that reached a handler;  repeated: those that reached it once more
    lost           expected and not delivered
    seconds        from the first to the last delivery
    events_per_s   delivered / seconds
    latency_us     from publish to handler: p50, p99, p99_9, max, each of the subscriber where it is worst
    late_us_p99    how far behind its schedule the publisher was (0 in a burst)
    cpu_us         processor time per delivered event: publisher, broker, subscriber (all of a kind together)
    """

    published: int
    expected: int
    delivered: int
    repeated: int
    lost: int
    seconds: float
    events_per_s: float
    latency_us: Mapping[str, float]
    late_us_p99: float
    cpu_us: Mapping[str, float]


Figure = Callable[[Run], float]


@dataclass(frozen=True)
class Spread:
    """Several values of one figure."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Summary:
    """All runs of one contender and workload. `ratio` is of the first contender's events/s to this one's."""

    contender: str
    workload: str
    runs: Sequence[Run]
    expected: int
    lost: int
    repeated: int
    ratio: Spread
    events_per_s: Spread
    latency_us: Mapping[str, Spread]
    cpu_us: Mapping[str, Spread]


def make_run(
    published: int, reports: Sequence[Mapping[str, Any]], late_us_p99: float, cpu_s: Mapping[str, float]
) -> Run:
    """A run from what publisher, subscribers and the processes' clocks say. `reports`: see `tools.bench.roles`."""
    delivered, expected = sum(report["delivered"] for report in reports), published * len(reports)
    heard = [report for report in reports if report["delivered"]]
    begin_ns = min((report["begin_ns"] for report in heard), default=0)
    seconds = (max((report["end_ns"] for report in heard), default=0) - begin_ns) / 1e9
    return Run(
        published=published,
        expected=expected,
        delivered=delivered,
        repeated=sum(report["arrived"] for report in reports) - delivered,
        lost=expected - delivered,
        seconds=seconds,
        events_per_s=delivered / seconds if seconds else 0.0,
        latency_us={key: max(report["latency_us"][key] for report in reports) for key in PERCENTILES},
        late_us_p99=late_us_p99,
        cpu_us={process: 1e6 * spent / max(1, delivered) for process, spent in cpu_s.items()},
    )


def summarise(contender: str, workload: str, runs: Sequence[Run], first: Sequence[Run]) -> Summary:
    """Runs of one contender, round by round beside those of the contender that is compared with it."""
    return Summary(
        contender=contender,
        workload=workload,
        runs=runs,
        expected=sum(run.expected for run in runs),
        lost=sum(run.lost for run in runs),
        repeated=sum(run.repeated for run in runs),
        ratio=ratio(first, runs, rate),
        events_per_s=spread([run.events_per_s for run in runs]),
        latency_us={key: spread([run.latency_us[key] for run in runs]) for key in PERCENTILES},
        cpu_us={key: spread([run.cpu_us[key] for run in runs]) for key in runs[0].cpu_us},
    )


def ratio(ours: Sequence[Run], theirs: Sequence[Run], figure: Figure) -> Spread:
    """One figure of ours divided by theirs, round by round; rounds where theirs is 0 say nothing."""
    found = [figure(one) / figure(other) for one, other in zip(ours, theirs, strict=True) if figure(other)]
    return spread(found or [0.0])


def rate(run: Run) -> float:
    """The figure events/s."""
    return run.events_per_s


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest of at least one value."""
    return Spread(median(values), min(values), max(values))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The percentiles that are reported, of values in any order."""
    ordered = sorted(values)
    return {name: percentile(ordered, share) for name, share in PERCENTILES.items()}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the ascending values do not exceed (nearest rank); 0 for none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
