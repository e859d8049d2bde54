"""Hearing: what the node says on `out`, and whose it is.

    a frame, a beacon ───────────────▶ arrivals      of the subscriptions
    to this session:  redeliver ─────▶ arrivals
                      receipts ──────▶ outbox        resend ──▶ its flight
                      hello, goodbye ▶ attaching     the attachment has ended

A message of a kind that this version does not know is an error and costs the attachment: what it was meant to do cannot
be known, and a new attachment repeats whatever matters.
"""

from __future__ import annotations

import threading

from mesh.attaching import Attaching
from mesh.courses import Courses
from mesh.errors import MeshError
from mesh.link import Link
from mesh.outbox import Outbox
from mesh.requests import BEACON, DIRECTED, Json, session_topic, unpack_directed

MESSAGES_PER_TURN = 500


class Hearing:
    """What one session hears, on the I/O thread."""

    def __init__(self, session: bytes, outbox: Outbox, courses: Courses, attaching: Attaching) -> None:
        self.reading = threading.Lock()
        """Held while frames are read: handlers' threads that would begin with something wait for that (`dispatch`)."""
        self._address = session_topic(session)
        self._outbox = outbox
        self._arrivals = courses.arrivals
        self._attaching = attaching

    def hear(self, link: Link, now: float) -> None:
        """Take in what has arrived, a turn's worth of it, or as much as came before the link was closed."""
        attaching = self._attaching
        with self.reading:
            for part, blobs in link.messages(MESSAGES_PER_TURN):
                self._message(part, blobs, now)
                if attaching.link is not link:
                    return

    def _message(self, part: bytes, blobs: list[bytes], now: float) -> None:
        first = part[:1]
        if first == DIRECTED:
            if part.startswith(self._address):  # the empty prefix of a pattern such as `*` lets in what is for others
                self._directed(unpack_directed(part), blobs, now)
        elif first == BEACON:
            self._arrivals.beacon(part, now)
        else:
            self._arrivals.frame(part, now)

    def _directed(self, message: Json, blobs: list[bytes], now: float) -> None:
        match message.get("t"):
            case "receipts":
                self._outbox.receipts(message, now)
            case "resend":
                self._outbox.flight.resend(message["first"], now)
            case "redeliver":
                self._arrivals.redeliver(message, blobs)
            case "hello":
                if self._attaching.attachment.phase == "attached":
                    self._attaching.detach(now, "the node does not know this session any more")
            case "goodbye":
                self._attaching.detach(now, "the node stops")
            case other:
                raise MeshError(f"the node sent a directed message of kind {other!r}, which this version does not know")
