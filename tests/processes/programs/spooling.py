"""Publishes numbered events into a spool, as fast as it can, until it is killed or has published `count`.

spec       node spool start count flush    start: which start of the program this is, for the payloads; flush: seconds
says       {ready} · {told: n} now and then: for the first n events `publish` has returned · {flushed} at the end
           {refused} instead of anything else when the spool is not to be had
commands   the end of the input: end
"""

from __future__ import annotations

import contextlib
import json
import sys

import mesh

TOPICS = "ABC"
TELL_EVERY = 20


def say(**line: object) -> None:
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def publish(bus: mesh.EventBus, topic: str, payload: dict[str, object]) -> None:
    """Publish; wait for room when the buffer is full."""
    while True:
        with contextlib.suppress(mesh.BufferFull):
            bus.publish(topic, payload)
            return
        bus.flush(0.05)


def main() -> None:
    spec = json.loads(sys.argv[1])
    try:
        bus = mesh.connect(spec["node"], name="spooling", spool=spec["spool"])
    except mesh.SpoolError as error:
        say(ready=False, refused=str(error))
        return
    say(ready=True)
    for i in range(spec["count"]):
        publish(bus, TOPICS[i // 7 % len(TOPICS)], {"start": spec["start"], "i": i})
        if i % TELL_EVERY == TELL_EVERY - 1:
            say(told=i + 1)
    say(told=spec["count"])
    say(flushed=bus.flush(spec["flush"]))
    sys.stdin.read()
    bus.close()


if __name__ == "__main__":
    main()
