"""How the tests share the machine.

Most tests wait more than they compute, so the whole suite runs in twice as many processes as there are processors. What
is named on the command line runs in this process, where a debugger works and output is seen; so do the slow proofs,
which load the machine by themselves and would disturb each other.

A test marked `alone` judges how fast something is. While it runs no other test of this user does, of this suite or of
another one on this machine. Two locks on two files:

    any test      │ gate │──────── room (shared) ────────│
    alone         │ gate ═══════════ room (exclusive) ═══│     whoever waits for the room keeps the gate shut, so that
                                                               it empties

A slow proof that is not marked takes neither lock: it would keep the others waiting for minutes.

For the same reason no example of a property has a deadline: how long one takes is a matter of the machine's other work.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

WORKERS_PER_PROCESSOR = 2


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes run the tests; 0: this one."""
    few = config.option.file_or_dir or config.option.markexpr != "not slow"
    return 0 if few else WORKERS_PER_PROCESSOR * len(os.sched_getaffinity(0))


@contextmanager
def locked(name: str, how: int) -> Iterator[None]:
    """Hold a lock of this user while the block runs."""
    with Path(tempfile.gettempdir(), f"meshbus-tests-{os.getuid()}.{name}").open("w") as file:
        fcntl.flock(file, how)
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test beside others or alone. Waiting for the room is no part of its time."""
    with ExitStack() as inside:
        if item.get_closest_marker("alone"):
            inside.enter_context(locked("gate", fcntl.LOCK_EX))
            inside.enter_context(locked("room", fcntl.LOCK_EX))
        elif not item.get_closest_marker("slow"):
            with locked("gate", fcntl.LOCK_EX):
                inside.enter_context(locked("room", fcntl.LOCK_SH))
        return (yield)
