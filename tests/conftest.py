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

A test that does not end is ended, and its process with it: after two minutes, or what its mark `timeout` says. The
interpreter's own watch does it, from a thread that needs none of its locks: it also ends code that never lets another
thread run, and every thread's stack is on standard error, whichever process ran the test.
"""

from __future__ import annotations

import faulthandler
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

TEST_S = 120.0
"""How long a test may take that says nothing else."""

TURN_S = 1200.0
"""How long a test may wait for its turn: all the others end within their own times."""

STDERR = pytest.StashKey[int]()
"""Where the stacks go: a descriptor of standard error that is not captured."""


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
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a child process has a copy


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is captured yet: keep the way to standard error."""
    config.stash[STDERR] = os.dup(2)


def end_after(seconds: float, config: pytest.Config) -> None:
    """End this process with every thread's stack, unless this is called again within `seconds`."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=config.stash[STDERR])


def limit_s(item: pytest.Item) -> float:
    """How long a test may take, in seconds."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else TEST_S


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test beside others or alone. Waiting for the room is no part of its time."""
    with ExitStack() as inside:
        inside.callback(faulthandler.cancel_dump_traceback_later)
        end_after(TURN_S, item.config)
        if item.get_closest_marker("alone"):
            inside.enter_context(locked("gate", fcntl.LOCK_EX))
            inside.enter_context(locked("room", fcntl.LOCK_EX))
        elif not item.get_closest_marker("slow"):
            with locked("gate", fcntl.LOCK_EX):
                inside.enter_context(locked("room", fcntl.LOCK_SH))
        end_after(limit_s(item), item.config)
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What comes after a test has its own time: pytest stops watching where a test fails."""
    end_after(limit_s(item), item.config)
    return (yield)
