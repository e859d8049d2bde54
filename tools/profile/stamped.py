"""Runs a module as `python -m` does, and notes when each event passed the stages of its way.

    python -m tools.profile.stamped DIR MODULE ARGUMENTS…

    Poll.sleep, Store.commit, Workers.wake … ──wrapped──▶ (stage, number, ns) ──▶ DIR/stamps.bin, at the end

The clock is CLOCK_MONOTONIC, which all processes of one machine share. An event is known by its publisher's number;
with one publisher and one topic that is its sequence too. The product is as it is: its functions are replaced by ones
that call them and note the time, which costs an event some 10 µs over all its stages. Nothing is noted as an object, so
that the garbage collector has no more to do than without.

What is given to a socket is noted before the call: the thread may come back from it long after the frame has gone.
A frame's stages are noted for its first event: at the rates where latency means something, there is one in each.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from time import monotonic_ns
from typing import Any, NamedTuple

import zmq

from mesh.arrivals import Arrivals
from mesh.bus import EventBus
from mesh.dispatch import Workers
from mesh.event import Event
from mesh.frame import Frame
from mesh.jobs import Handler
from mesh.link import Link
from mesh.poll import Poll
from node.inbox import Inbox
from node.intake import Intake
from node.sockets import Sockets
from node.store import Store
from tools.profile.profiled import run

STAGES = (
    "publish() called",
    "publisher's I/O thread wakes",
    "frame given to its socket",
    "node's poll returns",
    "drained",
    "admitted",
    "commit begins",
    "commit ends",
    "frame given to the node's socket",
    "subscriber's poll returns",
    "decoded",
    "handed to the worker",
    "handler entered",
)
(
    PUBLISHED,
    WOKEN,
    SENT,
    POLLED,
    DRAINED,
    ADMITTED,
    COMMITTING,
    COMMITTED,
    SENT_ON,
    ARRIVED,
    DECODED,
    HANDED,
    ENTERED,
) = range(len(STAGES))

STAMPS, TURNS = "stamps.bin", "turns.bin"
_IDENTITY = Struct("!16xQ")
"""A frame's number, behind the topic."""
_TALK = b"!~@\x00\x01"
"""First bytes of what is no frame."""


class Turn(NamedTuple):
    """One turn of the node's loop that had something to do. Nanoseconds; how many frames and requests it took in."""

    begin: int
    end: int
    frames: int
    requests: int
    committing: int


class Stamps:
    """What this process has noted. `turn` collects what is known of the turn under way."""

    def __init__(self) -> None:
        self.rows = array("q")
        self.turns = array("q")
        self.published = 0
        self.woken = self.begun = self.commit_ns = self.requests = 0
        self.numbers: list[int] = []

    def note(self, stage: int, number: int, at_ns: int) -> None:
        """An event has come so far."""
        self.rows.extend((stage, number, at_ns))

    def note_all(self, stage: int) -> None:
        """The frames of this turn have come so far."""
        now = monotonic_ns()
        for number in self.numbers:
            self.note(stage, number, now)

    def write(self, place: Path) -> None:
        """Leave it all in a directory."""
        (place / STAMPS).write_bytes(self.rows.tobytes())
        (place / TURNS).write_bytes(self.turns.tobytes())


def read_stamps(place: Path) -> list[dict[int, int]]:
    """Per stage, the nanosecond at which each number came there first; of all processes in `place`'s directories."""
    found: list[dict[int, int]] = [{} for _ in STAGES]
    for path in sorted(place.glob(f"*/{STAMPS}")):
        rows = array("q", path.read_bytes())
        for stage, number, at_ns in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
            found[stage].setdefault(number, at_ns)
    return found


def read_turns(place: Path) -> list[Turn]:
    """The node's turns, in order."""
    turns = []
    for path in sorted(place.glob(f"*/{TURNS}")):
        rows = array("q", path.read_bytes())
        turns += [Turn(*rows[at : at + len(Turn._fields)]) for at in range(0, len(rows), len(Turn._fields))]
    return turns


