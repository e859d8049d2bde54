"""Announcements: what the node itself publishes, through the same door as everybody else.

    a handler failed ──▶ HANDLER_FAILED      {event_id, topic, consumer, kind, error_type, error, attempt, state}
    … ran out of time ─▶ HANDLER_TIMEOUT     the same

They are logged, sequenced and forwarded like any event. A failure to handle an announcement is recorded as a letter
like any other failure, but not announced: the node would answer its own echo for ever.
"""

from __future__ import annotations

from typing import Any

import orjson

from mesh.frame import PUBLISHER_BYTES, Frame, content_hash, pack_record
from mesh.topic import check_topic
from node.turn import Turn

FAILED = "HANDLER_FAILED"
TIMED_OUT = "HANDLER_TIMEOUT"
TOPICS = frozenset((FAILED, TIMED_OUT))
_META = b'{"dedup":false,"source":"meshbus"}'
"""Two failures alike are two failures."""


class Announcer:
    """Makes the node's own frames. `publisher` is random per start, like any publisher's session."""

    def __init__(self, publisher: bytes) -> None:
        assert len(publisher) == PUBLISHER_BYTES
        self.publisher = publisher
        self.next_number = 1

    def frame(self, topic: str, payload: dict[str, Any], now_us: int) -> Frame:
        """One event as a publisher's frame."""
        topic_wire = check_topic(topic)
        body = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
        events = pack_record(now_us, content_hash(topic_wire, body), _META, body)
        return self.own(Frame(topic, 0, 0, self.publisher, 0, 0, 1, "", events))

    def own(self, frame: Frame) -> Frame:
        """The same events as the next of the node itself."""
        self.next_number += frame.count
        number = self.next_number - frame.count
        return frame._replace(flags=0, hops=0, publisher=self.publisher, number=number, sequence=0, origin="")


def failure_topic(kind: str, about: str) -> str | None:
    """The topic that announces a failure of this kind about an event of topic `about`, or None for an announcement."""
    if about in TOPICS:
        return None
    return TIMED_OUT if kind == "timeout" else FAILED


def announce_failure(turn: Turn, kind: str, fields: dict[str, Any]) -> None:
    """Have the failure announced at the end of the turn; `fields` as in the module's picture."""
    topic = failure_topic(kind, fields["topic"])
    if topic is not None:
        turn.announcements.append((topic, {**fields, "kind": kind}))
