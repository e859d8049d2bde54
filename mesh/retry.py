"""Retry: what happens to an event after its handler failed. Arithmetic and nothing else.

    attempt 1 fails ──▶ wait ──▶ attempt 2 fails ──▶ wait ──▶ … attempt `attempts` fails ──▶ dead

The delay before attempt n+1 is drawn evenly from 0 to min(cap, first · 2^(n-1)): exponential backoff with full jitter.
Full jitter spreads the load of many consumers that failed together best for the least total work (Brooker, "Exponential
Backoff And Jitter", 2015). The draw is an argument in [0, 1), so that a table can test the arithmetic.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from mesh.errors import InvalidOption

_DOUBLINGS_MAX = 60


class RetryPolicy(NamedTuple):
    """How often a consumer tries an event, and how long it waits in between.

    attempts   tries in all, the first included; at least 1
    first_s    largest delay before the second try, in seconds
    cap_s      largest delay before any later one, in seconds
    """

    attempts: int
    first_s: float
    cap_s: float


class TryAgain(NamedTuple):
    """The event waits `after_s` seconds and is then given to the consumer again."""

    after_s: float


class GiveUp(NamedTuple):
    """The attempts are used up: the event is dead until an operator looks at it."""


def check_policy(attempts: int, backoff: tuple[float, float]) -> RetryPolicy:
    """Make a policy from a user's values; raises `InvalidOption`."""
    first_s, cap_s = backoff
    if attempts < 1:
        raise InvalidOption(f"attempts is {attempts}; an event is tried at least once, so use 1 or more")
    if not 0 <= first_s <= cap_s < inf:
        raise InvalidOption(f"backoff is {backoff}; give (first, largest) in finite seconds, 0 ≤ first ≤ largest")
    return RetryPolicy(attempts, float(first_s), float(cap_s))


def after_failure(policy: RetryPolicy, attempt: int, draw: float) -> TryAgain | GiveUp:
    """Decide what follows when attempt number `attempt` (1-based) failed. `draw` is uniform in [0, 1)."""
    return GiveUp() if attempt >= policy.attempts else TryAgain(delay_s(policy.first_s, policy.cap_s, attempt, draw))


def delay_s(first_s: float, cap_s: float, attempt: int, draw: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (1-based)."""
    return draw * min(cap_s, first_s * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX))
