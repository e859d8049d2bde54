"""Starting a program's wiring: all groups at once or one event with patience, and what to do when it does not work.

bootstrap(require_critical=True)        every entry of the registry; raises when a critical one is missing
await subscribe_with_retry(event, …)    one subscription, tried again after 1, 2, 4 … s
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mesh.coordination.event_router import EventName, get_router
from mesh.coordination.registry import (
    ATTACH_S,
    ATTEMPTS,
    Entry,
    SubscriptionRegistry,
    WiringReport,
    delays_s,
    get_registry,
)
from mesh.errors import CriticalSubscriptionsMissing
from mesh.jobs import Handler

RETRIED = "subscribed with retry"
"""The group of what is subscribed by `subscribe_with_retry`."""


def bootstrap(
    registry: SubscriptionRegistry | None = None, *, require_critical: bool = False, attempts: int = ATTEMPTS
) -> WiringReport:
    """Wire a registry (default: the one of this process); returns what was subscribed and what failed, and why.

    With `require_critical`, raises `CriticalSubscriptionsMissing` when a critical subscription is not there: a program
    that would run without noticing what it is there for had better not start.
    """
    report = (registry if registry is not None else get_registry()).wire(attempts)
    if require_critical and report.critical_missing:
        reasons = "; ".join(f"{topic}: {reason}" for topic, reason in report.critical_missing.items())
        raise CriticalSubscriptionsMissing(f"critical subscriptions are missing ({reasons})")
    return report


async def subscribe_with_retry(
    event: EventName,
    handler: Handler,
    max_attempts: int = ATTEMPTS,
    is_critical: bool = False,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    **options: Any,
) -> bool:
    """Subscribe, trying again after 1, 2, 4 … seconds; returns whether it is subscribed after the last attempt.

    max_attempts  how often it is tried here; one that failed is tried on in the background
    is_critical   the node is not ready (`/readyz`) while it is missing; types the catalogue marks always are
    sleep         what waits between the attempts

    Raises `InvalidTopic`, `InvalidOption` or (strict) `UnknownEventType`: those no other attempt would mend.
    """
    registry = get_registry()
    entry = registry.add(event, handler, group=RETRIED, critical=is_critical, **options)
    there = await _attempt(registry, entry)
    for delay_s in delays_s(max_attempts):
        if there:
            break
        await sleep(delay_s)
        there = await _attempt(registry, entry)
    registry.watch()
    return there


async def _attempt(registry: SubscriptionRegistry, entry: Entry) -> bool:
    """On this loop, because that is where a coroutine handler is to run; only the waiting for a node is elsewhere."""
    await asyncio.to_thread(get_router().wait_attached, ATTACH_S)
    return registry.attempt(entry)
