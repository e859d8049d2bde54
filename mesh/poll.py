"""Poll: the one place where the I/O thread sleeps, until a socket has something, its time comes, or it is woken."""

from __future__ import annotations

import math
from collections.abc import Iterable

import zmq

from mesh.wake import Wake


class Poll:
    """Sleeps over a link's sockets and an eventfd. `wake` is for any thread."""

    def __init__(self) -> None:
        self._wake = Wake()
        self.wake = self._wake.call
        self.watch(())

    def watch(self, sockets: Iterable[zmq.Socket[bytes]]) -> None:
        """Wait for these sockets from now on, and for no others."""
        self._poller = zmq.Poller()
        self._poller.register(self._wake.fd, zmq.POLLIN)
        for socket in sockets:
            self._poller.register(socket, zmq.POLLIN)

    def sleep(self, seconds: float) -> list[zmq.Socket[bytes]]:
        """Sleep at most so long; at once back when it is nothing or less. Returns the sockets that have something."""
        ready = []
        for what, _ in self._poller.poll(math.ceil(max(0.0, seconds) * 1000)):
            if isinstance(what, zmq.Socket):
                ready.append(what)
            else:
                self._wake.hush()
        return ready
