"""The stage bus: pipeline stages as events of the same mesh, with somebody waiting for what the handlers make of them.

    emit(stage, payload) ──▶ publish, with a token in the event's trace ──▶ the node ──▶ handlers of this process
             │                                                                              │
             └──▶ Emission: receipt ◀──── each handler's first attempt: well, or its error ──┘
                      await it, or .wait(timeout)

A stage is a topic, so other programs may subscribe to it as to any event, and an event somebody else publishes reaches
the handlers here. What an emission waits for are the handlers that this process has subscribed through its stage bus;
of those elsewhere the publisher learns nothing. A handler that fails is told at once and tried again later, by itself.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import threading
from collections.abc import Callable, Generator, Mapping
from enum import StrEnum
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from mesh.arguments import is_async, qualified_name
from mesh.coordination import default_bus
from mesh.coordination.event_router import EventName, EventRouter, get_router
from mesh.event import Event
from mesh.jobs import Handler
from mesh.limits import HANDLER_TIMEOUT_S
from mesh.receipt import Answers, Receipt
from mesh.subscription import Subscription

TOKEN = "emission"
"""The key of the token in an event's trace."""


class StageEvent(StrEnum):
    """The stages of the training pipeline, in their order. Any other type of the catalogue may be a stage as well."""

    SELFPLAY_COMPLETE = "SELFPLAY_COMPLETE"
    DATA_SYNC_STARTED = "DATA_SYNC_STARTED"
    DATA_SYNC_COMPLETED = "DATA_SYNC_COMPLETED"
    DATA_SYNC_FAILED = "DATA_SYNC_FAILED"
    NEW_GAMES_AVAILABLE = "NEW_GAMES_AVAILABLE"
    PARITY_VALIDATION_COMPLETED = "PARITY_VALIDATION_COMPLETED"
    CONSOLIDATION_COMPLETE = "CONSOLIDATION_COMPLETE"
    NPZ_EXPORT_COMPLETE = "NPZ_EXPORT_COMPLETE"
    NPZ_COMBINATION_COMPLETE = "NPZ_COMBINATION_COMPLETE"
    TRAINING_STARTED = "TRAINING_STARTED"
    TRAINING_COMPLETED = "TRAINING_COMPLETED"
    TRAINING_FAILED = "TRAINING_FAILED"
    EVALUATION_COMPLETED = "EVALUATION_COMPLETED"
    EVALUATION_FAILED = "EVALUATION_FAILED"
    MODEL_PROMOTED = "MODEL_PROMOTED"
    PROMOTION_FAILED = "PROMOTION_FAILED"
    MODEL_DISTRIBUTION_COMPLETE = "MODEL_DISTRIBUTION_COMPLETE"
    MODEL_DISTRIBUTION_FAILED = "MODEL_DISTRIBUTION_FAILED"
    CURRICULUM_ADVANCED = "CURRICULUM_ADVANCED"


class Emission:
    """A stage that was emitted: its `receipt`, and what became of it in the handlers of this process.

    `handled`: names of those that succeeded; `failed`: name → error; `unfinished`: those that have not said anything.
    """

    def __init__(self, expected: set[str], timeout_s: float) -> None:
        self.receipt = Receipt(Answers(), 0)
        self.timeout_s = timeout_s
        self.handled: list[str] = []
        self.failed: dict[str, str] = {}
        self._expected = expected
        self._changed = threading.Condition()

    @property
    def unfinished(self) -> list[str]:
        """The handlers that have not ended yet."""
        return sorted(self._expected - set(self.handled) - self.failed.keys())

    @property
    def succeeded(self) -> bool:
        """Whether the event is on disk and every handler has ended well."""
        return self.receipt.status == "accepted" and not self.failed and not self.unfinished

    def wait(self, timeout: float | None = None) -> Emission:
        """Block until every handler has ended, or `timeout` seconds have passed (default: `timeout_s`).

        A duplicate or rejected event is delivered to nobody: nothing is waited for then. Not to be called on the event
        loop that runs the handlers; there, await the emission.
        """
        deadline = monotonic() + (self.timeout_s if timeout is None else timeout)
        self.receipt.wait(max(0.0, deadline - monotonic()))
        if self.receipt.status == "accepted":
            with self._changed:
                self._changed.wait_for(lambda: not self.unfinished, max(0.0, deadline - monotonic()))
        return self

    def __await__(self) -> Generator[Any, None, Emission]:
        return asyncio.to_thread(self.wait).__await__()

    def end(self, handler: str, error: BaseException | None) -> None:
        """A handler has ended."""
        with self._changed:
            if handler in self.unfinished:
                if error is None:
                    self.handled.append(handler)
                else:
                    self.failed[handler] = f"{type(error).__name__}: {error}"
                self._changed.notify_all()

    def __repr__(self) -> str:
        return f"<Emission {self.receipt!r} handled {self.handled} failed {self.failed} unfinished {self.unfinished}>"


