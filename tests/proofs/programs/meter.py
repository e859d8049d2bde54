"""A subscriber that only counts: how many events, and whether each stream came without a gap and once.

spec       node · name · pattern
says       {ready, pid}, and for every line it is sent {count, broken}: events so far, and how many did not follow
           the one before
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import mesh


class Meter:
    """Counts events, and those that do not continue their stream."""

    def __init__(self) -> None:
        self.count = 0
        self.broken = 0
        self._last: dict[str, int] = {}

    def handle(self, event: mesh.Event) -> None:
        self.count += 1
        if event.sequence != self._last.get(event.topic, 0) + 1:
            self.broken += 1
        self._last[event.topic] = event.sequence


def say(**line: Any) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def main() -> None:
    spec = json.loads(sys.argv[1])
    meter = Meter()
    with mesh.connect(spec["node"], name=spec["name"]) as bus:
        attached = bus.wait_attached(30.0)
        bus.subscribe(spec["pattern"], meter.handle, name=spec["name"], durable=True)
        say(ready=attached, pid=os.getpid())
        for _ in sys.stdin:
            say(count=meter.count, broken=meter.broken)


if __name__ == "__main__":
    main()
