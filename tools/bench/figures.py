"""The figures: what one run gave, and what several runs say together.

    runs of one contender and workload ──▶ median, least, greatest of every figure
                                       ──▶ ratio: median over the rounds of (its rate / the first contender's)

On a machine that is not idle absolute figures are noise, so contenders take turns and the ratio is taken within each
round, where both met about the same conditions. CPU time per event hardly depends on what else runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Run:
    """One run's measured part, warm-up excluded.

    published      events given to the publisher
    delivered      different events that reached the handler;  repeated: those that reached it once more
    lost           published and not delivered
    seconds        from the first to the last delivery
    events_per_s   delivered / seconds
    latency_us     from publish to handler: p50, p99, p99_9, max
    late_us_p99    how far behind its schedule the publisher was (0 in a burst)
    cpu_us         processor time per delivered event: publisher, broker, subscriber
    """

    published: int
    delivered: int
    repeated: int
    lost: int
    seconds: float
    events_per_s: float
    latency_us: Mapping[str, float]
    late_us_p99: float
    cpu_us: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """Several values of one figure."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Summary:
    """All runs of one contender and workload. `ratio` is of the events/s, 1.0 for the first contender itself."""

    contender: str
    workload: str
    runs: Sequence[Run]
    published: int
    lost: int
    repeated: int
    ratio: float
    events_per_s: Spread
    latency_us: Mapping[str, Spread]
    cpu_us: Mapping[str, Spread]


def make_run(published: int, report: Mapping[str, Any], late_us_p99: float, cpu_s: Mapping[str, float]) -> Run:
    """A run from what publisher, subscriber and the processes' clocks say. `report`: see `tools.bench.roles`."""
    delivered, seconds = report["delivered"], report["seconds"]
    return Run(
        published=published,
        delivered=delivered,
        repeated=report["arrived"] - delivered,
        lost=published - delivered,
        seconds=seconds,
        events_per_s=delivered / seconds if seconds else 0.0,
        latency_us=report["latency_us"],
        late_us_p99=late_us_p99,
        cpu_us={process: 1e6 * spent / max(1, delivered) for process, spent in cpu_s.items()},
    )


def summarise(contender: str, workload: str, runs: Sequence[Run], first: Sequence[Run]) -> Summary:
    """Runs of one contender, round by round beside those of the contender the ratio is taken of."""
    ratios = [run.events_per_s / other.events_per_s for run, other in zip(runs, first, strict=True) if other.delivered]
    return Summary(
        contender=contender,
        workload=workload,
        runs=runs,
        published=sum(run.published for run in runs),
        lost=sum(run.lost for run in runs),
        repeated=sum(run.repeated for run in runs),
        ratio=median(ratios) if ratios else 0.0,
        events_per_s=spread([run.events_per_s for run in runs]),
        latency_us={key: spread([run.latency_us[key] for run in runs]) for key in PERCENTILES},
        cpu_us={key: spread([run.cpu_us[key] for run in runs]) for key in runs[0].cpu_us},
    )


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
