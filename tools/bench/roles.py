"""The ends of a run, each a process: `python -m tools.bench.roles publisher|subscriber CONTENDER WORKLOAD ADDRESS`.

    publisher    {"do": "publish", "first": n, "seconds": s}   → {"published": …, "late_us_p99": …}
    subscriber   {"do": "begin", "first": n}                   → {}            forget, count from number n on
                 {"do": "wait", "published": m, "quiet_s": q}  → {}            all are here, or no more come
                 {"do": "report"}                              → see `Tally.report`

The subscriber keeps three integers of every event (number, when it was published, when it arrived) and looks at them
when the run is over and its processor time was read: inside the handler nothing is computed. It waits until as many
events as were published have arrived, or none for `quiet_s` seconds.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from collections.abc import Iterator
from time import monotonic_ns

from tools.bench.child import Message, say
from tools.bench.contender import Contender
from tools.bench.contenders import CONTENDERS
from tools.bench.figures import percentile, percentiles
from tools.bench.workloads import WORKLOADS, Payload, Source, Workload

POLL_S = 0.02
"""How often the waiting main thread looks; each look takes the interpreter from the handler for a moment."""


class Tally:
    """What arrived. Calling it is the handler."""

    def __init__(self) -> None:
        self.first = 0
        self._numbers = array("q")
        self._sent_ns = array("q")
        self._arrived_ns = array("q")

    def __call__(self, payload: Payload) -> None:
        """Count one event."""
        self._arrived_ns.append(monotonic_ns())
        self._sent_ns.append(payload["sent_ns"])
        self._numbers.append(payload["n"])

    def begin(self, first: int) -> None:
        """Forget what arrived so far, and count only events numbered from `first` on."""
        self.first = first
        for kept in (self._numbers, self._sent_ns, self._arrived_ns):
            del kept[:]

    def wait(self, count: int, quiet_s: float) -> None:
        """Wait until so many events have arrived, or none for `quiet_s` seconds."""
        seen, deadline = -1, 0.0
        while len(self._numbers) < count:
            now = time.monotonic()
            if len(self._numbers) != seen:
                seen, deadline = len(self._numbers), now + quiet_s
            elif now > deadline:
                return
            time.sleep(POLL_S)

    def report(self) -> Message:
        """Counts, when the first and the last arrived (monotonic ns), and the latencies in microseconds."""
        counted = [
            (number, sent, arrived)
            for number, sent, arrived in zip(self._numbers, self._sent_ns, self._arrived_ns, strict=True)
            if number >= self.first
        ]
        arrivals = [arrived for _, _, arrived in counted]
        return {
            "arrived": len(counted),
            "delivered": len({number for number, _, _ in counted}),
            "begin_ns": min(arrivals, default=0),
            "end_ns": max(arrivals, default=0),
            "latency_us": percentiles([(arrived - sent) / 1e3 for _, sent, arrived in counted]),
        }


def run_publisher(contender: Contender, workload: Workload, address: str) -> None:
    """Publish what is asked for, until the input ends."""
    publisher = contender.connect_publisher(address, workload)
    say({"ready": True})
    for asked in _commands():
        source = Source(workload, asked["first"])
        publisher.run(source.items(asked["seconds"]))
        publisher.flush()
        say({"published": source.published, "late_us_p99": percentile(sorted(source.late_us), 0.99)})
    publisher.close()


def run_subscriber(contender: Contender, workload: Workload, address: str) -> None:
    """Count what arrives, until the input ends."""
    tally = Tally()
    subscriber = contender.connect_subscriber(address, workload, tally)
    say({"ready": True})
    for asked in _commands():
        if asked["do"] == "begin":
            tally.begin(asked["first"])
            say({})
        elif asked["do"] == "wait":
            tally.wait(asked["published"], asked["quiet_s"])
            say({})
        else:
            say(tally.report())
    subscriber.close()


def _commands() -> Iterator[Message]:
    for line in sys.stdin:
        yield json.loads(line)


if __name__ == "__main__":
    _role, _contender, _workload, _address = sys.argv[1:]
    (run_publisher if _role == "publisher" else run_subscriber)(CONTENDERS[_contender], WORKLOADS[_workload], _address)
