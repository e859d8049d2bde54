"""`mesh pub` and `mesh sub`: publishing and listening from a shell, with the same library as every program.

stdin ─▶ lines ─▶ publish ─▶ pending (bounded) ─▶ receipts, in order ─▶ one line each
"""

from __future__ import annotations

import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.asked import SECONDS_MAX, AsJson, Asked, Node, asked, complain
from mesh.cli.payloads import from_lines, one_payload
from mesh.cli.times import parse_since
from mesh.errors import BufferFull, MeshError, NodeUnreachable

if TYPE_CHECKING:
    from mesh.bus import EventBus
    from mesh.event import Event
    from mesh.receipt import Receipt

PENDING_MAX = 10_000
"""Events without a receipt at a time; more lines are read when there is room."""
CLOSE_S = 1.0
CONSUMER = "mesh sub"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(pub)
    app.command()(sub)


def pub(
    context: typer.Context,
    topic: Annotated[str, typer.Argument(help="The topic to publish to.")],
    payload: Annotated[
        str | None, typer.Argument(metavar="[JSON | -]", help="A JSON object; - reads one from standard input.")
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Read one JSON object a line from standard input.")] = False,
    source: Annotated[str, typer.Option(metavar="S", help="Who announces it, free text.", show_default=False)] = "",
    no_dedup: Annotated[bool, typer.Option("--no-dedup", help="Keep it even if it was just announced.")] = False,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Not logged, and lost if nobody listens.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=SECONDS_MAX, metavar="SECONDS", help="Wait so long for node or receipt.")
    ] = 10.0,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Publish events and wait for their receipts.

    Prints the event ids. A duplicate is no failure; exits 1 if an event is rejected.
    """
    from mesh.topic import check_topic

    check_topic(topic)
    ask = asked(context, node, as_json)
    payloads = from_lines() if lines and payload in (None, "-") else iter([one_payload(payload, lines)])
    with attached(ask, "mesh pub", timeout) as bus:

        def publish(value: dict[str, Any]) -> Receipt:
            while True:
                try:
                    return bus.publish(topic, value, source=source, ephemeral=ephemeral, dedup=not no_dedup)
                except BufferFull:
                    if not bus.flush(timeout):
                        raise silent(bus, timeout) from None

        code = publish_all(payloads, publish, Receipts(ask, bus, timeout))
    raise typer.Exit(code)


def publish_all(
    payloads: Iterator[dict[str, Any] | None], publish: Callable[[dict[str, Any]], Receipt], receipts: Receipts
) -> int:
    """Publish what comes (None: nothing at the moment) and print the receipts; returns the exit code."""
    try:
        for value in payloads:
            if value is not None:
                receipts.add(publish(value))
            receipts.settle(PENDING_MAX)
    finally:
        if not isinstance(sys.exception(), KeyboardInterrupt | BrokenPipeError | NodeUnreachable):
            receipts.settle(0)
    return 1 if receipts.rejected else 0


class Receipts:
    """Receipts in the order of publishing, printed as soon as the node has spoken."""

    def __init__(self, ask: Asked, bus: EventBus, timeout: float) -> None:
        self.rejected = 0
        self._ask = ask
        self._bus = bus
        self._timeout = timeout
        self._pending: deque[Receipt] = deque()

    def add(self, receipt: Receipt) -> None:
        """One more published event."""
        self._pending.append(receipt)

    def settle(self, pending_max: int) -> None:
        """Print what is done; wait until at most `pending_max` are not. Raises when the node stays silent."""
        pending, printed = self._pending, False
        while pending and (len(pending) > pending_max or pending[0].done):
            if not pending[0].wait(self._timeout).done:
                raise silent(self._bus, self._timeout)
            self._print(pending.popleft())
            printed = True
        if printed:
            sys.stdout.flush()

    def _print(self, receipt: Receipt) -> None:
        rejected = receipt.status == "rejected"
        self.rejected += rejected
        if self._ask.json:
            from mesh.cli.event_lines import event_json

            reason = {"error": str(receipt.error)} if rejected else {}
            print(event_json({"event_id": receipt.event_id or None, "status": receipt.status, **reason}))
        elif rejected:
            complain(str(receipt.error))
        elif receipt.status == "duplicate":
            print(f"{receipt.event_id}  duplicate: this content was announced before")
        else:
            print(receipt.event_id or "sent (ephemeral events have no id)")


def silent(bus: EventBus, timeout: float) -> MeshError:
    """The error of a receipt that does not come: nobody is there, or somebody who cannot write."""
    if bus.attached:
        return MeshError(f"the node gave no receipt within {timeout:g} s; see `mesh status` for its trouble")
    return NodeUnreachable(f"no node answers at {bus.place} within {timeout:g} s; is mesh-node running there?")


@contextmanager
def attached(ask: Asked, name: str, timeout: float) -> Iterator[EventBus]:
    """A bus that is attached to the node. Raises `NodeUnreachable`."""
    from mesh.bus import connect

    bus = connect(ask.place, name=name)
    try:
        if not bus.wait_attached(timeout):
            raise silent(bus, timeout)
        yield bus
    finally:
        bus.close(CLOSE_S)


# ── listening ────────────────────────────────────────────────────────────────────────────────────────────────────────


def sub(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(help="Topic or pattern, as in 'gpu.*'.")],
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="now, earliest, 15m, 2h, seconds ago, or an ISO time.")
    ] = "now",
    count: Annotated[
        int | None, typer.Option("-n", min=1, metavar="N", help="End after so many events.", show_default=False)
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=SECONDS_MAX, metavar="SECONDS", help="Wait so long for the node.")
    ] = 10.0,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they come, until Ctrl-C.

    With --json: one object a line.
    """
    from mesh.topic import check_pattern

    check_pattern(pattern)
    try:
        start = parse_since(since)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    ask = asked(context, node, as_json)
    printer = Printer(ask.json, count)
    with attached(ask, CONSUMER, timeout) as bus:
        try:
            bus.subscribe(pattern, printer, name=CONSUMER, since=start, attempts=1)
            printer.ended.wait()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the goodbye short
            return
    if printer.error is not None:
        raise printer.error


class Printer:
    """A handler that prints `count` events (None: all). It never fails one: nobody would retry it."""

    def __init__(self, as_json: bool, count: int | None) -> None:
        self.ended = threading.Event()
        self.error: OSError | None = None
        self._as_json = as_json
        self._left = count

    def __call__(self, event: Event) -> None:
        """Print one event at once."""
        from mesh.cli.event_lines import event_json, event_row, event_text

        if self.ended.is_set():
            return
        row = event_row(event)
        try:
            print(event_json(row) if self._as_json else event_text(row), flush=True)
        except OSError as error:  # whoever read this has gone
            self.error = error
            self.ended.set()
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self.ended.set()
