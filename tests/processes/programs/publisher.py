"""Publishes what it is told, {topic, payload, dedup} a line; says each receipt: {receipt, event_id, error}."""

from __future__ import annotations

import json
import sys

import mesh


def main() -> None:
    spec = json.loads(sys.argv[1])
    with mesh.connect(spec["node"], name="publisher") as bus:
        print(json.dumps({"ready": bus.wait_attached(15.0)}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            receipt = bus.publish(command["topic"], command["payload"], dedup=command.get("dedup", True)).wait(15.0)
            error = str(receipt.error) if receipt.error else None
            print(json.dumps({"receipt": receipt.status, "event_id": receipt.event_id, "error": error}), flush=True)


if __name__ == "__main__":
    main()