class StageBus:
    """Stages on a router (default: the one of this process), see `get_stage_bus`; any thread may call."""

    def __init__(self, router: EventRouter | None = None) -> None:
        self._router = router if router is not None else get_router()
        self._lock = threading.Lock()
        self._handlers: dict[str, list[tuple[Handler, Handler, Subscription]]] = {}
        self._emissions: WeakValueDictionary[str, Emission] = WeakValueDictionary()

    def subscribe(self, stage: EventName, handler: Handler, **options: Any) -> Subscription:
        """Have `handler(event)` called for every event of a stage; as `mesh.coordination.subscribe`."""
        topic = self._router.topic(stage)
        with self._lock:
            known = next((each for each in self._handlers.get(topic, []) if each[0] == handler), None)
        watched = known[1] if known else self._watched(topic, handler)
        subscription = self._router.subscribe(topic, watched, **options)
        with self._lock:
            if known is None:
                self._handlers.setdefault(topic, []).append((handler, watched, subscription))
        return subscription

    def unsubscribe(self, stage: EventName, handler: Handler, timeout: float = 5.0) -> bool:
        """End a subscription; returns whether there was one."""
        topic = self._router.topic(stage)
        with self._lock:
            handlers = self._handlers.get(topic, [])
            found = next((each for each in handlers if each[0] == handler), None)
            if found is None:
                return False
            handlers.remove(found)
        return self._router.unsubscribe(topic, found[1], timeout)

    def emit(
        self,
        stage: EventName,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        timeout: float = HANDLER_TIMEOUT_S,
    ) -> Emission:
        """Publish a stage; returns at once. Await the emission, or `wait` for it: at most `timeout` seconds.

        Raises what `mesh.coordination.publish` raises.
        """
        topic = self._router.catalog.canonical(stage)
        with self._lock:
            expected = {each[2].name for each in self._handlers.get(topic, [])}
        emission, token = Emission(expected, timeout), secrets.token_hex(8)
        self._emissions[token] = emission
        emission.receipt = self._router.publish(topic, payload, source=source, trace={TOKEN: token})
        return emission

    def emit_and_wait(
        self,
        stage: EventName,
        payload: Mapping[str, Any] | None = None,
        *,
        source: str = "",
        timeout: float = HANDLER_TIMEOUT_S,
    ) -> Emission:
        """`emit`, and wait until the handlers of this process have ended, at most `timeout` seconds.

        In a coroutine a call must not block: there it is `await bus.emit_and_wait(…)`, and the waiting is in the await.
        """
        emission = self.emit(stage, payload, source=source, timeout=timeout)
        return emission if asyncio._get_running_loop() is not None else emission.wait()

    def _watched(self, topic: str, handler: Handler) -> Any:
        """The handler, with its end told to the emission that waits for it."""
        end = functools.partial(self._ended, topic, handler)
        watched = _watched_coroutine(handler, end) if is_async(handler) else _watched_function(handler, end)
        watched.__qualname__ = qualified_name(handler)
        return watched

    def _ended(self, topic: str, handler: Handler, event: Event, error: BaseException | None) -> None:
        emission = self._emissions.get(str((event.trace or {}).get(TOKEN)))
        if emission is None:
            return
        with self._lock:
            name = next((each[2].name for each in self._handlers.get(topic, []) if each[0] == handler), "")
        emission.end(name, error)


def _watched_function(handler: Handler, end: Callable[[Event, BaseException | None], None]) -> Any:
    def watched(event: Event) -> Any:
        try:
            result = handler(event)
        except BaseException as error:
            end(event, error)
            raise
        end(event, None)
        return result

    return watched


def _watched_coroutine(handler: Handler, end: Callable[[Event, BaseException | None], None]) -> Any:
    async def watched(event: Event) -> None:
        try:
            await handler(event)
        except BaseException as error:
            end(event, error)
            raise
        end(event, None)

    return watched


def get_stage_bus() -> StageBus:
    """The stage bus of this process, on its default bus."""
    return default_bus.belonging(StageBus)
