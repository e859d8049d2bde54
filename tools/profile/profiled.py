"""Runs a module as `python -m` does, every thread under a profiler.

    python -m tools.profile.profiled DIR MODULE ARGUMENTS…

    each thread ──cProfile, processor time of the thread──▶ DIR/<pid>-<n>.prof, when the thread ends or the process does

The clock is the thread's own processor time: waiting costs nothing, and threads that share a core are not counted
twice.
"""

from __future__ import annotations

import cProfile
import os
import runpy
import sys
import threading
import time
from itertools import count
from pathlib import Path

_NUMBERS = count()


def profile_threads(place: Path) -> None:
    """Have every thread that begins from here on profiled until it ends."""
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread) -> None:
        profiler = begin()
        try:
            run(thread)
        finally:
            end(profiler, place)

    threading.Thread.run = profiled_run  # type: ignore[method-assign,assignment]  # the one door of all threads


def begin() -> cProfile.Profile:
    """Profile this thread."""
    profiler = cProfile.Profile(time.thread_time)
    profiler.enable()
    return profiler


def end(profiler: cProfile.Profile, place: Path) -> None:
    """Stop, and write down what was found."""
    profiler.disable()
    profiler.dump_stats(place / f"{os.getpid()}-{next(_NUMBERS)}.prof")


def run(module: str, arguments: list[str]) -> None:
    """Run the module as `python -m` does; its threads have a second each to end."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(1.0)


def main(place: Path, module: str, arguments: list[str]) -> None:
    """Run the module."""
    profile_threads(place)
    profiler = begin()
    try:
        run(module, arguments)
    finally:
        end(profiler, place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
