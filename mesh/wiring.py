"""Wiring: what a program says of the subscriptions it holds, told to its node and told again after every attachment.

    bus.report_wiring(fields) ──▶ kept here (the latest only) ──attached──▶ `wiring` request ──▶ node: /readyz, /status

Only the last report counts, so nothing queues up: what is reported while another is on its way is sent after it. A node
that refuses one (it is older, or the report is too large) is not asked again until there is news or a new attachment.
"""

from __future__ import annotations

import logging

from mesh.link import Link
from mesh.requests import Json, refusal

_log = logging.getLogger("mesh")


class Wiring:
    """The last report of one session. Belongs to the I/O thread."""

    def __init__(self) -> None:
        self._fields: Json | None = None
        self._due = False

    def report(self, fields: Json) -> None:
        """There is news, in place of what was said before."""
        self._fields, self._due = fields, True

    def detached(self) -> None:
        """The node is gone, and with it what it was told."""
        self._due = self._fields is not None

    def send(self, link: Link, now: float) -> None:
        """Tell the node what it has not been told."""
        if self._due and self._fields is not None:
            self._due = False
            link.request("wiring", self._fields, _answered, now)


def _answered(reply: Json, *_: object) -> None:
    if not reply.get("ok"):
        _log.warning("the node did not take the report of this program's subscriptions: %s", refusal(reply))
