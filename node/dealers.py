"""The dealers: the sockets of the peers that this node has dialled, one each, and what becomes of their connections.

    dial ─▶ DEALER ── connects, falls, connects again by itself ──▶ peer
              └─ monitor ─▶ `node.monitors`: connected, disconnected, unreached ─▶ the next inbox
                                             rejected ─▶ undial, unmade

A dealer is known by the peer's own address, also where it goes through a proxy and is connected to a Unix socket of
`node.tunnels` instead. It is made in `node.sockets`, as all sockets are; here it is connected, looked after and ended.

Where something answers that is no node (a node's HTTP port, say), the socket is ended: libzmq pauses only between tries
that do not get as far as that, and would try ten times a second for good. Whoever dials does so again when he sees fit.
Behind a proxy every try gets as far, and `node.tunnels` sees to the pauses.

It goes without ZMQ_IMMEDIATE: with it libzmq throws away what arrived and was not read yet when the connection ends, so
a peer's last frames and its goodbye. What was on its way out comes before the greeting of the next connection, where
the peer does not look at it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

import zmq

from mesh.errors import ConfigurationError
from node.draining import monitor_events
from node.inbox import LinkEvent
from node.link_queues import LinkQueues
from node.monitors import Dialled
from node.readable import Readable
from node.tunnels import Tunnels
from node.turn import Turn

Make = Callable[[], tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]
"""Makes a dealer and its monitor."""
TOO_MANY_FILES = dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files (ulimit -n)")
"""What to do about an error that says so."""


class Dealers:
    """The dealers by address: `sockets`, `readable` where messages are to be read, `watched` where monitors are.

    `tell` is given what happened to a connection. `tunnels`: the ways through a proxy, if there is one.
    """

    def __init__(
        self, make: Make, queues: LinkQueues, tunnels: Tunnels | None, tell: Callable[[LinkEvent], None]
    ) -> None:
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        self.readable: Readable[str] = Readable()
        self.watched: Readable[str] = Readable()
        self._make = make
        self._queues = queues
        self._tunnels = tunnels
        self._tell = tell
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
        self._reached = Dialled()

    def dial(self, address: str) -> None:
        """Connect to a peer; the connection is tried again by itself. Raises `ConfigurationError`."""
        self.undial(address)
        try:
            dealer, monitor = self._connect(address)
        except (OSError, zmq.ZMQError) as error:
            if self._tunnels:
                self._tunnels.end(address)
            advice = TOO_MANY_FILES.get(error.errno or 0, "correct the peer's address")
            raise ConfigurationError(f"cannot dial {address}: {os.strerror(error.errno or 0)}; {advice}") from None
        self.sockets[address], self._monitors[address] = dealer, monitor
        self.readable.add(address, dealer)
        self.watched.add(address, monitor)

    def _connect(self, address: str) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        dealer, monitor = self._make()
        try:
            dealer.connect(self._tunnels.open(address) if self._tunnels else address)
        except BaseException:
            _end(dealer, monitor)
            raise
        return dealer, monitor

    def undial(self, address: str) -> None:
        """End the connection to a peer; what waits for it is dropped, and nothing more is reported of it."""
        dealer = self.sockets.pop(address, None)
        if dealer is None:
            return
        self.readable.remove(address)
        self.watched.remove(address)
        _end(dealer, self._monitors.pop(address))
        self._reached.forget(address)
        if self._tunnels:
            self._tunnels.end(address)
        self._queues.forget(address)

    def redial(self, turn: Turn) -> None:
        """Let go of whom a turn lets go of, and dial whom it dials; where no socket can be made, nothing dials."""
        for address in turn.undials:
            self.undial(address)
        for address in turn.dials:
            try:
                self.dial(address)
            except ConfigurationError as error:
                self._tell((address, "unmade", str(error)))

    def look(self, watched: Iterable[str]) -> None:
        """Read the monitors that have something."""
        for address in dict.fromkeys(watched):
            self.watched.touch(address)  # no more than so many are read at once
            for event, _ in list(monitor_events(self._monitors[address])):
                if address in self._monitors:
                    self._happened(address, event)

    def _happened(self, address: str, event: int) -> None:
        news = self._reached.event(address, event)
        if news is None:
            return
        what: str = news.what
        reason = news.reason
        if what == "connected":
            self._queues.begin(address)
        elif what == "rejected" and not self._tunnels:
            self.undial(address)
            what, reason = "unmade", f"cannot dial {address}: {reason}"
        elif what != "unreached":
            self._queues.forget(address)
            what, reason = "disconnected", (self._tunnels.reason(address) if self._tunnels else "") or reason
        self._tell((address, what, reason))

    def close(self) -> None:
        """Look after them no more. The sockets end with their context."""
        self.readable.close()
        self.watched.close()


def _end(dealer: zmq.Socket[bytes], monitor: zmq.Socket[bytes]) -> None:
    dealer.disable_monitor()
    monitor.close()
    dealer.close()
