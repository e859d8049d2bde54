"""An event of the catalogue as a value."""

from __future__ import annotations

from time import time

import pytest

from mesh.arguments import read_event
from mesh.coordination.data_event import DataEvent
from mesh.coordination.event_types import DataEventType


@pytest.mark.parametrize("event_type", ["DATA_SYNC_COMPLETED", "sync_completed", DataEventType.DATA_SYNC_COMPLETED])
def test_its_topic_is_the_one_of_its_type_however_that_was_named(event_type: str) -> None:
    event = DataEvent(event_type, {"host": "gpu-17"}, source="AutoSyncDaemon")
    assert event.topic == "DATA_SYNC_COMPLETED"
    assert event.event_type is event_type


def test_whoever_publishes_an_event_takes_its_topic_payload_and_source() -> None:
    event = DataEvent("sync_completed", {"host": "gpu-17"}, source="AutoSyncDaemon")
    assert read_event(event, None, "", None) == ("DATA_SYNC_COMPLETED", {"host": "gpu-17"}, "AutoSyncDaemon", None)


def test_it_says_when_it_was_made() -> None:
    before = time()
    assert before <= DataEvent("A").timestamp <= time()
    assert DataEvent("A", timestamp=7.0).timestamp == 7.0


def test_a_type_outside_the_catalogue_is_a_topic_as_it_is() -> None:
    assert DataEvent("gpu.health.gpu-17").topic == "gpu.health.gpu-17"
    assert DataEvent("gpu.health.gpu-17").payload == {}
