"""Subscribes and says every event: {event, topic, sequence, i, who, sha, attempt, replayed}. Ends with its input."""

from __future__ import annotations

import hashlib
import json
import sys

import mesh


def say(event: mesh.Event) -> None:
    line = {
        "event": event.id,
        "topic": event.topic,
        "sequence": event.sequence,
        "i": event.payload.get("i"),
        "who": event.payload.get("who"),
        "sha": hashlib.sha256(event.payload.get("x", "").encode()).hexdigest(),
        "attempt": event.attempt,
        "replayed": event.replayed,
    }
    print(json.dumps(line) + "\n", end="", flush=True)  # in one piece: several threads say something


def main() -> None:
    spec = json.loads(sys.argv[1])
    with mesh.connect(spec["node"], name="subscriber") as bus:
        attached = bus.wait_attached(15.0)
        bus.subscribe(spec["pattern"], say, name=spec.get("name"), **spec.get("options", {}))
        print(json.dumps({"ready": attached}) + "\n", end="", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
