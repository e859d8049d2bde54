"""Stacks: where another thread is at this moment, as text.

Before Python 3.12 garbage is collected wherever an object is made, also in the midst of looking:

    looks      lists threads under a lock ─ makes a frame ─ collects ─ a finalizer lets others run ─▶ waits for them
    ends       ──────────────────────────────────────────────────────── waits for that lock, as every thread does that
               begins or ends, and keeps the interpreter: no thread of the process ever runs again
    goes on    ──────────────────────────────────────────────────────── leaves what is just being made a frame: the
               process crashes

See https://github.com/python/cpython/issues/106883. So nothing is collected until it is known where the thread is.
Since 3.12 collecting waits by itself for the end of such a step.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

_collects_anywhere = sys.version_info < (3, 12)

_one = threading.Lock()
"""Held by whoever looks, so that nobody has others collect again before they have looked."""


def _forked() -> None:
    global _one  # noqa: PLW0603  # a child must not wait for a thread of its parent
    _one = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def stack_of(thread: int) -> str:
    """The call stack of a thread; "" when it has ended."""
    with _nothing_collected():
        frame = sys._current_frames().get(thread)
        places = list(traceback.walk_stack(frame)) if frame else []
    return "".join(traceback.StackSummary.extract(reversed(places)).format())


@contextmanager
def _nothing_collected() -> Iterator[None]:
    with _one:
        collecting = _collects_anywhere and gc.isenabled()
        if collecting:
            gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()
