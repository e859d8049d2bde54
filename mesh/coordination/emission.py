"""What every generated emitter does: put the payload together and publish it on the default bus.

An argument that is None was not given, and is left out. Whatever is not a field of the type goes through `extra` as it
is, so a caller with one more thing to say need not wait for the catalogue; validation says what it thinks of it.
Nothing is swallowed here: what cannot be published raises, and what was published has a receipt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.coordination.event_router import publish
from mesh.receipt import Receipt


def emit(topic: str, fields: Mapping[str, Any], extra: Mapping[str, Any], source: str) -> Receipt:
    """Publish a topic with the fields that are not None and everything in `extra`."""
    given = {field: value for field, value in fields.items() if value is not None}
    return publish(topic, {**given, **extra}, source=source)
