"""Waking a thread that sleeps in a poll, through an eventfd.

An eventfd is one kernel counter: any number of calls before the sleeper looks are one wake-up, and it fits into the
poll beside the sockets.
"""

from __future__ import annotations

import os


class Wake:
    """Wakes a thread that sleeps in a poll. Closed when nobody holds it any more, so no late call meets a reused fd."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def call(self) -> None:
        """Wake the thread."""
        os.eventfd_write(self.fd, 1)

    def hush(self) -> None:
        """Take note of the calls so far. Only when the fd is readable: there is at least one."""
        os.eventfd_read(self.fd)

    def __del__(self) -> None:
        os.close(self.fd)
