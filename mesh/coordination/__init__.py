"""The coordination event system: event types with one topic each, on the mesh of `mesh.connect`.

    from mesh.coordination import DataEventType, emit_training_complete, subscribe

    subscribe(DataEventType.TRAINING_COMPLETED, on_training)
    emit_training_complete(config_key="hex8_2p", epochs_completed=50)

    catalog, data_events, event_emitters     which types there are, and functions made from them
    event_router                             subscribe, publish, unsubscribe; the default bus of the process
    cross_process_events, stages             a queue with acknowledgements; stages with somebody who waits
    dead_letter_queue                        what handlers failed on
    registry, bootstrap, wiring              what must be subscribed, and whether it is

Everything works with the one bus of the process (`default_bus`), made at first use. Names are imported when they are
first asked for, as in `mesh`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.coordination.bootstrap import bootstrap, subscribe_with_retry
    from mesh.coordination.catalog import Catalog, EventType, default_catalog
    from mesh.coordination.cross_process_events import (
        CrossProcessQueue,
        get_cross_process_queue,
        publish_cross_process,
    )
    from mesh.coordination.data_event import DataEvent
    from mesh.coordination.dead_letter_queue import DeadLetterQueue, get_dead_letter_queue
    from mesh.coordination.default_bus import close_default_bus
    from mesh.coordination.emitters import *  # noqa: F403 - there are as many as types
    from mesh.coordination.event_router import (
        EventRouter,
        get_event_bus,
        get_router,
        publish,
        subscribe,
        unsubscribe,
    )
    from mesh.coordination.event_types import DataEventType
    from mesh.coordination.registry import SubscriptionRegistry, get_registry
    from mesh.coordination.stages import StageBus, StageEvent, get_stage_bus
    from mesh.coordination.wiring import verify_wiring

__all__ = [
    "Catalog",
    "CrossProcessQueue",
    "DataEvent",
    "DataEventType",
    "DeadLetterQueue",
    "EventRouter",
    "EventType",
    "StageBus",
    "StageEvent",
    "SubscriptionRegistry",
    "bootstrap",
    "close_default_bus",
    "default_catalog",
    "get_cross_process_queue",
    "get_dead_letter_queue",
    "get_event_bus",
    "get_registry",
    "get_router",
    "get_stage_bus",
    "publish",
    "publish_cross_process",
    "subscribe",
    "subscribe_with_retry",
    "unsubscribe",
    "verify_wiring",
]

_HOMES = {
    "Catalog": "catalog",
    "CrossProcessQueue": "cross_process_events",
    "DataEvent": "data_event",
    "DataEventType": "event_types",
    "DeadLetterQueue": "dead_letter_queue",
    "EventRouter": "event_router",
    "EventType": "catalog",
    "StageBus": "stages",
    "StageEvent": "stages",
    "SubscriptionRegistry": "registry",
    "bootstrap": "bootstrap",
    "close_default_bus": "default_bus",
    "default_catalog": "catalog",
    "get_cross_process_queue": "cross_process_events",
    "get_dead_letter_queue": "dead_letter_queue",
    "get_event_bus": "event_router",
    "get_registry": "registry",
    "get_router": "event_router",
    "get_stage_bus": "stages",
    "publish": "event_router",
    "publish_cross_process": "cross_process_events",
    "subscribe": "event_router",
    "subscribe_with_retry": "bootstrap",
    "unsubscribe": "event_router",
    "verify_wiring": "wiring",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name, "emitters" if name.startswith("emit_") else None)
    found = import_module(f"mesh.coordination.{home}") if home else None
    if found is None or not hasattr(found, name):
        raise AttributeError(f"module 'mesh.coordination' has no attribute {name!r}")
    value = globals()[name] = getattr(found, name)
    return value


def __dir__() -> list[str]:
    emitters: list[str] = import_module("mesh.coordination.emitters").__all__
    return sorted({*globals(), *__all__, *emitters})
