"""Payloads against the catalogue: what is wrong with one, and what is done about it.

    publish ─▶ find_fault(type, payload) ─▶ None ─────────▶ sent
                                        └─▶ Fault ─ strict ▶ raised, nothing is sent
                                                  └ else ──▶ warned once per type, counted, sent

Every field may be missing or null: what a publisher does not know it does not say. A field the type does not have, and
a value of another type, are faults. A type without fields has a payload that nobody has described, and takes anything.
An unknown type is likely a slip of the pen, so the message carries the name that looks most like it.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Mapping
from typing import Any

from mesh.coordination.catalog import Catalog, EventType
from mesh.coordination.field_types import accepts, plain
from mesh.errors import InvalidPayload, MeshError, UnknownEventType

_log = logging.getLogger("mesh.coordination")

COUNTED_MAX = 1000
"""Topics counted by name; programs may publish to any number of topics, and what is beyond is counted as `OTHERS`."""
OTHERS = "*"
_ALIKE = 0.6


class Validator:
    """Checks what is published. `counts`: topic → events with a fault that were sent all the same (not strict)."""

    def __init__(self, catalog: Catalog, strict: bool) -> None:
        self.catalog = catalog
        self.strict = strict
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def check(self, topic: str, payload: Mapping[str, Any] | None) -> None:
        """Look at one event on a canonical topic.

        Strict: raises `UnknownEventType` or `InvalidPayload`. Otherwise the first fault of a type is logged and every
        one is counted.
        """
        fault = find_fault(self.catalog, topic, payload)
        if fault is None:
            return
        if self.strict:
            raise fault
        if self._count(topic):
            _log.warning("%s (sent all the same; further ones on this topic are only counted)", fault)

    def _count(self, topic: str) -> bool:
        """Count a fault; returns whether it is the first that goes by this name."""
        with self._lock:
            name = topic if topic in self.counts or len(self.counts) < COUNTED_MAX else OTHERS
            self.counts[name] = self.counts.get(name, 0) + 1
            return self.counts[name] == 1


def find_fault(catalog: Catalog, topic: str, payload: Mapping[str, Any] | None) -> MeshError | None:
    """What is wrong with an event, as the error a strict publisher raises; None when nothing is."""
    kind = catalog.get(topic)
    if kind is None:
        return unknown_type(catalog, topic)
    if not kind.fields or not isinstance(payload, Mapping):
        return None  # what is no JSON object is refused by whoever serialises it
    for field, value in payload.items():
        type_ = kind.fields.get(field)
        if type_ is None:
            return _unknown_field(kind, field)
        if not accepts(type_, value):
            return _wrong_type(kind, field, type_, value)
    return None


def unknown_type(catalog: Catalog, spelling: str) -> UnknownEventType:
    """The error for a name that no type goes by."""
    suggestion = catalog.suggest(spelling)
    meant = f"did you mean {suggestion}?" if suggestion else "add it, or see `mesh events list`"
    return UnknownEventType(f"event type {spelling!r} is not in the catalogue; {meant}")


def _unknown_field(kind: EventType, field: object) -> InvalidPayload:
    renamed = kind.renamed.get(str(field))
    if renamed:
        return InvalidPayload(f"{kind.name} has no field {field!r} any more; it is called {renamed!r} now")
    alike = difflib.get_close_matches(str(field), kind.fields, n=1, cutoff=_ALIKE)
    meant = f"did you mean {alike[0]!r}?" if alike else f"its fields are {', '.join(kind.fields)}"
    return InvalidPayload(f"{kind.name} has no field {field!r}; {meant}")


def _wrong_type(kind: EventType, field: str, type_: str, value: object) -> InvalidPayload:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
    given = _a(type(plain(value)).__name__)
    return InvalidPayload(f"{kind.name}: field {field!r} is {given}, {shown}; give {_a(type_)}")


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
