"""Every error a program that embeds meshbus can meet, drawn as one tree.

    MeshError
    ├── InvalidTopic           a topic or pattern breaks the grammar          (the caller's value)
    ├── NotSerializable        a payload is not a JSON object                 (the caller's value)
    ├── PayloadTooLarge        a payload is larger than the limit             (the caller's value)
    ├── UnknownEventType       strict validation met a type it does not know  (the caller's value)
    ├── InvalidPayload         strict validation met a field it does not know, or a value of another type
    ├── InvalidOption          an argument other than the ones above is out of range
    ├── MalformedFrame         bytes that are no frame                        (the sender's fault)
    ├── BufferFull             more unreceipted events than the buffer holds  (the node is away or slow)
    ├── SpoolError             the spool is held by another process, no spool, or cannot be written
    ├── BusClosed              the bus was closed before the call
    ├── EventRejected          the node refused one event, with its reason
    ├── NodeUnreachable        no node answers at that address
    ├── RequestRefused         the node answered a request with a refusal
    │   └── ConsumerHeld       a durable consumer's name is attached by another process
    ├── CriticalSubscriptionsMissing  a program cannot do without subscriptions it could not get
    └── ConfigurationError     a configuration file, variable or flag is wrong
        └── DataDirectoryInUse another node runs on the same data directory

A message names what is wrong, the value, and what to do.
"""

from __future__ import annotations


class MeshError(Exception):
    """The root of the tree: catching it catches everything meshbus raises on purpose."""


class InvalidTopic(MeshError, ValueError):
    """A topic or pattern that breaks the grammar of `mesh.topic`."""


class NotSerializable(MeshError, TypeError):
    """A payload that is not a JSON object, or holds a value JSON cannot carry."""


class PayloadTooLarge(MeshError, ValueError):
    """A payload above `limits.PAYLOAD_BYTES_MAX` once serialised."""


class UnknownEventType(MeshError, ValueError):
    """Strict validation is on and the event's type is not in the catalogue."""


class InvalidPayload(MeshError, ValueError):
    """Strict validation is on and a field is not in the catalogue, or its value has another type than it says there."""


class InvalidOption(MeshError, ValueError):
    """An argument is outside what the function takes."""


class MalformedFrame(MeshError, ValueError):
    """Bytes that are not a frame. `kind` is one short word, stable enough to count by."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"malformed frame ({kind}): {detail}")
        self.kind = kind
        self.detail = detail


class BufferFull(MeshError):
    """The bus holds as many unreceipted events as it may; wait with `flush()`, or drop the event."""


class SpoolError(MeshError):
    """The spool file is held by another process, is no spool, or cannot be read or written; the message says which."""


class BusClosed(MeshError):
    """The bus was closed; connect a new one."""


class EventRejected(MeshError):
    """The node refused this event for good; `Receipt.error` carries the reason."""


class NodeUnreachable(MeshError):
    """No node answers at the given place."""


class RequestRefused(MeshError):
    """The node answered a request with a refusal; `code` is one short word for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConsumerHeld(RequestRefused):
    """A durable consumer's name is attached by another process at this moment."""


class CriticalSubscriptionsMissing(MeshError):
    """Subscriptions a program declares critical are not there; the message names each with its reason."""


class ConfigurationError(MeshError):
    """A configuration file, environment variable or flag is wrong; the message names it."""


class DataDirectoryInUse(ConfigurationError):
    """Another node runs on the same data directory."""
