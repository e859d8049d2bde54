"""The event router: publishing and subscribing by event type, on the default bus.

    "training_completed" ─┐                           ┌─ validated, announced once ─▶ bus.publish ─▶ the node
    "TRAINING_COMPLETED" ─┼─ catalogue ─▶ one topic ──┤
    DataEventType.…      ─┘                           └─ once per handler ──────────▶ bus.subscribe

The bus below carries any topic; here a name means a type of the catalogue, in whichever spelling. What is published is
checked first: in strict mode an unknown type or a field of another type is an error and nothing is sent, otherwise it
is warned of once. Handlers run in threads or tasks of their own, never inside the publisher.

    subscribe("TRAINING_COMPLETED", on_training)        the same handler twice is one subscription
    publish("TRAINING_COMPLETED", {"config_key": "hex8_2p"})
    unsubscribe("TRAINING_COMPLETED", on_training)
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from enum import Enum
from time import monotonic
from typing import Any, NamedTuple

from mesh.arguments import qualified_name, read_event, unused_name
from mesh.bus import EventBus
from mesh.coordination import default_bus
from mesh.coordination.catalog import Catalog, default_catalog
from mesh.coordination.data_event import DataEvent
from mesh.coordination.event_types import DataEventType
from mesh.coordination.recent_events import RecentEvents
from mesh.coordination.sameness import sameness
from mesh.coordination.validation import Validator, unknown_type
from mesh.errors import InvalidOption
from mesh.event import Event
from mesh.jobs import Handler
from mesh.limits import HANDLER_TIMEOUT_S
from mesh.options import CONSUMER_CHARS_MAX
from mesh.receipt import Receipt
from mesh.subscription import Subscription

__all__ = [
    "DataEvent",
    "DataEventType",
    "EventRouter",
    "get_event_bus",
    "get_router",
    "publish",
    "subscribe",
    "unsubscribe",
]

_log = logging.getLogger("mesh.coordination")

EventName = str | Enum
"""A type's name or alias in any case, an enum member, or (to subscribe) a pattern such as `TRAINING_*`."""


class _Wired(NamedTuple):
    handler: Handler
    options: dict[str, Any]
    subscription: Subscription


