"""Express: ephemeral events, sent now or never.

    put ─▶ coming ──next──▶ the socket took it: accepted │ it was full: rejected
                │ no node is attached
                └──▶ rejected

They have no number and are not kept: framed, sent or dropped in the same turn. Any thread puts; the I/O thread does the
rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mesh.errors import EventRejected
from mesh.frame import EPHEMERAL
from mesh.gathering import Gathering
from mesh.outgoing import Outgoing
from mesh.receipt import Answer, Receipt

NOT_ATTACHED = "no node is attached, and ephemeral events are not kept; publish without ephemeral=True"
TOO_FAST = "the node does not keep up, and ephemeral events are not kept; publish without ephemeral=True"


class Express:
    """Ephemeral events of one session. `told` is called when `gone_count` has come nearer to `put_count`."""

    def __init__(
        self, publisher: bytes, events_max: int, bytes_max: int, wake: Callable[[], object], told: Callable[[], object]
    ) -> None:
        self.gone_count = self._gone_bytes = 0
        self.coming = Gathering(events_max, bytes_max, wake, _full)
        self._attached = False
        self._publisher = publisher
        self._told = told
        self._taken: deque[Outgoing] = deque()

    def __bool__(self) -> bool:
        return bool(self._taken or self.coming)

    def put(self, topic: str, record: bytes) -> Receipt:
        """Take one event in. Raises `BusClosed` or `BufferFull`."""
        receipt = self.coming.put(topic, record)
        if not self._attached:
            self.refuse()
        return receipt

    def next(self) -> Outgoing | None:
        """Events to send now, or None. Say with `sent` what became of them."""
        if not self._taken and self.coming:
            self._taken = self.coming.take()
        if not self._taken:
            return None
        run = self._taken.popleft()
        run.frame(self._publisher, 0, EPHEMERAL)
        return run

    def sent(self, run: Outgoing, taken: bool) -> None:
        """The socket took a frame, or it was full and the events are lost."""
        run.answers.say_all(Answer("accepted") if taken else Answer("rejected", error=EventRejected(TOO_FAST)))
        self._gone(run.count, run.size_bytes)

    def attach(self) -> None:
        """A node is there."""
        self._attached = True

    def detach(self) -> None:
        """The node is gone: events are refused from here on."""
        self._attached = False
        self._refuse(self._taken)
        self.refuse()

    def refuse(self) -> None:
        """No node is attached: what cannot be sent now is refused."""
        self._refuse(self.coming.take())

    def _refuse(self, runs: deque[Outgoing]) -> None:
        answer = Answer("rejected", error=EventRejected(NOT_ATTACHED))
        while runs:
            run = runs.popleft()
            run.answers.say_all(answer)
            self._gone(run.count, len(run.records))

    def _gone(self, count: int, size_bytes: int) -> None:
        with self.coming.lock:
            self.gone_count += count
            self._gone_bytes += size_bytes
            self.coming.left(self.gone_count, self._gone_bytes)
        self._told()


def _full(bound: str) -> str:
    return f"{bound} wait to be sent, which is the bound for ephemeral events; drop some"
