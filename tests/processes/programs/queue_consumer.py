"""Takes numbered events from its own cross-process queue and acknowledges them, batch by batch, up to the last one.

spec       node queue pattern types, `last`: number of every type's last event, `paced`: numbers below are not part of a
           burst, `crash_after`: dies by SIGKILL after so many events, the last batch not acknowledged
says       {ranges, order, delay, span} at the last event: first and last number of each type, whether every number
           followed the one before it, median seconds from publish to here of paced events, seconds that the burst took
           {dying} in place of it: type → number of the first event that was not acknowledged
commands   the end of the input: end
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time

from mesh.coordination import get_cross_process_queue


def say(**line: object) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


class Taken:
    """What was taken so far."""

    def __init__(self, paced: int) -> None:
        self.paced = paced
        self.ranges: dict[str, list[int]] = {}
        self.order = True
        self.count = 0
        self.burst_at = 0.0
        self.delays: list[float] = []

    def take(self, topic: str, number: int, published_s: float) -> None:
        now = time.time()
        if number < self.paced:
            self.delays.append(now - published_s)
        else:
            self.burst_at = self.burst_at or now
        range_ = self.ranges.setdefault(topic, [number, number - 1])
        self.order &= number == range_[1] + 1
        range_[1] = number
        self.count += 1


def main() -> None:
    spec = json.loads(sys.argv[1])
    os.environ["MESH_NODE"] = spec["node"]
    queue = get_cross_process_queue(spec["queue"], pattern=spec["pattern"])
    say(ready=True, name=queue.name)
    taken = Taken(spec.get("paced", 0))
    while [range_[1] for range_ in taken.ranges.values()] != [spec["last"]] * len(spec["types"]):
        events = queue.get_pending_events(limit=500, timeout=1.0)
        for event in events:
            taken.take(event.topic, event.payload["samples"], event.time_us / 1e6)
        if spec.get("crash_after") and taken.count >= spec["crash_after"]:
            say(dying={event.topic: event.payload["samples"] for event in reversed(events)})
            os.kill(os.getpid(), signal.SIGKILL)
        queue.acknowledge(events)
    span, delay = time.time() - taken.burst_at, statistics.median(taken.delays) if taken.delays else None
    say(ranges=taken.ranges, order=taken.order, delay=delay, span=span)
    sys.stdin.read()


if __name__ == "__main__":
    main()
