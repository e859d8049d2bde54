"""Requests: what is asked over `ctl` is read, and carried out by the verb of its name. No I/O.

    [client, {"do": "subscribe", "id": 7, …}, blob …] ─▶ Request ─▶ verbs["subscribe"] ─▶ a reply in the turn

Whoever asks gets an answer, whatever was asked: an unknown verb, fields without sense and a disk that cannot be read
are refused, each under its own code. Only what is no request at all is counted and left without an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mesh.errors import MalformedFrame
from mesh.requests import unpack_control
from node.everywhere import ASKABLE
from node.store import StoreError
from node.turn import NONSENSE, Request, Turn, Verb

QUESTIONS = ASKABLE | {"dlq.list", "dlq.show", "log.tail", "log.show"}
"""Requests that change nothing."""


class Requests:
    """What may be asked of one node: `verbs` by name. `counts` as in `node.core`."""

    def __init__(self, verbs: Mapping[str, Verb], counts: Counter[str]) -> None:
        self._verbs = verbs
        self._counts = counts

    def receive(self, parts: list[bytes], turn: Turn) -> None:
        """A message of several parts: who asks, what, and blobs."""
        try:
            request = Request(parts[0], unpack_control(parts[1]))
        except (MalformedFrame, IndexError):
            self._counts["malformed control"] += 1
            return
        self.carry_out(request, parts[2:], turn)

    def carry_out(self, request: Request, blobs: list[bytes], turn: Turn) -> None:
        """Have the verb answer into the turn, or refuse."""
        name = request.fields.get("do")
        verb = self._verbs.get(str(name))
        if verb is None:
            turn.refuse(request, "unknown", f"unknown request {name!r}; is the node older than the asker?")
            return
        try:
            verb(request, blobs, turn)
        except StoreError as error:
            turn.refuse(request, "disk", str(error))
        except NONSENSE as error:
            self._counts["malformed request"] += 1
            turn.refuse(request, "malformed", f"request {name!r} is malformed: {type(error).__name__} {error}")
