"""Express: ephemeral events, sent as soon as the socket takes them and never again.

    put ─▶ coming ──next──▶ the socket took it: accepted │ it is full: waits, and whoever puts meets the bound
     │          │ the node goes away
     └──────────┴──▶ rejected
       no node is attached

While a node is attached `put` is that of `coming` itself, without a look at anything else, which is a twentieth of what
a `publish` takes. One that was called just before the node went away may come in behind it: `refuse` is for that.

They have no number and no copy is kept. A node that does not read as fast as its programs publish fills the pipe, then
the bound of what waits here, and then `BufferFull` paces whoever publishes: nothing is dropped on this side while a
node is attached. Any thread puts; the I/O thread does the rest.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from mesh.errors import EventRejected
from mesh.frame import EPHEMERAL
from mesh.gathering import Gathering
from mesh.outgoing import Outgoing
from mesh.receipt import Answer, Receipt

NOT_ATTACHED = "no node is attached, and ephemeral events are not kept; publish without ephemeral=True"


class Express:
    """Ephemeral events of one session. `told` is called when `gone_count` has come nearer to `coming.count`.

    `sent_at`: monotonic seconds, when the socket last took a frame.
    """

    def __init__(
        self,
        publisher: bytes,
        events_max: int,
        bytes_max: int,
        wake: Callable[[], object],
        told: Callable[[], object],
        filled: Callable[[], object] | None = None,
    ) -> None:
        self.gone_count = self._gone_bytes = 0
        self.coming = Gathering(events_max, bytes_max, wake, _full, filled=filled)
        self.sent_at = -math.inf
        self.put: Callable[[str, bytes], Receipt] = self._put_in_vain
        """Take one event in: topic, packed record. Raises `BusClosed` or `BufferFull`."""
        self._publisher = publisher
        self._told = told
        self._taken: deque[Outgoing] = deque()
        self._framed: Outgoing | None = None

    def __bool__(self) -> bool:
        return bool(self._framed or self._taken or self.coming)

    def next(self) -> Outgoing | None:
        """The frame to send now, or None; call `sent` once the socket took it."""
        if self._framed is None:
            if not self._taken and self.coming:
                self._taken = self.coming.take()
            if self._taken:
                self._framed = self._taken.popleft()
                self._framed.frame(self._publisher, 0, EPHEMERAL)
        return self._framed

    def sent(self, now: float) -> None:
        """The socket took what `next` returned. `now`: monotonic seconds."""
        run, self._framed = self._framed, None
        assert run is not None  # it was just sent
        self.sent_at = now
        run.answers.say_all(Answer("accepted"))
        self._gone(run.count, run.size_bytes)

    def attach(self) -> None:
        """A node is there."""
        self.refuse()
        self.put = self.coming.put

    def detach(self) -> None:
        """The node is gone: events are refused from here on."""
        self.put = self._put_in_vain
        if self._framed is not None:
            self._say_refused(self._framed, self._framed.size_bytes)
            self._framed = None
        self._refuse(self._taken)
        self.refuse()

    def refuse(self) -> None:
        """No node is attached: what came in before that was known is refused. Only for the I/O thread."""
        self._refuse(self.coming.take())

    def _put_in_vain(self, topic: str, record: bytes) -> Receipt:
        """Refuse one event, which is not even taken in: a signal handler may be in the middle of another `put`."""
        self.coming.check_open()
        run = Outgoing(topic, record)
        run.answers.say_all(Answer("rejected", error=EventRejected(NOT_ATTACHED)))
        return Receipt(run.answers, 0)

    def _refuse(self, runs: deque[Outgoing]) -> None:
        while runs:
            run = runs.popleft()
            self._say_refused(run, len(run.records))

    def _say_refused(self, run: Outgoing, size_bytes: int) -> None:
        run.answers.say_all(Answer("rejected", error=EventRejected(NOT_ATTACHED)))
        self._gone(run.count, size_bytes)

    def _gone(self, count: int, size_bytes: int) -> None:
        with self.coming.lock:
            self.gone_count += count
            self._gone_bytes += size_bytes
            self.coming.left(self.gone_count, self._gone_bytes)
        self._told()


def _full(bound: str) -> str:
    return f"{bound} wait to be sent, which is the bound for ephemeral events; drop some"
