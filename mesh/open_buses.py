"""Open buses: what becomes of them when their process ends or forks.

    the process ends ──▶ every bus that was never closed is closed, within 2 s: what was published has its receipt
    the process forks ──▶ the child's copies are told; the parent's go on

Their threads run until then, so there is no use in forgetting a bus nobody holds any more.
"""

from __future__ import annotations

import atexit
import os
from typing import Protocol

EXIT_S = 2.0
"""How long a bus that was never closed may hold up the end of the process."""


class Open(Protocol):
    """A bus, as far as it matters here."""

    def close(self, timeout: float) -> None:
        """End it in good order."""

    def forked(self) -> None:
        """This is the copy in a child process."""


_open: set[Open] = set()


def remember(bus: Open) -> None:
    """A bus was made."""
    _open.add(bus)


def forget(bus: Open) -> None:
    """A bus was closed."""
    _open.discard(bus)


@atexit.register
def _at_exit() -> None:
    for bus in list(_open):
        bus.close(EXIT_S)


def _after_fork() -> None:
    for bus in list(_open):
        bus.forked()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
