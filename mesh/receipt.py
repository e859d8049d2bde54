"""The receipt: the node's word about one published event.

    pending ──▶ accepted    on disk, `event_id` says under which name
            ├─▶ duplicate   the same content was announced before, `event_id` names that event
            └─▶ rejected    never stored, `error` says why

    receipt, receipt, receipt …  ──▶ Answers ◀── the node speaks of a whole run of events at once
       index 0, 1, 2 …               of one run

A receipt is made by the hundred thousand and looked at by few. So it is two words, a place among the answers to the
run its event travels in, and the node's word about a whole run is one store, however many events that has.

Reading and answering take no lock: whoever waits leaves a callback. The waiter writes the callback and then reads the
answers, the resolver writes the answer and then reads the callbacks; whichever order the threads take, one of them sees
the other.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from typing import Any, Literal, NamedTuple

from mesh.errors import MeshError

_few = threading.RLock()
"""Held by whoever leaves or takes a callback. They are few, so there is one lock for all of them."""


def _forked() -> None:
    global _few  # noqa: PLW0603  # a child must not wait for a thread of its parent
    _few = threading.RLock()


os.register_at_fork(after_in_child=_forked)

Status = Literal["pending", "accepted", "duplicate", "rejected"]


class Answer(NamedTuple):
    """What is true of one event, or of consecutive ones when `sequence` is given: that is the first one's.

    `name` is `origin/topic/` before a sequence, and a whole event id without one.
    """

    status: Status
    name: str = ""
    sequence: int = 0
    error: MeshError | None = None

    def event_id(self, offset: int) -> str:
        """The id of the event `offset` places behind the first."""
        return f"{self.name}{self.sequence + offset}" if self.sequence else self.name

    def behind(self, offset: int) -> Answer:
        """The same of the events from the one `offset` places behind the first on."""
        return self._replace(sequence=self.sequence + offset) if self.sequence and offset else self


class Answers:
    """What was said of a run of events, by index. One thread at a time says, any thread asks."""

    __slots__ = ("_each", "_waiting", "_whole")

    def __init__(self) -> None:
        self._whole: Answer | None = None
        self._each: dict[int, tuple[Answer, int]] | None = None
        self._waiting: list[tuple[int, Callable[[], object]]] | None = None

    def of(self, index: int) -> tuple[Answer, int] | None:
        """The answer that holds for an event, and how far behind the first it speaks of this one is."""
        if self._whole is not None:
            return self._whole, index
        return self._each.get(index) if self._each is not None else None

    def say_all(self, answer: Answer) -> None:
        """The answer to every event of the run; nothing was said of any of them."""
        self._whole = answer
        if self._waiting:
            self._tell()

    def say(self, start: int, stop: int, answer: Answer) -> int:
        """The answer to the events from index `start` up to `stop`, but for those that have one; returns how many."""
        if self._whole is not None:
            return 0
        each = self._each = self._each or {}
        news = [index for index in range(start, stop) if index not in each]
        each.update((index, (answer, index - start)) for index in news)
        if self._waiting:
            self._tell()
        return len(news)

    def wait(self, index: int, tell: Callable[[], object]) -> None:
        """Call `tell` as soon as there is an answer to an event, from whichever thread brings it or from this one."""
        with _few:
            self._waiting = self._waiting or []
            self._waiting.append((index, tell))
        if self.of(index) is not None:
            tell()

    def _tell(self) -> None:
        told: list[Callable[[], object]] = []
        with _few:
            waiting, self._waiting = self._waiting or (), []
            for index, tell in waiting:
                if self.of(index) is not None:
                    told.append(tell)
                else:
                    self._waiting.append((index, tell))
        for tell in told:
            tell()


class Receipt:
    """What became of one published event: wait for it, await it, or look at `status`."""

    __slots__ = ("_answers", "_index")

    def __init__(self, answers: Answers, index: int) -> None:
        self._answers = answers
        self._index = index

    @property
    def status(self) -> Status:
        """What the node has said."""
        found = self._answers.of(self._index)
        return found[0].status if found else "pending"

    @property
    def done(self) -> bool:
        """Whether the node has spoken."""
        return self._answers.of(self._index) is not None

    @property
    def event_id(self) -> str:
        """`origin/topic/sequence`; "" while pending, when rejected, and for an ephemeral event."""
        found = self._answers.of(self._index)
        return found[0].event_id(found[1]) if found else ""

    @property
    def error(self) -> MeshError | None:
        """Why the event was rejected; None otherwise."""
        found = self._answers.of(self._index)
        return found[0].error if found else None

    def wait(self, timeout: float | None = None) -> Receipt:
        """Block until the node has spoken, or `timeout` seconds have passed; look at `status` then."""
        if not self.done:
            gate = threading.Event()
            self._answers.wait(self._index, gate.set)
            gate.wait(timeout)
        return self

    def __await__(self) -> Generator[Any, None, Receipt]:
        if not self.done:
            loop = asyncio.get_running_loop()
            spoken: asyncio.Future[None] = loop.create_future()
            self._answers.wait(self._index, lambda: _tell(loop, spoken))
            yield from spoken.__await__()
        return self

    def __repr__(self) -> str:
        return f"<Receipt {self.status} {self.event_id or self.error or ''}>".replace(" >", ">")


def _tell(loop: asyncio.AbstractEventLoop, spoken: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_set, spoken)
    except RuntimeError:
        return  # the loop is closed, and with it everybody who awaited


def _set(spoken: asyncio.Future[None]) -> None:
    if not spoken.done():
        spoken.set_result(None)
