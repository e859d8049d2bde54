"""The default bus: one per process, made when it is first used. What the emitters and the functions without a bus use.

publish(topic, payload) ─▶ canonical topic ─▶ validated ─▶ told from its like ─▶ EventBus ─▶ node
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from enum import Enum
from typing import Any

import mesh
from mesh.coordination.catalog import default_catalog
from mesh.coordination.sameness import sameness
from mesh.coordination.validation import Validator

_lock = threading.Lock()
_bus: mesh.EventBus | None = None
_validator: Validator | None = None


def get_bus() -> mesh.EventBus:
    """The process's bus, connected on first use."""
    global _bus  # noqa: PLW0603 - the one default bus of the process
    with _lock:
        if _bus is None:
            _bus = mesh.connect()
        return _bus


def close() -> None:
    """Close the default bus; the next use connects a new one."""
    global _bus, _validator
    with _lock:
        bus, _bus, _validator = _bus, None, None
    if bus is not None:
        bus.close()


def get_validator() -> Validator:
    """The process's validator, strict when MESH_EVENT_VALIDATION_STRICT says so."""
    global _validator  # noqa: PLW0603 - goes with the one default bus
    with _lock:
        if _validator is None:
            strict = os.environ.get("MESH_EVENT_VALIDATION_STRICT", "").lower() in ("1", "true", "yes", "on")
            _validator = Validator(default_catalog(), strict)
        return _validator


def publish(topic: str | Enum, payload: Mapping[str, Any] | None = None, *, source: str = "") -> mesh.Receipt:
    """Publish one event under its canonical topic. Raises as `EventBus.publish`, and what a strict validator raises."""
    validator = get_validator()
    name = validator.catalog.canonical(topic)
    validator.check(name, payload)
    dedup, key = sameness(validator.catalog.get(name), payload)
    return get_bus().publish(name, payload, source=source, dedup=dedup, dedup_key=key)