class EventRouter:
    """Event types on a bus. One per process is usual, see `get_router`; any thread may call.

    `handler_timeout_s` is the default of `subscribe`; `catalog` says which types there are, `validator` counts what was
    published against it.
    """

    def __init__(
        self,
        bus: EventBus,
        catalog: Catalog,
        *,
        strict: bool = False,
        handler_timeout_s: float = HANDLER_TIMEOUT_S,
    ) -> None:
        self.bus = bus
        self.catalog = catalog
        self.validator = Validator(catalog, strict)
        self._timeout_s = handler_timeout_s
        self._recent_events = RecentEvents(monotonic)
        self._lock = threading.Lock()
        self._wired: dict[str, list[_Wired]] = {}

    def publish(
        self,
        topic: EventName | DataEvent | Event,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        trace: Mapping[str, Any] | None = None,
        ephemeral: bool = False,
        dedup: bool = True,
    ) -> Receipt:
        """Publish an event; arguments and receipt as for `EventBus.publish`, the topic in any spelling.

        Raises `UnknownEventType` in strict mode, and what `EventBus.publish` raises; then nothing was sent.
        """
        name, payload, source, trace = read_event(topic, payload, source, trace)
        name = self.catalog.canonical(name)
        self.validator.check(name, payload)
        usual, key = sameness(self.catalog.get(name), payload)
        receipt = self.bus.publish(
            name, payload, source=source, trace=trace, ephemeral=ephemeral, dedup=dedup and usual, dedup_key=key
        )
        self._recent_events.note(name, source, receipt)
        _log.debug("published %s from %s: %s", name, source or self.bus.name, payload)
        return receipt

    def subscribe(self, event: EventName, handler: Handler, **options: Any) -> Subscription:
        """Have `handler(event)` called for every event of a type or pattern; options as for `EventBus.subscribe`.

        A handler that is subscribed to the type already stays so, and its subscription is returned.

        Raises what `EventBus.subscribe` raises, `UnknownEventType` in strict mode, and `InvalidOption` when the handler
        is subscribed with other options.
        """
        pattern = self.topic(event)
        with self._lock:
            known = self._known(pattern, handler)
        if known is not None:
            return _same(known, pattern, options)
        chosen = {"name": self._consumer(pattern, handler), "timeout": self._timeout_s, **options}
        made = _Wired(handler, options, self.bus.subscribe(pattern, handler, **chosen))
        with self._lock:
            known = self._known(pattern, handler)
            if known is None:
                self._wired.setdefault(pattern, []).append(made)
                return made.subscription
        made.subscription.close()  # another thread was faster with the same
        return _same(known, pattern, options)

    def unsubscribe(self, event: EventName, handler: Handler, timeout: float = 5.0) -> bool:
        """End a subscription: a running handler may finish within `timeout` seconds, then it is not called again.

        Returns whether the handler was subscribed to the type.
        """
        pattern = self.topic(event)
        with self._lock:
            wired = self._wired.get(pattern, [])
            found = next((each for each in wired if each.handler == handler), None)
            if found is None:
                return False
            wired.remove(found)
        found.subscription.close(timeout)
        return True

    def list_subscribers(self) -> dict[str, list[str]]:
        """Topic or pattern → names of the consumers this process has subscribed to it."""
        return self.bus.list_subscribers()

    @property
    def recent_events(self) -> RecentEvents:
        """What this process has published within the dedup window, each with its receipt."""
        return self._recent_events

    def topic(self, event: EventName) -> str:
        """The topic or pattern a name stands for. Unknown ones are warned of, or in strict mode `UnknownEventType`."""
        topic = self.catalog.canonical(event)
        if "*" not in topic and self.catalog.get(topic) is None:
            unknown = unknown_type(self.catalog, topic)
            if self.validator.strict:
                raise unknown
            _log.warning("%s", unknown)
        return topic

    def flush(self, timeout: float | None = None) -> bool:
        """As `EventBus.flush`."""
        return self.bus.flush(timeout)

    def wait_attached(self, timeout: float | None = None) -> bool:
        """As `EventBus.wait_attached`."""
        return self.bus.wait_attached(timeout)

    @property
    def attached(self) -> bool:
        """As `EventBus.attached`."""
        return self.bus.attached

    def _known(self, pattern: str, handler: Handler) -> _Wired | None:
        """The handler's subscription that still is one."""
        wired = self._wired.get(pattern, [])
        wired[:] = [each for each in wired if each.subscription.error is None]
        return next((each for each in wired if each.handler == handler), None)

    def _consumer(self, pattern: str, handler: Handler) -> str:
        """A name that does not depend on the order of subscriptions: program, handler, topic."""
        name = f"{self.bus.name}:{qualified_name(handler)}:{pattern}"[: CONSUMER_CHARS_MAX - 8]
        return unused_name(name, {each for names in self.bus.list_subscribers().values() for each in names})


def _same(known: _Wired, pattern: str, options: dict[str, Any]) -> Subscription:
    if known.options != options:
        raise InvalidOption(
            f"handler {qualified_name(known.handler)} is subscribed to {pattern} with {known.options or 'no options'}, "
            f"not {options or 'none'}; unsubscribe it first"
        )
    return known.subscription


def _make_router() -> EventRouter:
    bus, chosen = default_bus.default_bus(), default_bus.settings()
    return EventRouter(bus, default_catalog(), strict=chosen.strict, handler_timeout_s=chosen.handler_timeout_s)


def get_router() -> EventRouter:
    """The router of this process, on its default bus."""
    return default_bus.belonging(_make_router)


def get_event_bus() -> EventRouter:
    """The same router, by the name of what publishers and subscribers know it for."""
    return get_router()


def publish(
    topic: EventName | DataEvent | Event,
    payload: Mapping[str, Any] | None = None,
    **options: Any,
) -> Receipt:
    """`EventRouter.publish` on the router of this process."""
    return get_router().publish(topic, payload, **options)


def subscribe(event: EventName, handler: Handler, **options: Any) -> Subscription:
    """`EventRouter.subscribe` on the router of this process."""
    return get_router().subscribe(event, handler, **options)


def unsubscribe(event: EventName, handler: Handler, timeout: float = 5.0) -> bool:
    """`EventRouter.unsubscribe` on the router of this process."""
    return get_router().unsubscribe(event, handler, timeout)
