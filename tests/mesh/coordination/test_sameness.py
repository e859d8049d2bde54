"""What makes two announcements of a type the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.coordination.catalog_file import EventType
from mesh.coordination.sameness import USUAL, Sameness, sameness
from mesh.errors import NotSerializable
from mesh.frame import content_hash
from mesh.packing import pack_payload

FAILED = EventType(
    *("FAILED", "failed", "", "", False, {"task": "str", "at": "str", "age": "float"}, (), ()),
    *(None, ("at", "age"), "emit_failed", {}),
)
PAYLOADS = st.dictionaries(st.sampled_from(["task", "at", "age", "more"]), st.integers(0, 2))


def facts(payload: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in payload.items() if field not in ("at", "age")}


def counts_as(payload: dict[str, Any]) -> bytes:
    """What the node takes the event for."""
    return sameness(FAILED, payload).dedup_key or content_hash(b"FAILED\x00", pack_payload(payload))


@given(PAYLOADS, PAYLOADS)
def test_two_announcements_are_the_same_exactly_when_their_facts_are(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert (counts_as(one) == counts_as(other)) is (facts(one) == facts(other))


@given(PAYLOADS)
def test_the_key_is_the_content_hash_of_the_facts(payload: dict[str, Any]) -> None:
    assert counts_as(payload) == content_hash(b"FAILED\x00", pack_payload(facts(payload)))


@pytest.mark.parametrize("payload", [None, {}, {"task": "t"}])
def test_a_payload_without_a_field_to_leave_out_needs_no_key(payload: dict[str, Any] | None) -> None:
    assert sameness(FAILED, payload) is USUAL


@pytest.mark.parametrize(("window_s", "dedup"), [(0.0, False), (5.0, True), (None, True)])
def test_only_a_window_of_0_is_the_publishers_to_say(window_s: float | None, dedup: bool) -> None:
    kind = replace(FAILED, dedup_window_s=window_s, hash_without=())
    assert sameness(kind, {"task": "t", "at": "noon"}) == Sameness(dedup, None)


def test_a_topic_outside_the_catalogue_is_told_by_its_content() -> None:
    assert sameness(None, {"at": 1}) is USUAL


def test_a_payload_that_is_no_json_is_refused_as_publish_does() -> None:
    with pytest.raises(NotSerializable):
        sameness(FAILED, {"task": {1, 2}, "at": "noon"})
