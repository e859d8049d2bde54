"""Event loops for clients that need one: uvloop, as usual where throughput counts.

A publisher runs its loop in the main thread while it publishes; a subscriber's always runs, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from tools.bench.contender import READY_S
from tools.bench.workloads import Item, Payload

Result = TypeVar("Result")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop."""
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def drive_async(items: Iterable[Item], publish: Callable[[str, Payload], Awaitable[object]]) -> None:
    """`workloads.drive` where publishing is awaited. A loop sleeps in whole milliseconds, so it is up to one late."""
    for item in items:
        if isinstance(item, float):
            await asyncio.sleep(item)
        else:
            await publish(*item)


class LoopThread:
    """A loop that runs until it is closed."""

    def __init__(self) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run it there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(READY_S)

    def close(self) -> None:
        """Stop the loop and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
