"""Attaching: how a session comes to its node, and how it parts from it.

    data directory ──▶ node.json ─┐
                                  ├─▶ endpoints ──▶ Link ──0x01──▶ hello ──reply──▶ attached
    address ──▶ Inquiry ──answer──┘
    0x00, goodbye, a refusal, no answer, an error ──▶ detached, and after a while from the beginning

When a step is due, and how long to wait between attempts, is for `mesh.attachment` to say; here it is done. What a
session has (outbox, courses, marks, wiring) outlives attachments: it is told when a node is there and when it is gone.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from mesh.attachment import Attachment
from mesh.courses import Courses
from mesh.errors import MeshError
from mesh.inquiry import Inquiry
from mesh.link import Link
from mesh.location import Endpoints, is_address, read_endpoints
from mesh.marks import Marks
from mesh.outbox import Outbox
from mesh.poll import Poll
from mesh.requests import Json, refusal
from mesh.wiring import Wiring

_log = logging.getLogger("mesh")

ANSWER_S = 30.0
"""A request without an answer for so long: attach anew, which repeats whatever matters."""


class Attaching:
    """One session's way to its node. Belongs to the I/O thread, but for the two events.

    link      the sockets to the node; None when there is none
    attached  set while the node is there
    left      set when the node has heard the goodbye, or is gone
    """

    def __init__(
        self,
        session: bytes,
        name: str,
        place: str,
        poll: Poll,
        outbox: Outbox,
        courses: Courses,
        marks: Marks,
        wiring: Wiring,
    ) -> None:
        self.attachment = Attachment()
        self.link: Link | None = None
        self.attached = threading.Event()
        self.left = threading.Event()
        self._session = session
        self._name = name
        self._place = place
        self._poll = poll
        self._outbox = outbox
        self._courses = courses
        self._marks = marks
        self._wiring = wiring
        self._inquiry: Inquiry | None = None
        self._told = ""

    # ---- coming

    def advance(self, now: float) -> None:
        """Take the next step towards an attachment when its time has come, or end one that is none any more."""
        step = self.attachment.step(now)
        if step == "connect":
            self._connect(now)
        elif step == "give up":
            self.detach(now, "no answer")
        elif self.attachment.phase == "attached":
            self._check_answers(now)

    def _connect(self, now: float) -> None:
        if is_address(self._place):
            self._inquiry = Inquiry(self._place)
            self._poll.watch([self._inquiry.socket])
            self.attachment.connecting(now)
            return
        endpoints = read_endpoints(Path(self._place))
        if endpoints is None:
            self.attachment.away(now)
        else:
            self._join(endpoints, now)

    def inquire(self, now: float) -> None:
        """The node at the address may have said where it is to be joined."""
        if self._inquiry is None:
            return
        try:
            endpoints = self._inquiry.answer()
        except MeshError as error:
            if str(error) != self._told:
                _log.error("cannot attach: %s", error)
            self._told = str(error)
            self.detach(now, "no node")
            return
        if endpoints is not None:
            self._ask_no_more()
            self._join(endpoints, now)

    def _ask_no_more(self) -> None:
        if self._inquiry is not None:
            self._inquiry.close()
            self._inquiry = None

    def _join(self, endpoints: Endpoints, now: float) -> None:
        self.link = Link(endpoints, self._session)
        self._poll.watch(self.link.sockets)
        self.attachment.connecting(now)

    def meet(self, link: Link, now: float) -> None:
        """The node has come or gone."""
        there = link.presence()
        if there is False:
            self.detach(now, "the node went away")
        elif there and self.attachment.phase == "connecting":
            self._greet(link, now)

    def _greet(self, link: Link, now: float) -> None:
        self.attachment.greeting(now)
        fields = {"name": self._name, "pid": os.getpid(), "first": self._outbox.first}
        link.request("hello", fields, self._greeted, now)

    def _greeted(self, reply: Json, _: list[bytes], now: float) -> None:
        if not reply.get("ok"):
            _log.error("the node at %s refused this program: %s", self._place, refusal(reply))
            self.detach(now, "refused")
            return
        assert self.link is not None  # its reply was read from there
        self.attachment.attached(now)
        self.left.clear()
        _log.info("attached to node %s at %s", reply.get("node"), self._place)
        self._outbox.attach()
        self._courses.attached(self.link, int(reply.get("reported", 0)))
        self._marks.attached()
        self.attached.set()

    # ---- parting

    def _check_answers(self, now: float) -> None:
        since = self.link.waiting_since() if self.link else None
        if since is not None and now - since > ANSWER_S:
            self.detach(now, f"a request had no answer for {ANSWER_S:g} s")

    def detach(self, now: float, reason: str) -> None:
        """Close the sockets, whatever the phase, and tell everything that the node is gone."""
        if self._inquiry is not None:
            self._ask_no_more()
            self._poll.watch(())
        if self.link is not None:
            self._marks.detached()  # before the node sees the sockets go: this process lives
            self.link.close()
            self.link = None
            self._poll.watch(())
            self.left.set()
        if self.attachment.phase == "attached":
            _log.info("detached from the node at %s: %s", self._place, reason)
        self.attached.clear()
        self._outbox.express.detach()
        self._courses.detached()
        self._wiring.detached()
        self.attachment.away(now)

    def goodbye(self, now: float) -> None:
        """Say goodbye if a node is there; `left` is set when it has answered."""
        if self.link is None:
            self.left.set()
        else:
            self.link.request("goodbye", {}, lambda *_: self.left.set(), now)
