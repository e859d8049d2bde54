"""What a contender is: three processes, of which the middle one belongs to the system that is measured.

    publisher process            broker process            subscriber process
    connect_publisher ─────────▶ start_broker ───────────▶ connect_subscriber
    dict → JSON → send           node, proxy, server       receive → JSON → dict → handler(dict)

Every contender does the same JSON work with the same library, and hands its handler a decoded object. Whatever it
promises beyond that (a log, receipts, order) it does as it does by itself, and says so in `about`.

A new contender is one file in `contenders` and one line in its `__init__`. Its client is imported inside its functions,
so that the others run where that client is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mesh.errors import MeshError
from tools.bench.workloads import Payload

Handler = Callable[[Any], object]
"""Called with the decoded payload of every event that arrives."""

READY_S = 15.0
"""How long any of the processes may take to be ready."""


class BenchFailed(MeshError):
    """A process of the benchmark did not do what it should; the message says which and ends with its last words."""


class Broker(Protocol):
    """The process in the middle, running. `address` is what the other two are told."""

    @property
    def address(self) -> str:
        """A path or an endpoint: whatever the contender's other two functions take."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def stop(self) -> object:
        """End the process, and wait for its end."""


class Publisher(Protocol):
    """A connected publisher; usable by one thread."""

    def publish(self, payload: Payload) -> None:
        """Encode and publish one event; waits where the system exerts back-pressure."""

    def flush(self) -> None:
        """Wait until the system has taken over everything published, as far as it says so."""

    def close(self) -> None:
        """Disconnect."""


class Subscriber(Protocol):
    """A connected subscriber: the handler is being called."""

    def close(self) -> None:
        """Disconnect."""


class Contender(Protocol):
    """One system in one way of using it."""

    @property
    def name(self) -> str:
        """Its name in the tables and on the command line."""

    @property
    def about(self) -> str:
        """What it promises for its figures, in a few words."""

    def start_broker(self, place: Path) -> Broker:
        """Start the process in the middle; its files belong into the empty directory `place`. Ready on return."""

    def connect_publisher(self, address: str) -> Publisher:
        """Connect; on return what is published reaches a subscriber that was connected before."""

    def connect_subscriber(self, address: str, handler: Handler) -> Subscriber:
        """Connect; on return the broker knows of the subscription."""
