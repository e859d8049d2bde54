"""meshbus: a publish/subscribe mesh for clusters of machines. See `connect`."""

from mesh.bus import EventBus, connect
from mesh.errors import (
    BufferFull,
    BusClosed,
    ConfigurationError,
    ConsumerHeld,
    DataDirectoryInUse,
    EventRejected,
    InvalidOption,
    InvalidTopic,
    MalformedFrame,
    MeshError,
    NodeUnreachable,
    NotSerializable,
    PayloadTooLarge,
    RequestRefused,
    UnknownEventType,
)
from mesh.event import Event, EventId
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
    "InvalidTopic",
    "MalformedFrame",
    "MeshError",
    "NodeUnreachable",
    "NotSerializable",
    "PayloadTooLarge",
    "Receipt",
    "RequestRefused",
    "Subscription",
    "UnknownEventType",
    "connect",
]
