"""SIGINT and SIGTERM where something is made and must be cleared away: a KeyboardInterrupt where it does no harm.

    with interrupts() as free:  made ─▶ with free(): story ─▶ cleared away
    a signal                    waits           raised        waits

A signal may come between the birth of a process and the line that remembers it, or while it is being cleared away.
There it waits. It is raised once, at the next place that is free; what comes after that changes nothing more.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Free = Callable[[], AbstractContextManager[None]]
"""Inside of what it returns, a signal is a KeyboardInterrupt at once, also one that came before."""


@contextmanager
def interrupts() -> Iterator[Free]:
    """Hold the signals until the end of the block; yields what lets them through. Main thread only."""
    held = _Held()
    former = [(number, signal.signal(number, held.note)) for number in SIGNALS]
    try:
        yield held.free
    finally:
        for number, handler in former:
            signal.signal(number, handler)


class Interrupted(KeyboardInterrupt):
    """A signal came.

    Not the plain one: where that comes up inside `exec`, as in every import of a module that makes a dataclass, Python
    takes it for unhandled, whoever handles it, and in the end a process begun with `-m` dies of SIGINT instead of
    ending with its code.
    """


class _Held:
    """Whether a signal came, and whether it may be raised now."""

    def __init__(self) -> None:
        self._came = self._raised = self._free = False

    def note(self, *_: object) -> None:
        """The signal handler."""
        self._came = True
        if self._free:
            self._raise()

    @contextmanager
    def free(self) -> Iterator[None]:
        """Let signals through, inside."""
        self._free = True
        try:
            if self._came:
                self._raise()
            yield
        finally:
            self._free = False

    def _raise(self) -> None:
        if not self._raised:
            self._raised, self._free = True, False
            raise Interrupted
