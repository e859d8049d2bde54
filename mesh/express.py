"""Express: ephemeral events, sent now or never.

    put ─▶ coming ──next──▶ the socket took it: accepted │ it was full: rejected
                │ no node is attached
                └──▶ rejected

They have no number and are not kept: framed, sent or dropped in the same turn. Any thread puts; the I/O thread does the
rest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from mesh.errors import BufferFull, EventRejected
from mesh.frame import EPHEMERAL
from mesh.framed import Framed, make_framed, reject_all, take_run
from mesh.receipt import Receipt

NOT_ATTACHED = "no node is attached, and ephemeral events are not kept; publish without ephemeral=True"
TOO_FAST = "the node does not keep up, and ephemeral events are not kept; publish without ephemeral=True"


class Express:
    """Ephemeral events of one session. `told` is called when `gone_count` has come nearer to `put_count`."""

    def __init__(self, publisher: bytes, events_max: int, told: Callable[[], object]) -> None:
        self.put_count = self.gone_count = 0
        self._attached = False
        self._publisher = publisher
        self._events_max = events_max
        self._told = told
        self._lock = threading.Lock()
        self._coming: deque[Receipt] = deque()

    def __bool__(self) -> bool:
        return bool(self._coming)

    def put(self, receipt: Receipt) -> None:
        """Take one event in. Raises `BufferFull`."""
        with self._lock:
            if len(self._coming) >= self._events_max:
                raise BufferFull(f"{self._events_max} ephemeral events wait to be sent, which is the bound; drop some")
            self.put_count += 1
            self._coming.append(receipt)
        if not self._attached:
            self.refuse()

    def next(self) -> Framed | None:
        """Events to send now, or None. Say with `sent` what became of them."""
        with self._lock:
            run = take_run(self._coming) if self._coming else None
        return make_framed(self._publisher, run, 0, EPHEMERAL) if run else None

    def sent(self, framed: Framed, taken: bool) -> None:
        """The socket took a frame, or it was full and the events are lost."""
        for receipt in framed.receipts:
            receipt.accept("", 0) if taken else receipt.reject(EventRejected(TOO_FAST))
        self.gone_count += framed.count
        self._told()

    def attach(self) -> None:
        """A node is there."""
        self._attached = True

    def detach(self) -> None:
        """The node is gone: events are refused from here on."""
        self._attached = False
        self.refuse()

    def refuse(self) -> None:
        """No node is attached: what cannot be sent now is refused."""
        with self._lock:
            refused = list(self._coming)
            self._coming.clear()
            self.gone_count += len(refused)
        reject_all(refused, EventRejected(NOT_ATTACHED))
        self._told()
