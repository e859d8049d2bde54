"""A publisher at a steady rate that writes down every receipt.

    spec       node · who: its name in every payload · topics · rate: events/s · seed · file: where to write
               filler: characters in every payload · count: stop by itself after so many (0: when told)
               unfold: the first topic only, and after every so many events one more (0: all from the start)
    says       {ready, pid};  {marked: k} one more event on every topic is receipted;  {stopped: n} n events are
    commands   {"do": "start"} · {"do": "mark"} · {"do": "stop"}

A receipt is one line, written in one piece and after the fact: what the file says was receipted.

    status event-id who index
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Any

import mesh

STEP_S = 0.005
LINES_MAX = 500


class Source:
    """Publishes; every event is the next index, on a topic drawn in runs."""

    def __init__(self, bus: mesh.EventBus, spec: dict[str, Any]) -> None:
        self.bus = bus
        self.who = spec["who"]
        self.topics: list[str] = spec["topics"]
        self.unfold = spec.get("unfold", 0)
        self.filler = "x" * spec.get("filler", 0)
        self.published = 0
        self.unreceipted: deque[tuple[int, mesh.Receipt]] = deque()
        self.file = os.open(spec["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._topic = self._topics(random.Random(spec["seed"]))
        self._lock = threading.Lock()

    def _topics(self, draw: random.Random) -> Iterator[str]:
        while True:
            known = 1 + self.published // self.unfold if self.unfold else len(self.topics)
            topic = draw.choice(self.topics[:known])
            for _ in range(draw.randint(1, 12)):
                yield topic

    def publish(self, topic: str = "") -> mesh.Receipt:
        """One event; waits for room when the node is away for long."""
        with self._lock:
            payload = {"who": self.who, "i": self.published, "x": self.filler}
            topic = topic or next(self._topic)
            while True:
                with contextlib.suppress(mesh.BufferFull):
                    receipt = self.bus.publish(topic, payload)
                    break
                self.bus.flush(0.05)
            self.unreceipted.append((self.published, receipt))
            self.published += 1
        return receipt

    def run(self, rate: float, count: int, stop: threading.Event) -> None:
        """Publish what is due, in small steps."""
        begun, due = monotonic(), 0
        while not stop.wait(STEP_S):
            due = int((monotonic() - begun) * rate)
            for _ in range(due - self.published):
                if stop.is_set() or (count and self.published >= count):
                    return
                self.publish()

    def write_receipts(self, ended: threading.Event) -> None:
        """Write what was receipted, in order."""
        while not (ended.is_set() and not self.unreceipted):
            if not self.unreceipted:
                ended.wait(STEP_S)
                continue
            self.unreceipted[0][1].wait(1.0)
            lines = []
            while self.unreceipted and self.unreceipted[0][1].done and len(lines) < LINES_MAX:
                index, receipt = self.unreceipted.popleft()
                lines.append(f"{receipt.status} {receipt.event_id or '-'} {self.who} {index}\n")
            os.write(self.file, "".join(lines).encode())


def say(**line: object) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def main() -> None:
    spec = json.loads(sys.argv[1])
    stop, ended = threading.Event(), threading.Event()
    with mesh.connect(spec["node"], name=spec["who"], buffer_events=spec.get("buffer", 100_000)) as bus:
        source = Source(bus, spec)
        writer = threading.Thread(target=source.write_receipts, args=(ended,))
        runner = threading.Thread(target=source.run, args=(spec["rate"], spec.get("count", 0), stop), daemon=True)
        writer.start()
        say(ready=bus.wait_attached(30.0), pid=os.getpid())
        for line in sys.stdin:
            match json.loads(line)["do"]:
                case "start":
                    runner.start()
                case "mark":
                    receipts = [source.publish(topic) for topic in source.topics]
                    say(marked=[receipt.wait(30.0).event_id for receipt in receipts])
                case "wait":
                    runner.join()
                    say(done=bus.flush(60.0), published=source.published)
                case "stop":
                    stop.set()
                    runner.join()
                    bus.flush(60.0)
                    say(stopped=source.published)
        stop.set()
        ended.set()
        writer.join()


if __name__ == "__main__":
    main()
