"""The coordination event system: typed events of a catalogue, over the mesh.

    from mesh.coordination import DataEventType, emit_training_complete
    emit_training_complete(config_key="hex8_2p", epochs_completed=50)

Every name comes from the module it is written in when it is first used, so that importing one costs only that one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.coordination.catalog import Catalog, EventType, default_catalog
    from mesh.coordination.data_event import DataEvent
    from mesh.coordination.default_bus import publish
    from mesh.coordination.emitters import *  # noqa: F403 - one function per type; their names are in its __all__
    from mesh.coordination.event_types import DataEventType

_HOMES = {
    "Catalog": "mesh.coordination.catalog",
    "DataEvent": "mesh.coordination.data_event",
    "DataEventType": "mesh.coordination.event_types",
    "EventType": "mesh.coordination.catalog",
    "default_catalog": "mesh.coordination.catalog",
    "publish": "mesh.coordination.default_bus",
}

__all__ = [
    "Catalog",
    "DataEvent",
    "DataEventType",
    "EventType",
    "default_catalog",
    "publish",
]


def __getattr__(name: str) -> Any:
    home = "mesh.coordination.emitters" if name.startswith("emit_") else _HOMES.get(name)
    value = getattr(import_module(home), name, None) if home else None
    if value is None:
        raise AttributeError(f"module 'mesh.coordination' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    emitters: list[str] = import_module("mesh.coordination.emitters").__all__
    return sorted({*globals(), *__all__, *emitters})
