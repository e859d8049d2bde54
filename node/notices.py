"""Notices: what an operator reads in the log file of a running node, a line where something becomes otherwise.

    the disk refuses ─▶ error     it takes writes again ─▶ warning
    another node has this node's name ─▶ error, again where it is cut off for it     no longer ─▶ warning
    no socket can be made to dial with ─▶ warning, again after it was well for a minute
    who comes and goes (`node.sightings`) ─▶ info

Looked at after every turn, and said once. A node that begins anew in the same process (`node.agent`) goes on where its
former self stopped: what was said is not said again.
"""

from __future__ import annotations

import logging

from node.clock import Now
from node.core import Node
from node.membership import Membership
from node.peer_rows import peer_rows
from node.sightings import Sightings

LOOK_S = 1.0
"""How often it is looked at who came and went."""
_DIALS_AGAIN_S = 60.0
"""What could not be dialled is dialled again within this time, so that what goes on failing is one line."""


class Notices:
    """What one process has said of its node. `log` takes the lines."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._trouble = False
        self._conflict = ("", False)
        self._sightings = Sightings()
        self._look_us = 0
        self._undialled_until_us = 0

    def give(self, node: Node, now: Now) -> None:
        """Say what is new."""
        trouble = node.lately(now)
        if bool(trouble) is not self._trouble:
            self._trouble = bool(trouble)
            self._tell_trouble(trouble, node.trouble is not None)
        self._tell_conflict(node.membership)
        self._tell_undialled([link.reason for link in node.links.links.values() if link.unmade], now)
        if now.mono_us >= self._look_us and self._log.isEnabledFor(logging.INFO):
            self._look_us = now.later(LOOK_S)
            for line in self._sightings.news(peer_rows(node, now)):
                self._log.info("%s", line)

    def _tell_trouble(self, trouble: Exception | None, closed: bool) -> None:
        if trouble is None:
            self._log.warning("the disk is well again; events are receipted")
        elif closed:
            self._log.error("%s; no event is receipted until it takes writes again", trouble)
        else:
            self._log.error("%s; what needs to be read there waits", trouble)

    def _tell_undialled(self, reasons: list[str], now: Now) -> None:
        """Say the first, and how many more there are; the others differ in their address."""
        if reasons and now.mono_us >= self._undialled_until_us:
            more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
            self._log.warning("%s%s; it is tried again", reasons[0], more)
        if reasons:
            self._undialled_until_us = now.later(_DIALS_AGAIN_S)

    def _tell_conflict(self, membership: Membership) -> None:
        told, told_isolated = self._conflict
        conflict, isolated = membership.conflict, membership.isolated
        if conflict and (not told or isolated > told_isolated):
            self._log.error("%s", conflict)
        elif told and not conflict:
            self._log.warning("no other node has this node's name any more")
        self._conflict = conflict, isolated
