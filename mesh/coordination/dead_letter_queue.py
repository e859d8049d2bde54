"""The dead letter queue as a program sees it: what handlers at this node failed on, and acts on it.

    dlq = get_dead_letter_queue()
    for failed in dlq.get_pending_events(limit=100):
        print(failed.event_type, failed.error, failed.retry_count)
        dlq.retry_event(failed.id)

Everything is asked of the node, which keeps the letters: this class holds nothing, and any thread may call. A retry
gives the event to the one consumer that failed it and to nobody else, and counts as done when that handler has
succeeded; until then the letter is there. Pending are all letters, those that wait for their next attempt and those
that are dead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.client import NodeClient
from mesh.errors import InvalidOption
from mesh.letter_acts import Choice, Pace, follow, slices
from mesh.letter_outcomes import Outcome, Tally

RETRY_WAIT_S = 10.0
"""How long a retry waits for the handler's outcome when nobody says otherwise."""

_PAGE_LETTERS = 100


@dataclass(frozen=True)
class FailedEvent:
    """One letter. Fields are also to be had by key: `failed["event_type"]`.

    id            the letter's number
    event_type    topic;  event_data: the payload;  event_id: the event's id in the mesh
    error         type and message of the last failure
    created_at    first failure, seconds since 1970;  next_attempt_at: of one that waits, else None
    retry_count   attempts after the first one
    consumer      whose handler failed;  state: waiting or dead
    """

    id: int
    event_type: str
    event_data: Any
    error: str
    created_at: float
    retry_count: int
    consumer: str
    state: str
    event_id: str
    next_attempt_at: float | None

    @property
    def payload(self) -> Any:
        """`event_data`, by the name it has on events."""
        return self.event_data

    def __getitem__(self, key: str) -> Any:
        if key not in self.__dataclass_fields__:
            raise KeyError(key)
        return getattr(self, key)


class DeadLetterQueue:
    """The letters of one node. Every method raises `NodeUnreachable` when that does not answer."""

    def __init__(self, place: str | Path | None = None) -> None:
        self._place = place

    def get_pending_events(
        self, limit: int = 100, *, event_type: str | None = None, consumer: str | None = None
    ) -> list[FailedEvent]:
        """At most `limit` letters, the oldest first; `event_type` and `consumer` may hold `*`."""
        if limit < 1:
            raise InvalidOption(f"limit is {limit}; ask for one letter or more")
        with self._client() as client:
            return list(_letters(client, {"topic": event_type, "consumer": consumer}, limit))

    def get_pending_count(self) -> int:
        """How many letters there are."""
        with self._client() as client:
            summary = client.request("dlq.summary")
        return int(summary["waiting"] + summary["dead"])

    def get_error_summary(self) -> dict[str, int]:
        """Error type → letters, the most frequent first. More of each: `mesh dlq errors`."""
        with self._client() as client:
            rows = client.request("dlq.errors")["rows"]
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["error_type"]] = counts.get(row["error_type"], 0) + row["count"]
        return dict(sorted(counts.items(), key=lambda each: -each[1]))

    def retry_event(self, event_id: int, *, wait: float = RETRY_WAIT_S) -> bool:
        """Give one letter to its consumer again; returns whether the handler succeeded within `wait` seconds.

        False: it failed again, has no outcome yet, or was refused (no consumer attached, being tried just now, no such
        letter). `retry_all` says which. With `wait=0` the answer is whether the retry was accepted.
        """
        tally = self._retry(Choice([int(event_id)]), wait)
        counts = tally.counts
        return bool(counts["resolved"] or (wait == 0 and counts["waiting"]))

    def retry_all(
        self,
        max_events: int | None = None,
        *,
        event_type: str | None = None,
        consumer: str | None = None,
        wait: float = RETRY_WAIT_S,
    ) -> Tally:
        """Give all letters to their consumers again, `max_events` at most.

        Waits up to `wait` seconds for the outcomes of every 50. `tally.counts`: resolved, failed, waiting, refused;
        `tally.outcomes`: one word and its reason for each letter.
        """
        return self._retry(Choice(None, max_events, event_type, consumer), wait)

    def cleanup(self, older_than_hours: float = 24.0) -> int:
        """Discard letters that failed first so long ago; returns how many. The books count them as expired."""
        choice = Choice(None, older_than_s=older_than_hours * 3600.0)
        with self._client() as client:
            return sum(len(reply["accepted"]) for reply in slices(client, "dlq.discard", choice, False, Pace()))

    def _retry(self, choice: Choice, wait_s: float) -> Tally:
        tally = Tally()
        with self._client() as client:
            for reply in slices(client, "dlq.retry", choice, False, Pace()):
                tally.outcomes += [Outcome(letter, "refused", reason) for letter, reason in reply["refused"]]
                open_ = dict(zip(reply["accepted"], reply["attempts"], strict=True))
                for known in follow(client, open_, wait_s):
                    tally.outcomes += known
                tally.outcomes += [Outcome(letter, "waiting") for letter in open_]
        return tally

    def _client(self) -> NodeClient:
        return NodeClient(self._place)


def _letters(client: NodeClient, chosen: dict[str, Any], limit: int) -> Iterator[FailedEvent]:
    """Page by page: one answer holds as many as its size allows, so only an empty one is the last."""
    after = 0
    while limit > 0:
        rows = client.request("dlq.list", **chosen, after=after, limit=min(limit, _PAGE_LETTERS))["rows"]
        if not rows:
            return
        yield from map(_failed, rows)
        after, limit = rows[-1]["id"], limit - len(rows)


def _failed(row: dict[str, Any]) -> FailedEvent:
    return FailedEvent(
        id=row["id"],
        event_type=row["topic"],
        event_data=row["payload"],
        error=f"{row['error_type']}: {row['error']}",
        created_at=row["created_at"],
        retry_count=row["attempts"] - 1,
        consumer=row["consumer"],
        state=row["state"],
        event_id=row["event_id"],
        next_attempt_at=row["next_attempt_at"],
    )


def get_dead_letter_queue(node: str | Path | None = None) -> DeadLetterQueue:
    """The letters of a node: a data directory or `tcp://HOST:PORT`; default: MESH_NODE, else this user's node."""
    return DeadLetterQueue(node)
