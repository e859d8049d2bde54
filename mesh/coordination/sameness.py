"""When are two announcements of a type the same one? What the catalogue says about it, as arguments of `publish`.

    TASK_FAILED {task_id, error, failed_at}     hash_without = ["failed_at"]
    └─ key = content hash of {task_id, error} ─▶ the node takes the second report of one failure for a duplicate

The content hash of a frame covers the body as it travels and stays what it is; the key travels beside it and stands
for it in the node's dedup window only. It is the hash that the smaller payload would have had, so an announcement
that never had the left-out fields is the same fact too.

A window of 0 is said by the publisher (`dedup=False`), because a heartbeat that looks like the one before is news. Any
other window belongs to the node, which keeps the table and has to know how long to keep it: it is a setting there
(`[dedup_windows]` in node.toml), and `mesh events codegen` writes the lines for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh.coordination.catalog_file import EventType
from mesh.frame import content_hash
from mesh.packing import pack_payload
from mesh.topic import check_topic


class Sameness(NamedTuple):
    """`dedup` and `dedup_key` as `EventBus.publish` takes them."""

    dedup: bool = True
    dedup_key: bytes | None = None


USUAL = Sameness()
"""The payload is the content, and the node decides how long it counts."""

_EVERY_ONE_COUNTS = Sameness(dedup=False)


def sameness(kind: EventType | None, payload: Mapping[str, Any] | None) -> Sameness:
    """How an announcement is told from another. Raises what `publish` raises for a payload that is no JSON object."""
    if kind is None:
        return USUAL
    if kind.dedup_window_s == 0:
        return _EVERY_ONE_COUNTS
    if not isinstance(payload, Mapping) or payload.keys().isdisjoint(kind.hash_without):
        return USUAL
    facts = {field: value for field, value in payload.items() if field not in kind.hash_without}
    return Sameness(dedup_key=content_hash(check_topic(kind.name), pack_payload(facts)))
