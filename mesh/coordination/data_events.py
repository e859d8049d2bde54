"""The event types and their value class, in the module the runbook names for them."""

from mesh.coordination.data_event import DataEvent
from mesh.coordination.event_types import DataEventType

__all__ = ["DataEvent", "DataEventType"]
