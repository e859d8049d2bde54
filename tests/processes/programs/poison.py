"""A handler that some events kill, and the process with it. Says {handled, attempt}, before it dies {dying, attempt}.

spec       node pattern name options, `poison`: values of `i` that kill, `first`: "fail" lets their first attempt raise,
           `how`: exit (os._exit) | kill (SIGKILL), `kind`: plain | async
commands   any line: die, for the handler that said it is dying;  the end of the input: close
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import mesh


class Handler:
    """Waits for the word before it dies, so that what was handled before is reported by then."""

    def __init__(self, spec: dict[str, object]) -> None:
        self.poison = spec["poison"]
        self.how = spec.get("how", "exit")
        self.first = spec.get("first", "die")
        self.die = threading.Event()

    def plain(self, event: mesh.Event) -> None:
        if event.payload["i"] in self.poison:
            self.attempt(event)
        say(handled=event.id, i=event.payload["i"], attempt=event.attempt)

    async def coroutine(self, event: mesh.Event) -> None:
        self.plain(event)

    def attempt(self, event: mesh.Event) -> None:
        if self.first == "fail" and event.attempt == 1:
            raise ValueError(f"event {event.payload['i']} does not agree with me")
        say(dying=event.id, attempt=event.attempt)
        self.die.wait()
        os.kill(os.getpid(), signal.SIGKILL) if self.how == "kill" else os._exit(1)


def say(**line: object) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def main() -> None:
    spec = json.loads(sys.argv[1])
    handler = Handler(spec)
    function = handler.coroutine if spec.get("kind") == "async" else handler.plain
    with mesh.connect(spec["node"], name="poisoned") as bus:
        say(ready=bus.wait_attached(15.0))
        bus.subscribe(spec["pattern"], function, name=spec["name"], **spec.get("options", {}))
        for _ in sys.stdin:
            handler.die.set()


if __name__ == "__main__":
    main()
