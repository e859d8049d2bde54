"""A consumer that writes one line into a file for every call of its handler, before anything else happens in it.

    spec       node · file: where to write · run: which start of this program · name · process: what its bus is
               called (default: name) · pattern · options of `subscribe`
               fails: every so-many-th event of a publisher fails at its first attempt (0: none) · broken: all fail
               from the line "mend" on, none does
    says       {ready, pid}, or {refused: kind, message} and ends;  {closed} and {subscribed} to the commands
    commands   "mend" · "close": the subscription ends · "subscribe": it begins again

A line is one write to a file opened for appending, so lines of several processes never mix:

    run attempt called_us published_us event-id who index
"""

from __future__ import annotations

import json
import os
import sys
from time import time_ns
from typing import Any

import mesh


class Handler:
    """Counts by writing; fails as told."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.file = os.open(spec["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.run = spec.get("run", 0)
        self.fails = spec.get("fails", 0)
        self.broken = spec.get("broken", False)

    def handle(self, event: mesh.Event) -> None:
        called_us = time_ns() // 1000
        payload = event.payload
        who, index = payload.get("who", "-"), payload.get("i", 0)
        line = f"{self.run} {event.attempt} {called_us} {event.time_us} {event.id} {who} {index}\n"
        os.write(self.file, line.encode())
        if self.broken or (self.fails and event.attempt == 1 and index % self.fails == self.fails - 1):
            raise ConnectionError(f"evaluation server is busy ({who} {index})")


def say(**line: object) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def main() -> None:
    spec = json.loads(sys.argv[1])
    handler = Handler(spec)
    with mesh.connect(spec["node"], name=spec.get("process", spec["name"])) as bus:
        bus.wait_attached(30.0)

        def subscribe() -> mesh.Subscription:
            sub = bus.subscribe(spec["pattern"], handler.handle, name=spec["name"], **spec.get("options", {}))
            sub.wait_ready(30.0)
            return sub

        try:
            sub = subscribe()
        except mesh.MeshError as error:
            say(ready=False, refused=type(error).__name__, message=str(error), pid=os.getpid())
            return
        say(ready=sub.ready, pid=os.getpid())
        for line in sys.stdin:
            match json.loads(line)["do"]:
                case "mend":
                    handler.broken, handler.fails = False, 0
                    say(mended=True)
                case "close":
                    sub.close()
                    say(closed=True)
                case "subscribe":
                    sub = subscribe()
                    say(subscribed=sub.ready)


if __name__ == "__main__":
    main()
