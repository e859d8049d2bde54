"""A handler that fails until it is mended. Says {attempt, event, at} at every call and {handled, attempt} at success.

spec       node pattern name options mended, and `kind`: error | async error | slow | async slow (runs for a minute)
commands   any line: mend, answered by {mended}
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

import mesh

LONG_S = 60.0


class Handler:
    """Calls are counted by the node, not here: the program may be a new one."""

    def __init__(self, kind: str, mended: bool) -> None:
        self.kind = kind
        self.mended = mended

    def begin(self, event: mesh.Event) -> None:
        say(attempt=event.attempt, event=event.id, at=time.monotonic())

    def fail(self, event: mesh.Event) -> None:
        raise ConnectionError(f"evaluation server is busy (game {event.payload['i']})")

    def end(self, event: mesh.Event) -> None:
        say(handled=event.id, attempt=event.attempt)

    def plain(self, event: mesh.Event) -> None:
        self.begin(event)
        if not self.mended:
            threading.Event().wait(LONG_S) if self.kind == "slow" else self.fail(event)
        self.end(event)

    async def coroutine(self, event: mesh.Event) -> None:
        self.begin(event)
        if not self.mended:
            await asyncio.sleep(LONG_S) if self.kind == "async slow" else self.fail(event)
        self.end(event)


def say(**line: object) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def main() -> None:
    spec = json.loads(sys.argv[1])
    handler = Handler(spec.get("kind", "error"), spec.get("mended", False))
    function = handler.coroutine if handler.kind.startswith("async") else handler.plain
    with mesh.connect(spec["node"], name="failing") as bus:
        attached = bus.wait_attached(15.0)
        bus.subscribe(spec["pattern"], function, name=spec["name"], **spec.get("options", {}))
        say(ready=attached)
        for _ in sys.stdin:
            handler.mended = True
            say(mended=True)


if __name__ == "__main__":
    main()
