"""Cross-process events: a queue from which every consumer takes every event, at its own pace.

    any program ─ publish_cross_process ─▶ mesh ─┬▶ queue "evaluator"   its own cursor, on its node's disk
                                                 ├▶ queue "evaluator#2"
                                                 └▶ queue "archive"     maybe on another machine

A queue is a durable consumer with a name. What it has been given and did not acknowledge comes again, at once when it
asks again and also after a crash; what one queue acknowledges is nothing to the others. Without a name a queue goes by
the program's; when a living process has that one, it is the first free of name#2, name#3 … So three workers of one
program have three queues, and any of them may continue another's after a restart: a consumer that must find its own
place again gives itself a name. One that is not needed any more: `mesh consumers forget NAME`.

    queue = get_cross_process_queue()
    for event in queue.get_pending_events():
        handle(event)
        queue.acknowledge(event)
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from mesh.coordination import default_bus
from mesh.coordination.event_router import EventName, get_router
from mesh.errors import ConsumerHeld, InvalidOption
from mesh.event import Event
from mesh.mailbox import PENDING_MAX, Mailbox
from mesh.options import Since
from mesh.receipt import Receipt
from mesh.subscription import Subscription

SINCE_S = 3600.0
"""A queue the node does not know yet begins with what was published so long ago: what was announced while its program
was being started is not missed, and what is a week old is not acted upon."""

PUBLISHED_S = 2.0
"""How long making a queue waits until what this process has published is on the node's disk."""

SAME_NAME_MAX = 100
"""Processes of one program that may have a queue without a name of its own."""


def publish_cross_process(
    event: EventName, payload: Mapping[str, Any] | None = None, *, source: str = "", **options: Any
) -> Receipt:
    """Publish an event that other processes take from their queues; arguments as for `publish`.

    Every event of the mesh reaches other processes, so this is `publish` under the name the runbook has for it.
    """
    return get_router().publish(event, payload, source=source, **options)


class CrossProcessQueue:
    """One consumer's queue; made by `get_cross_process_queue`."""

    def __init__(self, subscription: Subscription, mailbox: Mailbox) -> None:
        self._subscription = subscription
        self._mailbox = mailbox

    @property
    def name(self) -> str:
        """The consumer's name: under it the node keeps the cursor."""
        return self._subscription.name

    @property
    def pattern(self) -> str:
        """The topics it takes in."""
        return self._subscription.pattern

    def get_pending_events(self, limit: int = PENDING_MAX, timeout: float = 1.0) -> list[Event]:
        """The oldest events that are not acknowledged, at most `limit`, in order per type and origin.

        Waits up to `timeout` seconds while there are none. Raises `RequestRefused` when the node refused the queue.
        """
        if self._subscription.error is not None:
            raise self._subscription.error
        return self._mailbox.pending(limit, timeout)

    def acknowledge(self, events: Event | Iterable[Event]) -> int:
        """These are done and do not come again; returns how many were pending. Said twice, it changes nothing."""
        return self._mailbox.acknowledge(events)

    def fail(self, event: Event, error: BaseException) -> bool:
        """This one cannot be handled: it is tried again later and ends in the dead letters, as with any handler."""
        return self._mailbox.fail(event, error)

    @property
    def ended(self) -> bool:
        """Whether it was closed, or the node refused it."""
        return self._subscription.error is not None or self._mailbox.closed

    def close(self, timeout: float = 5.0) -> None:
        """End it; the cursor stays, and the next queue of that name continues there. `timeout` in seconds."""
        self._subscription.close(timeout)

    def __repr__(self) -> str:
        return f"<CrossProcessQueue {self.name} of {self.pattern}>"


class _Queues:
    """The queues of this process, by the name that was asked for."""

    def __init__(self) -> None:
        self._bus = default_bus.default_bus()
        self._lock = threading.Lock()
        self._queues: dict[str | None, CrossProcessQueue] = {}

    def get(self, name: str | None, pattern: str, since: Since) -> CrossProcessQueue:
        """The queue, opened when it was not or is no more."""
        with self._lock:
            queue = self._queues.get(name)
            if queue is None or queue.ended:
                queue = self._queues[name] = self._open(name, pattern, since)
        if queue.pattern != pattern:
            raise InvalidOption(f"queue {queue.name!r} takes in {queue.pattern}, not {pattern}; give another name")
        return queue

    def _open(self, name: str | None, pattern: str, since: Since) -> CrossProcessQueue:
        self._bus.flush(PUBLISHED_S)
        names = [name] if name is not None else _numbered(f"{self._bus.name}.queue")
        for each in names[:-1]:
            try:
                return self._subscribe(each, pattern, since)
            except ConsumerHeld:
                continue
        return self._subscribe(names[-1], pattern, since)

    def _subscribe(self, name: str, pattern: str, since: Since) -> CrossProcessQueue:
        mailbox = Mailbox()
        subscription = self._bus.subscribe(pattern, mailbox, name=name, durable=True, since=since)
        return CrossProcessQueue(subscription, mailbox)


def _numbered(name: str) -> list[str]:
    return [name, *(f"{name}#{n}" for n in range(2, SAME_NAME_MAX + 1))]


def get_cross_process_queue(
    name: str | None = None, *, pattern: EventName = "*", since: Since = SINCE_S
) -> CrossProcessQueue:
    """This process's queue, made at the first call and the same at the next.

    name     the consumer's name, unique in the mesh; default: one for this program (see the module)
    pattern  the events it takes in: a type, or a pattern such as `TRAINING_*`
    since    where a queue begins that the node does not know yet; default: an hour ago

    Raises `ConsumerHeld` when another process has that name now, and `InvalidOption` for a second pattern.
    """
    return default_bus.belonging(_Queues).get(name, get_router().topic(pattern), since)
