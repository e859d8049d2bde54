"""`DataEvent`: an event of the catalogue as a value, to be published later or elsewhere.

    DataEvent("training_completed", {…}).topic == DataEvent(DataEventType.TRAINING_COMPLETED, {…}).topic
                                                == "TRAINING_COMPLETED"

It has what every publisher of the mesh takes from an event (topic, payload, source), so `publish(event)` of the default
bus and of any other accepts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from time import time
from typing import Any

from mesh.coordination.catalog import default_catalog


@dataclass(frozen=True)
class DataEvent:
    """An announcement.

    event_type  the type as it was given: an enum member, a name, or an alias
    payload     any JSON object
    source      who announces it, free text
    timestamp   when the event was made, seconds since 1970; what arrives carries the moment of its publication
    """

    event_type: str | Enum
    payload: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    timestamp: float = field(default_factory=time)

    @property
    def topic(self) -> str:
        """The one topic of its type."""
        return default_catalog().canonical(self.event_type)
