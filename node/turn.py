"""One turn: what the rules decided since the last commit, waiting to be carried out.

    poll → drain → decide ──▶ Turn ──▶ commit `changes` ──▶ then, and only then, send `out`, `links`, `replies`

Deciders add to a `Turn`; `node.core` commits it; `node.agent` sends it. What must change in memory only if the commit
succeeds is put in `once_committed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from mesh.errors import MalformedFrame
from mesh.requests import pack_directed, pack_refusal, pack_reply
from node.changes import Changes
from node.clock import Now

LinkKey = str | bytes
"""A link: the address this node dials (text), or the routing id of a connection it accepted (bytes)."""

Value = TypeVar("Value")


def rekey(table: dict[LinkKey, Value], old: LinkKey, new: LinkKey) -> None:
    """A link goes on over another connection: what is kept for it stays."""
    if old in table:
        table[new] = table.pop(old)


CONTROL = b"\x00"
"""First byte of every control message on a link; no topic is empty."""

NONSENSE = (MalformedFrame, TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""What comes of reading a message that has not the shape it should have."""

ROWS_MAX = 5000
"""Rows of origin, topic and head in one message: below what the far end takes, also with names at their longest."""

_INTEGERS = range(-(1 << 63), 1 << 63)


def integer(value: object) -> int:
    """An integer of a peer's message that is to be said again later: then nobody is there to blame for it.

    Raises `ValueError` or `TypeError` where it is none that a message can hold; what JSON says of a larger one is read
    as a float.
    """
    found = int(value)  # type: ignore[call-overload]
    if found not in _INTEGERS:
        raise ValueError(f"{value!r} is no integer of 64 bits")
    return int(found)


@dataclass(slots=True)
class Request:
    """A request that arrived over `ctl`: who asks, and the message's JSON."""

    client: bytes
    fields: dict[str, Any]

    @property
    def id(self) -> Any:
        """The asker's number for it."""
        return self.fields.get("id")


@dataclass(slots=True)
class Turn:
    """Decisions of one turn. `out` holds messages of one or more parts for the local subscribers.

    `passing_out` and `passing_links` depend on nothing that is written: ephemeral frames and talk between nodes. They
    leave the node even when the disk refuses. `closing_links` is talk about what is written, sent behind the frames.
    `moved` are the cursors that reports have moved: (following, stream id).
    `took` are the marks that peers have come to (`node.link_queues`).
    `dials` and `undials` are addresses of peers to connect to and to let go of.
    """

    now: Now
    changes: Changes = field(default_factory=Changes)
    out: list[list[bytes]] = field(default_factory=list)
    links: list[tuple[LinkKey, bytes]] = field(default_factory=list)
    replies: list[tuple[Request, list[bytes]]] = field(default_factory=list)
    passing_out: list[list[bytes]] = field(default_factory=list)
    passing_links: list[tuple[LinkKey, bytes]] = field(default_factory=list)
    closing_links: list[tuple[LinkKey, bytes]] = field(default_factory=list)
    took: list[tuple[LinkKey, int]] = field(default_factory=list)
    dials: list[str] = field(default_factory=list)
    undials: list[str] = field(default_factory=list)
    moved: dict[tuple[object, int], int] = field(default_factory=dict)
    announcements: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    once_committed: list[Callable[[], None]] = field(default_factory=list)
    once_failed: list[Callable[[], None]] = field(default_factory=list)

    def reply(self, request: Request, fields: dict[str, Any], blobs: list[bytes] | None = None) -> None:
        """Answer a request with yes."""
        self.replies.append((request, [pack_reply(request.id, fields), *(blobs or ())]))

    def refuse(self, request: Request, code: str, message: str, **fields: Any) -> None:
        """Answer a request with no."""
        self.replies.append((request, [pack_refusal(request.id, code, message, fields)]))

    def direct(self, session: bytes, message: dict[str, Any], frames: list[bytes] | None = None) -> None:
        """Send a message to one session."""
        self.out.append([pack_directed(session, message), *(frames or ())])

    def control(self, link: LinkKey, message: dict[str, Any]) -> None:
        """Send a control message over a link."""
        self.passing_links.append((link, CONTROL + orjson.dumps(message)))

    def control_all(self, links: Iterable[LinkKey], message: dict[str, Any]) -> None:
        """Send one control message over several links: it becomes text once."""
        data = CONTROL + orjson.dumps(message)
        self.passing_links += [(link, data) for link in links]

    def control_after(self, link: LinkKey, message: dict[str, Any]) -> None:
        """Send a control message over a link behind this turn's frames, and only if the turn is committed."""
        self.closing_links.append((link, CONTROL + orjson.dumps(message)))

    def heads_after(self, link: LinkKey, kind: str, rows: Sequence[tuple[str, str, int]]) -> None:
        """Say how far streams reach, behind this turn's frames: each row stands alone, and many go in several."""
        for at in range(0, len(rows), ROWS_MAX):
            self.control_after(link, {"t": kind, "heads": rows[at : at + ROWS_MAX]})

    def join(self, other: Turn) -> None:
        """Take over what another turn, which has nothing to be written, decided to send and to do."""
        self.out += other.out
        self.passing_out += other.passing_out
        self.links += other.links
        self.passing_links += other.passing_links
        self.closing_links += other.closing_links
        self.took += other.took
        self.dials += other.dials
        self.undials += other.undials
        self.replies += other.replies
        self.once_committed += other.once_committed

    def without_writes(self, code: str, message: str) -> Turn:
        """What is left of the turn when its changes could not be written: every request is refused."""
        left = Turn(
            self.now,
            passing_out=self.passing_out,
            passing_links=self.passing_links,
            took=self.took,
            dials=self.dials,
            undials=self.undials,
        )
        for request, _ in self.replies:
            left.refuse(request, code, message)
        return left


Verb = Callable[[Request, list[bytes], Turn], None]
"""Carries out one kind of request: reads its fields and blobs, and answers into the turn."""
