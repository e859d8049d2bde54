"""Options: what `subscribe` was given, checked before anything happens, and how it travels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mesh.errors import InvalidOption
from mesh.retry import RetryPolicy, check_policy
from mesh.topic import Pattern, check_pattern

CONSUMER_CHARS_MAX = 200

Since = Literal["now", "earliest"] | datetime | float | int


@dataclass(frozen=True, slots=True)
class Options:
    """A subscription's options, checked. Times in seconds; `since` as it travels."""

    pattern: Pattern
    consumer: str
    durable: bool
    since: Any
    policy: RetryPolicy
    timeout_s: float
    concurrency: int
    queue: int


def check_options(
    pattern: str,
    consumer: str,
    durable: bool,
    since: Since,
    attempts: int,
    timeout: float,
    backoff: tuple[float, float],
    concurrency: int,
    queue: int,
) -> Options:
    """Check what `subscribe` was given; raises `InvalidTopic` or `InvalidOption`."""
    policy = check_policy(attempts, backoff)
    if not consumer or len(consumer) > CONSUMER_CHARS_MAX or not consumer.isprintable():
        raise InvalidOption(
            f"name {consumer!r} is no consumer name; use 1 to {CONSUMER_CHARS_MAX} printable characters"
        )
    if not 0 < timeout < math.inf:
        raise InvalidOption(f"timeout is {timeout}; give a handler a number of seconds above 0")
    if concurrency < 1:
        raise InvalidOption(f"concurrency is {concurrency}; at least one handler must run")
    if queue < 1:
        raise InvalidOption(f"queue is {queue}; at least one event must fit")
    return Options(
        check_pattern(pattern), consumer, durable, since_wire(since), policy, float(timeout), concurrency, queue
    )


def since_wire(since: Since) -> Any:
    """`since` as it travels: "now", "earliest", {"time_us": wall time} or {"ago_us": microseconds}."""
    if since in ("now", "earliest"):
        return since
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise InvalidOption(f"since is {since!r}, which has no time zone; use datetime.now(UTC) and the like")
        return {"time_us": int(since.timestamp() * 1e6)}
    if isinstance(since, int | float) and not isinstance(since, bool) and 0 <= since < math.inf:
        return {"ago_us": int(since * 1e6)}
    raise InvalidOption(f'since is {since!r}; use "now", "earliest", an aware datetime, or seconds ago')
