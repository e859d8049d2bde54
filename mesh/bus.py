"""The bus: what a program holds. Publishing, subscribing, flushing, closing; everything else happens in the session.

    bus.publish ──▶ outbox ──▶ I/O thread ──▶ node ──▶ I/O thread ──▶ queue ──▶ handler of bus.subscribe

Publishing checks and serialises in the caller's thread, so that a wrong topic or payload is the caller's error
at the caller's line; it never waits for the network. Every method may be called from any thread and, because none of
them blocks but `subscribe`, `flush`, `close` and the `wait…` ones, from coroutines too.

A bus does not survive `os.fork`: its sockets and threads are the parent's. In the child every call says so.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, time_ns
from types import TracebackType
from typing import Any, TypeVar

import orjson

from mesh import open_buses
from mesh.arguments import process_name, read_event
from mesh.course import Course
from mesh.errors import BusClosed, InvalidOption
from mesh.frame import pack_event
from mesh.jobs import Handler
from mesh.limits import ATTEMPTS, BACKOFF_S, BUFFER_BYTES, BUFFER_EVENTS, HANDLER_TIMEOUT_S, QUEUE_EVENTS
from mesh.location import find_place
from mesh.mailbox import Mailbox
from mesh.options import Since, check_options
from mesh.packing import pack_meta, pack_payload
from mesh.receipt import Receipt
from mesh.session import Session
from mesh.spool import Spool
from mesh.subscribing import Subscribing
from mesh.subscription import Subscription
from mesh.topic import check_topic

CLOSED = "the bus is closed; connect a new one"
FORKED = "this bus belongs to the parent process; connect a new one after os.fork()"

AnyHandler = TypeVar("AnyHandler", bound=Handler)


def connect(
    node: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    buffer_events: int = BUFFER_EVENTS,
    buffer_bytes: int = BUFFER_BYTES,
    spool: str | os.PathLike[str] | None = None,
) -> EventBus:
    """A bus for this machine's node. Does not wait for the node: what is published meanwhile is kept and sent later.

    node           the node's data directory, or the address of its `local_tcp` for a program that cannot see that;
                   default: MESH_NODE, else the default data directory
    name           this program's name; default: the name it was started as
    buffer_events  events kept without a receipt, at most; one more is `BufferFull`
    buffer_bytes   the same in bytes
    spool          a file that keeps what has no receipt for the next start of this program with the same file

    With a spool, an event whose `publish` has returned is sent even if this process dies at once, kill -9 included: the
    next bus with that spool sends it, and the node takes it exactly once. `publish` then costs a write into the
    kernel's memory, about 3 µs. It is no fsync, so a power cut may take the latest events, and after a restart of the
    machine an event may arrive twice; only a receipt says that an event is on disk. Ephemeral events are not spooled.

    A program that attaches by address cannot leave in the node's directory what it was handling: should it die of an
    event, the node does not know which one it was, and that attempt is not counted.

    Raises `InvalidOption`, or `SpoolError` when another process has that spool or it cannot be opened.
    """
    if buffer_events < 1 or buffer_bytes < 1:
        raise InvalidOption(f"buffer_events={buffer_events}, buffer_bytes={buffer_bytes}; both must be 1 or more")
    place = find_place(node)
    opened = None if spool is None else Spool(Path(spool).expanduser())
    return EventBus(place, name or process_name(), buffer_events, buffer_bytes, opened)


class EventBus:
    """A program's connection to its node; made by `connect`. A context manager, also an asynchronous one."""

    def __init__(
        self, place: str, name: str, buffer_events: int, buffer_bytes: int, spool: Spool | None = None
    ) -> None:
        self.name = name
        self.place = place
        self._session = Session(place, name, buffer_events, buffer_bytes, spool)
        self._outbox = self._session.outbox
        self._subscribing = Subscribing(self._session)
        self._lock = threading.Lock()
        self._refusal: str | None = None
        open_buses.remember(self)

    # ---- publishing

    def publish(
        self,
        topic: Any,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        trace: Mapping[str, Any] | None = None,
        ephemeral: bool = False,
        dedup: bool = True,
        dedup_key: bytes | None = None,
    ) -> Receipt:
        """Publish one event; returns at once with its receipt.

        topic      a topic, an enum member whose value is one, or an `Event` (then nothing else describes the event)
        payload    any JSON object, at most 1 MiB once serialised
        source     who announces it, free text;  trace: a trace context, a small JSON object
        ephemeral  not logged, not receipted by the node, lost when nobody listens, and to a subscription whose handler
                   is far behind (`Subscription.missed`)
        dedup      False: keep it even if the same content was announced within the dedup window
        dedup_key  16 bytes, a digest of topic and fact, that stand for the content there; default: the content hash

        Raises `InvalidTopic`, `NotSerializable`, `PayloadTooLarge`, `BufferFull`, `BusClosed` or `SpoolError`.
        """
        if type(topic) is not str:
            topic, payload, source, trace = read_event(topic, payload, source, trace)
        check_topic(topic)
        body = pack_payload(payload)
        meta = pack_meta(source, trace, dedup, dedup_key)
        record = pack_event(time_ns() // 1000, meta, body)
        return self._outbox.express.put(topic, record) if ephemeral else self._outbox.put(topic, record)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every event published so far has its receipt; False when `timeout` seconds were not enough."""
        self._check_open()
        return self._outbox.flush(timeout)

    # ---- subscribing

    def subscribe(
        self,
        pattern: str,
        handler: Handler | Mailbox,
        *,
        name: str | None = None,
        durable: bool = False,
        since: Since = "now",
        attempts: int = ATTEMPTS,
        timeout: float = HANDLER_TIMEOUT_S,
        backoff: tuple[float, float] = BACKOFF_S,
        concurrency: int = 1,
        queue: int = QUEUE_EVENTS,
    ) -> Subscription:
        """Have `handler(event)` called for every event of `pattern`. Returns once the node has registered it.

        handler      a function (called on a thread of its own), a coroutine function (on the loop running now), or a
                     `Mailbox`, which keeps the events until somebody asks for them
        name         the consumer's name; default: process name and the handler's qualified name
        durable      the node keeps the progress under that name, and the next to subscribe with it continues there
        since        "now", "earliest", an aware datetime, or seconds ago: where a new subscription begins
        attempts     how often one event is tried in all;  backoff: (first, largest) seconds between the tries
        timeout      seconds the handler may take for one event
        concurrency  handlers that may run at once; with 1, events are handled strictly one after the other
        queue        events that may wait in memory; the rest waits in the node's log

        Without a node the call returns after 5 s, and the registration follows when there is one (`wait_ready`).
        Raises `InvalidTopic`, `InvalidOption`, `BusClosed`, `ConsumerHeld` or `RequestRefused`.
        """
        self._check_open()
        given = getattr(pattern, "value", pattern)
        chosen = name if name is not None else self._subscribing.default_name(handler)
        options = check_options(given, chosen, durable, since, attempts, timeout, backoff, concurrency, queue)
        return Subscription(self._subscribing.subscribe(options, handler), self._end)

    def on(self, pattern: str, **options: Any) -> Callable[[AnyHandler], AnyHandler]:
        """Decorate a handler to subscribe it; options as for `subscribe`."""

        def decorate(handler: AnyHandler) -> AnyHandler:
            self.subscribe(pattern, handler, **options)
            return handler

        return decorate

    def list_subscribers(self) -> dict[str, list[str]]:
        """Pattern → names of the consumers this bus has subscribed to it."""
        return self._subscribing.consumers()

    def report_wiring(self, fields: Mapping[str, Any]) -> None:
        """Tell the node how this program is wired, in place of what was told before; returns at once.

        fields  {"groups": {group: {"topics": {topic: "subscribed" | "failed: reason"}}}, "critical": [topic, …]}

        The node shows it in `/status`, and is not ready (`/readyz`) while a critical topic has no consumer. It is told
        again after every re-attachment. Raises `NotSerializable`, `PayloadTooLarge` or `BusClosed`.
        """
        self._check_open()
        told = orjson.loads(pack_payload(fields))
        self._session.call(lambda now: self._session.wiring.report(told))

    # ---- being attached, closing

    @property
    def attached(self) -> bool:
        """Whether a node is there now."""
        return self._session.attached.is_set()

    def wait_attached(self, timeout: float | None = None) -> bool:
        """Wait for a node, at most `timeout` seconds."""
        self._check_open()
        return self._session.attached.wait(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Let running handlers finish, report, wait for receipts, say goodbye: all within `timeout` s. Safe twice."""
        with self._lock:
            if self._refusal is not None:
                return
            self._refusal = CLOSED
        deadline = monotonic() + timeout
        open_buses.forget(self)
        self._outbox.close(CLOSED)
        here = self._subscribing.here()
        self._session.drain(0.1 if here else 0.8 * timeout)
        self._session.stop(max(0.2, deadline - monotonic()))
        self._subscribing.close(0.1 if here else 1.0)

    def forked(self) -> None:
        """This is the copy in a child process: from here on every call says so."""
        self._refusal = FORKED
        self._outbox.forked(FORKED)
        self._lock = threading.Lock()
        self._session.attached = threading.Event()
        self._session.marks.forked()

    def __enter__(self) -> EventBus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> EventBus:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        state = "closed" if self._refusal else "attached" if self.attached else "not attached"
        return f"<EventBus {self.name} to {self.place} ({state})>"

    # ---- inside

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise BusClosed(self._refusal)

    def _end(self, course: Course, timeout: float) -> None:
        if self._refusal is None:
            self._subscribing.end(course, timeout)
