"""Publishes numbered events as fast as the node receipts them, until it is told to stop or has published `count`.

spec       node who count topics seed    bytes_min bytes_max: size of a payload (log-uniform)    buffer: events
           repeat: some events are published twice, at once or after forty others
says       {ready} · {receipted: n} every now and then · {published} at the end, with one row per event:
           [index, topic, sha256 of its filling, receipt's status, event id]
commands   any line: begin;  the end of the input: stop publishing, wait for the receipts, tell
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import random
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import mesh

TELL_EVERY = 500

Numbered = tuple[int, str, dict[str, Any]]
"""index, topic, payload"""


def main() -> None:
    spec = json.loads(sys.argv[1])
    bus = mesh.connect(spec["node"], name=spec["who"], buffer_events=spec.get("buffer", 100_000))
    print(json.dumps({"ready": bus.wait_attached(15.0)}), flush=True)
    sys.stdin.readline()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    told: list[tuple[int, str, str, mesh.Receipt]] = []
    chosen = itertools.islice(events(spec), spec["count"])
    for index, topic, payload in repeated(chosen) if spec.get("repeat") else chosen:
        if stop.is_set():
            break
        receipt = publish(bus, topic, payload)
        told.append((index, topic, digest(payload), receipt))
        if len(told) % TELL_EVERY == 0:
            told[-TELL_EVERY][3].wait()
            print(json.dumps({"receipted": len(told) - TELL_EVERY + 1}), flush=True)
    bus.flush(60.0)
    rows = [(index, topic, sha, receipt.status, receipt.event_id) for index, topic, sha, receipt in told]
    print(json.dumps({"published": rows}), flush=True)
    stop.wait()
    bus.close()


def events(spec: dict[str, Any]) -> Iterator[Numbered]:
    """Runs of one to forty events of one topic, then of another: frames of all sizes."""
    draw, index, run = random.Random(spec["seed"]), 0, 0
    low, high = math.log(spec.get("bytes_min", 20)), math.log(spec.get("bytes_max", 400))
    while True:
        topic, run = f"T.{run * 7 % spec['topics']:02}", run + 1
        for _ in range(draw.randint(1, 40)):
            size = int(math.exp(draw.uniform(low, high)))
            payload = {"i": index, "who": spec["who"], "x": ""}
            room = max(0, size - len(json.dumps(payload, separators=(",", ":"))))
            payload["x"] = draw.randbytes(room // 2 + 1).hex()[:room]
            yield index, topic, payload
            index += 1


def repeated(chosen: Iterator[Numbered]) -> Iterator[Numbered]:
    """The events, some of them twice: in the same frame, or in one of its own."""
    former: deque[Numbered] = deque(maxlen=40)
    for event in chosen:
        yield event
        if event[0] % 14 == 0:
            yield event
        if event[0] % 14 == 7 and len(former) == 40:
            yield former[0]
        former.append(event)


def digest(payload: dict[str, Any]) -> str:
    """What the other side computes for itself."""
    return hashlib.sha256(payload["x"].encode()).hexdigest()


def publish(bus: mesh.EventBus, topic: str, payload: dict[str, Any]) -> mesh.Receipt:
    """Publish; wait for room when the buffer is full."""
    while True:
        with contextlib.suppress(mesh.BufferFull):
            return bus.publish(topic, payload)
        bus.flush(0.05)


if __name__ == "__main__":
    main()
