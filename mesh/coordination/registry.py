"""The registry: which subscriptions a program must have, wired in one go, watched, and reported to the node.

    add(event, handler, group, critical) ──▶ Entry "failed: not wired yet"
    wire() ──▶ subscribe all ──some failed──▶ 1 s ──▶ those again ──▶ 2 s … ──▶ report ──▶ node: /status, /readyz
                                                                                  ▲
    watcher, once a second while attached: failed ones again, changes ─────────────┘

So what could not be had at the start (a durable name that another process held, a node whose disk was full) is had
later without a restart, and whatever gets lost is seen. A type that the catalogue marks as critical is critical here
whatever the caller says.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.arguments import is_async
from mesh.coordination import default_bus
from mesh.coordination.event_router import EventName, EventRouter, get_router
from mesh.errors import MeshError
from mesh.jobs import Handler
from mesh.subscription import Subscription

_log = logging.getLogger("mesh.coordination")

ATTEMPTS = 3
ATTACH_S = 5.0
"""How long an attempt waits for a node."""
LOOK_EVERY_S = 1.0
ON_LOOP_S = 10.0
"""What a coroutine handler's event loop may take to do a subscription that is made from the watcher's thread."""

NOT_WIRED = "not wired yet; call wire()"
SUBSCRIBED = "subscribed"


def delays_s(attempts: int) -> Iterator[float]:
    """The pauses between so many attempts: 1, 2, 4 … seconds."""
    return (2.0**number for number in range(attempts - 1))


@dataclass(eq=False)
class Entry:
    """One subscription that is wanted. `reason`: why it is not there now, "" when it is."""

    topic: str
    handler: Handler
    group: str
    critical: bool
    options: dict[str, Any]
    loop: asyncio.AbstractEventLoop | None
    subscription: Subscription | None = None
    reason: str = NOT_WIRED

    @property
    def state(self) -> str:
        """How it is reported."""
        return f"failed: {self.reason}" if self.reason else SUBSCRIBED


@dataclass(frozen=True)
class WiringReport:
    """What a registry has got. `failed`: group → topic → reason; `critical_missing`: topic → reason."""

    subscribed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    critical_missing: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything is subscribed."""
        return not self.failed


