"""meshbus: a publish/subscribe mesh for clusters of machines. See `connect`.

Importing the package costs next to nothing: what needs sockets and threads is imported when its name is first used,
so that `mesh --help` does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mesh.errors import (
    BufferFull,
    BusClosed,
    ConfigurationError,
    ConsumerHeld,
    DataDirectoryInUse,
    EventRejected,
    InvalidOption,
    InvalidPayload,
    InvalidTopic,
    MalformedFrame,
    MeshError,
    NodeUnreachable,
    NotSerializable,
    PayloadTooLarge,
    RequestRefused,
    SpoolError,
    UnknownEventType,
)

if TYPE_CHECKING:
    from mesh.bus import EventBus, connect
    from mesh.event import Event, EventId
    from mesh.mailbox import Mailbox
    from mesh.receipt import Receipt
    from mesh.subscription import Subscription

__all__ = [
    "BufferFull",
    "BusClosed",
    "ConfigurationError",
    "ConsumerHeld",
    "DataDirectoryInUse",
    "Event",
    "EventBus",
    "EventId",
    "EventRejected",
    "InvalidOption",
    "InvalidPayload",
    "InvalidTopic",
    "Mailbox",
    "MalformedFrame",
    "MeshError",
    "NodeUnreachable",
    "NotSerializable",
    "PayloadTooLarge",
    "Receipt",
    "RequestRefused",
    "SpoolError",
    "Subscription",
    "UnknownEventType",
    "connect",
]

_HOMES = {
    "Event": "mesh.event",
    "EventBus": "mesh.bus",
    "EventId": "mesh.event",
    "Mailbox": "mesh.mailbox",
    "Receipt": "mesh.receipt",
    "Subscription": "mesh.subscription",
    "connect": "mesh.bus",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'mesh' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
