"""Subscribes while events pass, again and again, and says for each time what it was given.

    spec       node · publish_at: the data directory of the node to publish at (default: the same) · topics · rounds
               seed · since: what to subscribe with ("now", "earliest", seconds)
    says       {ready}, and at the end {barriers: [row …]}
    row        [topic, returned_us, sequence of the mark, [sequences given, in order]]

For every barrier: publish, subscribe, and when `subscribe` has returned, publish a mark; the row is made when the mark
has been given, or after MARK_S. `returned_us` is the wall clock at the return, in microseconds.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import deque
from time import time_ns
from typing import Any

import mesh

MARK_S = 20.0

Row = tuple[str, int, int, list[int]]


class Barrier:
    """One subscription: what it is given, and whether its mark came."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.mark = 0
        self.marked = threading.Event()

    def handle(self, event: mesh.Event) -> None:
        self.given.append(event.sequence)
        if event.sequence == self.mark:
            self.marked.set()

    def await_mark(self, sequence: int) -> None:
        """The mark is this event; it may have been given already."""
        self.mark = sequence
        if sequence not in self.given:
            self.marked.wait(MARK_S)


def barrier(bus: mesh.EventBus, to: mesh.EventBus, topic: str, since: Any, number: int) -> Row:
    """One round."""
    here = Barrier()
    to.publish(topic, {"before": number})
    with bus.subscribe(topic, here.handle, name="barrier", since=since):
        returned_us = time_ns() // 1000
        mark = to.publish(topic, {"mark": number}).wait(MARK_S)
        sequence = mesh_sequence(mark)
        here.await_mark(sequence)
    return topic, returned_us, sequence, here.given


def mesh_sequence(receipt: mesh.Receipt) -> int:
    """The sequence a receipt names."""
    return int(receipt.event_id.rpartition("/")[2])


def main() -> None:
    spec = json.loads(sys.argv[1])
    draw = random.Random(spec["seed"])
    with mesh.connect(spec["node"], name="barriers") as bus, mesh.connect(spec["publish_at"], name="marks") as to:
        print(json.dumps({"ready": bus.wait_attached(15.0) and to.wait_attached(15.0)}), flush=True)
        sys.stdin.readline()
        rows: deque[Row] = deque()
        for number in range(spec["rounds"]):
            rows.append(barrier(bus, to, draw.choice(spec["topics"]), spec["since"], number))
        print(json.dumps({"barriers": list(rows)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
