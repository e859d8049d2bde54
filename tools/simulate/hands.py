"""Hands: what runs a simulated program's handler. Each event takes its time, and some fail, drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol

from mesh.event import Event
from mesh.jobs import Inbox, Job, Piece, Verdict
from mesh.requests import Failure
from mesh.streams import Key
from tools.simulate.ledger import Call, Ledger, Wanted
from tools.simulate.world import World

_WORK_S = 0.0005
_AT_ONCE = 16
_FAILS_FIRST, _FAILS_AGAIN = 0.02, 0.3


class Owner(Protocol):
    """The program a handler belongs to."""

    world: World
    ledger: Ledger
    draw: Random
    life: int
    attachments: int
    dead: bool


class Hands:
    """One handler, one event after the other. A process that dies takes what it was at with it."""

    def __init__(
        self,
        program: Owner,
        wanted: Wanted,
        finished: Callable[[Job, Verdict], object],
        passed: Callable[[Key | None, int, int], object],
    ) -> None:
        self.late = 0
        self._program = program
        self._wanted = wanted
        self._finished = finished
        self._passed = passed
        self._inbox = Inbox()
        self._busy = False

    @property
    def queued_bytes(self) -> int:
        """Bytes of the frames that wait."""
        return self._inbox.size_bytes

    def put(self, piece: Piece) -> None:
        """Queue events, and have them handled."""
        self.queue([piece])
        self.wake()

    def queue(self, pieces: Iterable[Piece]) -> None:
        """Queue events that are handled from the next `wake` on."""
        for piece in pieces:
            self._inbox.put(piece)

    def wake(self) -> None:
        """See to it that what was queued is handled."""
        self._go_on()

    def overdue(self, now: float) -> None:
        """Nothing runs too long here."""

    def close(self) -> int:
        """Start nothing more."""
        return self._inbox.close()

    def here(self) -> bool:
        """Nobody waits for it."""
        return False

    def _go_on(self) -> None:
        piece = None if self._busy else self._inbox.take(_AT_ONCE)
        if piece is not None:
            self._busy = True
            self._program.world.after(_WORK_S * len(piece), lambda: self._done(piece))

    def _done(self, piece: Piece) -> None:
        self._busy = False
        if self._program.dead:
            return
        for index in range(piece.start, piece.stop):
            self._handle(piece, index)
        self._go_on()

    def _handle(self, piece: Piece, index: int) -> None:
        job, program = piece.job(index), self._program
        event = job.event
        number = event.payload["n"]
        attachment = (program.life, program.attachments)
        id_ = (event.origin, event.topic, event.sequence)
        program.ledger.called(self._wanted, Call(program.world.now_us, attachment, id_, number, event.attempt))
        failure = self._failure(event)
        if failure is None and job.letter is None:
            self._passed(job.key, event.sequence, 1)
        else:
            self._finished(job, failure)

    def _failure(self, event: Event) -> Failure | None:
        probability = _FAILS_FIRST if event.attempt == 1 else _FAILS_AGAIN
        if self._program.draw.random() >= probability:
            return None
        return Failure(
            sequence=event.sequence,
            attempt=event.attempt,
            kind="error",
            error_type="ValueError",
            error="drawn",
            traceback="",
            elapsed_s=0.0,
        )