def wrap(
    owner: Any,
    name: str,
    before: Callable[..., object] | None = None,
    after: Callable[..., object] | None = None,
) -> None:
    """Have a function tell `before(arguments…)` and `after(result, arguments…)`."""
    wrapped = getattr(owner, name)

    def telling(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments)
        result = wrapped(*arguments, **named)
        if after is not None:
            after(result, *arguments)
        return result

    setattr(owner, name, telling)


def stamp_program(stamps: Stamps) -> None:
    """The ways of an event through a program: from `publish` to the socket, from the socket to a handler."""

    def published(*_: object) -> None:
        stamps.published += 1
        stamps.note(PUBLISHED, stamps.published, monotonic_ns())

    def woken(*_: object) -> None:
        stamps.woken = monotonic_ns()

    def sent(_: Link, data: bytes) -> None:
        stamps.note(WOKEN, number_of(data), stamps.woken)
        stamps.note(SENT, number_of(data), monotonic_ns())

    def decoded(frame: Frame | None, *_: object) -> None:
        if frame is not None:
            stamps.numbers.append(frame.number)
            stamps.note(ARRIVED, frame.number, stamps.woken)
            stamps.note(DECODED, frame.number, monotonic_ns())

    def handed(*_: object) -> None:
        stamps.note_all(HANDED)
        stamps.numbers.clear()

    def entering(workers: Workers, handler: Handler) -> None:
        def entered(event: Event) -> Any:
            stamps.note(ENTERED, event.sequence, monotonic_ns())
            return handler(event)

        workers._handler = entered

    wrap(EventBus, "publish", before=published)
    wrap(Poll, "sleep", after=woken)
    wrap(Link, "send_frame", before=sent)
    wrap(Arrivals, "decoded", after=decoded)
    wrap(Workers, "wake", before=handed)
    wrap(Workers, "__init__", after=lambda _, workers, handler, *__: entering(workers, handler))


def stamp_node(stamps: Stamps) -> None:
    """The way of an event through a node: one turn."""

    def polled(*_: object) -> None:
        stamps.begun = monotonic_ns()

    def drained(inbox: Inbox, *_: object) -> None:
        stamps.numbers = [number_of(data) for data in inbox.frames]
        stamps.requests, stamps.commit_ns = len(inbox.requests), 0
        for number in stamps.numbers:
            stamps.note(POLLED, number, stamps.begun)
        stamps.note_all(DRAINED)

    def committing(*_: object) -> None:
        stamps.commit_ns -= monotonic_ns()
        stamps.note_all(COMMITTING)

    def committed(*_: object) -> None:
        stamps.commit_ns += monotonic_ns()
        stamps.note_all(COMMITTED)

    def sent_on(socket: zmq.Socket[bytes], data: bytes, *_: object) -> None:
        if socket.socket_type == zmq.XPUB and data[:1] not in _TALK:
            stamps.note(SENT_ON, number_of(data), monotonic_ns())

    def turned(*_: object) -> None:
        if stamps.numbers or stamps.requests or stamps.commit_ns:
            frames = len(stamps.numbers)
            stamps.turns.extend((stamps.begun, monotonic_ns(), frames, stamps.requests, stamps.commit_ns))

    wrap(zmq.Poller, "poll", after=polled)
    wrap(Sockets, "wait", after=drained)
    wrap(Intake, "published", after=lambda *_: stamps.note_all(ADMITTED))
    wrap(Store, "commit", before=committing, after=committed)
    wrap(zmq.Socket, "send", before=sent_on)
    wrap(Sockets, "send", after=turned)


def number_of(data: bytes) -> int:
    """A frame's number."""
    number: int = _IDENTITY.unpack_from(data, data.index(b"\x00") + 1)[0]
    return number


def main(place: Path, module: str, arguments: list[str]) -> None:
    """Run the module."""
    stamps = Stamps()
    stamp_node(stamps) if module == "node" else stamp_program(stamps)
    try:
        run(module, arguments)
    finally:
        stamps.write(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