class SubscriptionRegistry:
    """The subscriptions of a program, in groups. One per program: what it reports stands for the whole bus.

    `router`: default, the one of this process. Any thread may call.
    """

    def __init__(self, router: EventRouter | None = None, *, look_every_s: float = LOOK_EVERY_S) -> None:
        self._router = router if router is not None else get_router()
        self._look_every_s = look_every_s
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._reported: dict[str, Any] | None = None
        self._stopped = threading.Event()
        self._watcher: threading.Thread | None = None

    def add(
        self, event: EventName, handler: Handler, *, group: str = "default", critical: bool = False, **options: Any
    ) -> Entry:
        """Want a subscription; options as for `subscribe`. It is made by `wire`.

        Raises `InvalidTopic`, `InvalidOption` or (strict) `UnknownEventType`.
        """
        topic = self._router.topic(event)
        type_ = self._router.catalog.get(topic)
        loop = asyncio._get_running_loop() if is_async(handler) else None
        entry = Entry(topic, handler, group, critical or bool(type_ and type_.critical), options, loop)
        with self._lock:
            self._entries.append(entry)
        return entry

    def add_group(
        self, group: str, handlers: Mapping[Any, Handler], *, critical: bool = False, **options: Any
    ) -> list[Entry]:
        """Want one subscription for each event → handler, all in one group."""
        return [
            self.add(event, handler, group=group, critical=critical, **options) for event, handler in handlers.items()
        ]

    def wire(self, attempts: int = ATTEMPTS, pause: Callable[[float], object] | None = None) -> WiringReport:
        """Make every subscription that is wanted and not there, in up to `attempts` rounds; report to the node.

        `pause` is called with the seconds between two rounds. What has failed is tried on in the background.
        """
        wait = self._stopped.wait if pause is None else pause
        self._router.wait_attached(ATTACH_S)
        failed = self._attempt_all()
        for delay_s in delays_s(attempts):
            if not failed:
                break
            wait(delay_s)
            failed = self._attempt_all()
        self.watch()
        return self.state()

    def watch(self) -> None:
        """Report to the node, and from now on look after what is wanted in the background."""
        self.report()
        with self._lock:
            if self._watcher is None and not self._stopped.is_set():
                self._watcher = threading.Thread(target=self._run, name="mesh wiring", daemon=True)
                self._watcher.start()

    def attempt(self, entry: Entry) -> bool:
        """Try to make one subscription; returns whether it is there.

        Without the lock: it may wait for an event loop whose own code asks the registry something meanwhile. Two
        attempts at once end in one subscription, because a handler is subscribed once.
        """
        entry.reason = self._reason(entry)
        return not entry.reason

    def state(self) -> WiringReport:
        """What is there and what is not, as of the last look."""
        state = WiringReport()
        for entry in self.entries():
            if entry.reason:
                state.failed.setdefault(entry.group, {})[entry.topic] = entry.reason
                if entry.critical:
                    state.critical_missing[entry.topic] = entry.reason
            else:
                state.subscribed.setdefault(entry.group, []).append(entry.topic)
        return state

    def status(self) -> dict[str, Any]:
        """What the node is told: {"groups": {group: {"topics": {topic: state}}}, "critical": [topic, …]}.

        Patterns are left out: the node says about single topics whether somebody handles them.
        """
        groups: dict[str, dict[str, dict[str, str]]] = {}
        entries = [entry for entry in self.entries() if "*" not in entry.topic]
        for entry in sorted(entries, key=lambda each: bool(each.reason)):
            groups.setdefault(entry.group, {"topics": {}})["topics"][entry.topic] = entry.state
        return {"groups": groups, "critical": sorted({entry.topic for entry in entries if entry.critical})}

    def report(self) -> None:
        """Tell the node, if anything is new since the last time."""
        with self._lock:
            status = self.status()
            if status != self._reported:
                self._router.bus.report_wiring(status)
                self._reported = status

    def entries(self) -> list[Entry]:
        """Everything that is wanted."""
        with self._lock:
            return list(self._entries)

    def remove(self, entry: Entry) -> None:
        """Want a subscription no more, and end it."""
        with self._lock:
            self._entries.remove(entry)
        self._router.unsubscribe(entry.topic, entry.handler)
        self.report()

    def stop(self) -> None:
        """End the watching; the subscriptions stay as long as their bus."""
        self._stopped.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(self._look_every_s + ON_LOOP_S)

    def _attempt_all(self) -> list[Entry]:
        return [entry for entry in self.entries() if not self.attempt(entry)]

    def _reason(self, entry: Entry) -> str:
        """Make the subscription if it is not there; why it is not, or ""."""
        if not self._router.attached:
            return f"no node answers at {self._router.bus.place}; start it with mesh-node"
        if entry.subscription is None or entry.subscription.error is not None:
            try:
                entry.subscription = self._subscribe(entry)
            except (MeshError, TimeoutError) as error:
                return str(error) or f"its event loop did not answer within {ON_LOOP_S:g} s"
        return "" if entry.subscription.ready else "the node has not registered it yet"

    def _subscribe(self, entry: Entry) -> Subscription:
        """On the loop its handler belongs to, if there is one."""
        loop = entry.loop

        async def there() -> Subscription:
            return self._router.subscribe(entry.topic, entry.handler, **entry.options)

        if loop is None or loop is asyncio._get_running_loop() or not loop.is_running():
            return self._router.subscribe(entry.topic, entry.handler, **entry.options)
        return asyncio.run_coroutine_threadsafe(there(), loop).result(ON_LOOP_S)

    def _run(self) -> None:
        while not self._stopped.wait(self._look_every_s):
            if self._router.attached:
                self._look()

    def _look(self) -> None:
        before = self.state().failed
        self._attempt_all()
        after = self.state().failed
        if after != before:
            _log.warning("subscriptions that are not there: %s", after) if after else _log.info("all are subscribed")
        try:
            self.report()
        except MeshError as error:
            _log.warning("the node was not told of the wiring: %s", error)


def get_registry() -> SubscriptionRegistry:
    """The registry of this process, on its default bus."""
    return default_bus.belonging(SubscriptionRegistry)
