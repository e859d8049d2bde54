"""What a contender is: processes, of which the middle ones belong to the system that is measured.

    publisher process            broker process            subscriber processes
    connect_publisher ─────────▶ start_broker ───────────▶ connect_subscriber
    dict → JSON → send           node, proxy, server       receive → JSON → dict → handler(dict)

Every contender does the same JSON work with the same library, and hands its handler a decoded object. Whatever it
promises beyond that (a log, receipts, order) it does as it does by itself, and says so in its `terms`; its client is
used as its own documentation recommends for throughput.

A new contender is one file in `contenders` and one line in its `__init__`. Its client is imported inside its functions,
so that the others run where that client is not installed; `missing` says what it lacks on this machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from mesh.errors import MeshError
from tools.bench.workloads import Item, Payload, Workload

Handler = Callable[[Any], object]
"""Called with the decoded payload of every event that arrives."""

READY_S = 15.0
"""How long any of the processes may take to be ready."""


class BenchFailed(MeshError):
    """A process of the benchmark did not do what it should; the message says which and ends with its last words."""


class Terms(NamedTuple):
    """What stands behind a figure.

    synced      what is on disk, and when it is synced there
    drops       when events are lost without an error
    verifies    what is checked on the way
    """

    synced: str
    drops: str
    verifies: str


class Broker(Protocol):
    """The processes in the middle, running. Addresses are a path or an endpoint: what the contender's clients take."""

    @property
    def publish_at(self) -> str:
        """What the publisher is told."""

    @property
    def subscribe_at(self) -> str:
        """What the subscribers are told."""

    @property
    def pids(self) -> Sequence[int]:
        """Process ids; none where publisher and subscriber talk to each other."""

    def stop(self) -> object:
        """End the processes, and wait for their end."""


class Publisher(Protocol):
    """A connected publisher; usable by one thread."""

    def run(self, items: Iterable[Item]) -> None:
        """Encode and publish events, pausing where the source does; waits where the system exerts back-pressure."""

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
    def terms(self) -> Terms:
        """What stands behind its figures."""

    def missing(self) -> str | None:
        """What is not installed here, or None."""

    def takes(self, workload: Workload) -> bool:
        """Whether a workload makes sense for it."""

    def start_broker(self, place: Path, workload: Workload) -> Broker:
        """Start the processes in the middle; their files belong into the empty directory `place`. Ready on return."""

    def connect_publisher(self, address: str, workload: Workload) -> Publisher:
        """Connect; on return what is published reaches the subscribers that were connected before."""

    def connect_subscriber(self, address: str, workload: Workload, handler: Handler) -> Subscriber:
        """Connect; on return the broker knows of the subscription to all topics of the workload."""


def to_json(payload: Payload) -> bytes:
    """A payload as JSON, the way meshbus encodes it."""
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def lacking(programs: Sequence[str] = (), modules: Sequence[str] = ()) -> str | None:
    """The first of these programs and modules that is not installed, in words."""
    for program in programs:
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    for module in modules:
        if not _is_installed(module):
            return f"the Python module {module} is not installed (the extra `bench` has it)"
    return None


def _is_installed(module: str) -> bool:
    package = module.rpartition(".")[0]
    return (not package or _is_installed(package)) and find_spec(module) is not None
