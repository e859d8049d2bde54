"""The sockets: the only file of the node that creates them. It moves bytes and decides nothing.

    in    XSUB   bound   ◀── frames of local publishers              one 0x01 sent at the start: "everything"
    out   XPUB   bound   ──▶ frames, directed messages, beacons      ◀── who subscribes, who went away
    ctl   ROUTER bound   ◀─▶ requests, replies
    link  ROUTER bound   ◀─▶ peers that dialled us                   MANDATORY: an unknown or full peer is an error
    link  DEALER, one per dialled peer, each with a monitor          `node.dealers`

Every link has a queue of its own, bounded in bytes together with what its socket took and its peer did not
(`node.link_queues`). What a full socket does not take waits there; what the queue does not hold is dropped and counted
for that link, and no other peer notices. Encryption will be options set in `_link_socket`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import zmq

from mesh.errors import ConfigurationError
from mesh.limits import CONTROL_BYTES_MAX, FRAME_BYTES_MAX, SOCKET_PATH_BYTES_MAX
from node.dealers import TOO_MANY_FILES, Dealers
from node.draining import drain, drain_parts, monitor_events
from node.inbox import Inbox, LinkEvent
from node.link_queues import LinkQueues
from node.members import MEMBERS_MAX
from node.monitors import ACCEPTING, CLOSED, DIALLING, Strangers
from node.trouble import DRAIN_BYTES_MAX
from node.tunnels import ANSWER_S, Tunnels
from node.turn import LinkKey, Turn

_LOCAL_HWM = 2000
"""A stopped subscriber is kept so many messages, which is 500 MB of full batches. It cannot follow the size of what is
sent: libzmq is told what was read in steps of half the bound, so a pipe whose bound is moved while it is in use may
count as full when it is empty, and nobody ever wakes it."""
_LINK_HWM = 1000
_SOCKETS_MAX = 4 * MEMBERS_MAX
"""libzmq makes 1023 unless told otherwise, and every peer that is dialled takes three: two are of its monitor."""
_RECONNECT_MS, _RECONNECT_MAX_MS = 100, 5000
_KEEPALIVE_S, _KEEPALIVE_PROBES = 2, 5
_UNANSWERED_MS = 10_000
"""A connection whose far end does not answer ends after so long: TCP's own probes while nothing is sent, data without
an acknowledgement otherwise. ZMTP's heartbeats must stay off: libzmq 4.3.5 aborts the process when one is due on a
connection that broke while its input queue was full."""
_HANDSHAKE_MS = 5000


class Sockets:
    """All sockets of one node. Bound when constructed; raises `ConfigurationError` when an address cannot be bound."""

    def __init__(self, data_dir: Path, listen: str, local_tcp: str, link_queue_bytes: int, socks5: str = "") -> None:
        self._queues = LinkQueues(link_queue_bytes, self._try)
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, _SOCKETS_MAX)
        self._poller = zmq.Poller()
        self._waker = -1
        self._events: list[LinkEvent] = []
        self._dir, self._own_dir = _socket_dir(data_dir)
        self._tunnels = Tunnels(socks5, self._dir, _UNANSWERED_MS) if socks5 else None
        self._dealers = Dealers(self._dealer, self._queues, self._tunnels, self._tell)
        # At hand, because every turn and every frame asks them.
        self._dialled, self._watched = self._dealers.readable, self._dealers.watched
        self._by_address = self._dealers.sockets
        try:
            self._open(listen, local_tcp)
        except BaseException:
            self.close()
            raise

    def _open(self, listen: str, local_tcp: str) -> None:
        ipv6 = "[" in local_tcp
        self._in = self._local(zmq.XSUB, ipv6)
        self._in.setsockopt(zmq.RCVHWM, _LOCAL_HWM)
        self._out = self._local(zmq.XPUB, ipv6)
        self._out.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._ctl = self._local(zmq.ROUTER, ipv6)
        self.endpoints = {
            "in": self._bind(self._in, "in", local_tcp),
            "out": self._bind(self._out, "out", local_tcp),
            "ctl": self._bind(self._ctl, "ctl", local_tcp, fixed_port=True),
        }
        self._in.send(b"\x01")
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._acceptor = self._link_socket(zmq.ROUTER)
        self._acceptor.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._acceptor.setsockopt(zmq.IPV6, "[" in listen)
        self._acceptor_monitor = self._acceptor.get_monitor_socket(ACCEPTING)
        self._strangers = Strangers()
        self.listen = _bind(self._acceptor, listen) if listen else ""
        each_turn = (self._in, self._out, self._ctl, self._acceptor, self._acceptor_monitor)
        for socket in (*each_turn, self._waker, self._dialled.descriptor, self._watched.descriptor):
            self._poller.register(socket, zmq.POLLIN)

    def wake(self) -> None:
        """End the current or next `wait` at once. The only method that other threads and signal handlers may call."""
        if self._waker >= 0:
            os.eventfd_write(self._waker, 1)

    def _local(self, kind: int, ipv6: bool) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, _LOCAL_HWM)
        socket.setsockopt(zmq.IPV6, ipv6)
        socket.setsockopt(zmq.MAXMSGSIZE, max(FRAME_BYTES_MAX, CONTROL_BYTES_MAX))
        return socket

    def _bind(self, socket: zmq.Socket[bytes], name: str, local_tcp: str, fixed_port: bool = False) -> str:
        """Bind a local socket: a Unix socket always, loopback TCP beside it when asked (then that is its address)."""
        path = self._dir / f"{name}.sock"
        address = _bind(socket, f"ipc://{path}")
        if not local_tcp:
            return address
        host, _, port = local_tcp.rpartition(":")
        return _bind(socket, local_tcp if fixed_port else f"{host}:0") if port else address

    def _link_socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.SNDHWM, _LINK_HWM),
            (zmq.RCVHWM, _LINK_HWM),
            (zmq.MAXMSGSIZE, max(FRAME_BYTES_MAX, CONTROL_BYTES_MAX)),
            (zmq.RECONNECT_IVL, _RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS),
            (zmq.TCP_KEEPALIVE, 1),
            (zmq.TCP_KEEPALIVE_IDLE, _KEEPALIVE_S),
            (zmq.TCP_KEEPALIVE_INTVL, _KEEPALIVE_S),
            (zmq.TCP_KEEPALIVE_CNT, _KEEPALIVE_PROBES),
            (zmq.TCP_MAXRT, _UNANSWERED_MS),
            (zmq.HANDSHAKE_IVL, _HANDSHAKE_MS),
        ):
            socket.setsockopt(option, value)
        return socket

    def _dealer(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """A socket to dial with, and its monitor."""
        dealer = self._link_socket(zmq.DEALER)
        dealer.setsockopt(zmq.IPV6, 1)
        if self._tunnels:  # what the proxy takes to connect counts as the handshake's time
            dealer.setsockopt(zmq.HANDSHAKE_IVL, int(ANSWER_S * 1000) + _HANDSHAKE_MS)
        try:
            return dealer, dealer.get_monitor_socket(DIALLING)
        except zmq.ZMQError:
            dealer.close()
            raise

    def dial(self, address: str) -> None:
        """Connect to a peer; what becomes of that is reported through the inbox. Raises `ConfigurationError`."""
        self._dealers.dial(address)

    def _tell(self, event: LinkEvent) -> None:
        self._events.append(event)

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def wait(self, timeout_ms: int, bytes_max: int = DRAIN_BYTES_MAX) -> Inbox:
        """Wait until something arrives or the time is over; take what is there, bounded per socket.

        Of frames, no more than about `bytes_max` from each socket.
        """
        dialled, watched = self._dialled.ready(), self._watched.ready()
        ready = dict(self._poller.poll(0 if dialled or watched or self._events else timeout_ms))
        if self._dialled.descriptor in ready:
            dialled += self._dialled.take()
        if self._watched.descriptor in ready:
            watched += self._watched.take()
        inbox = Inbox()
        if self._waker in ready:
            os.eventfd_read(self._waker)
        if self._in in ready:
            drain(self._in, inbox.frames, bytes_max)
        if self._out in ready:
            drain(self._out, inbox.subscriptions, DRAIN_BYTES_MAX)
        if self._ctl in ready:
            drain_parts(self._ctl, inbox.requests)
        if self._acceptor_monitor in ready:
            self._see_strangers()
        if watched:
            self._dealers.look(watched)
        if self._acceptor in ready:
            parts: list[list[bytes]] = []
            drain_parts(self._acceptor, parts)
            inbox.links += [(each[0], b"".join(each[1:])) for each in parts]  # of several parts is no message of ours
        ended = [link for link, what, _ in self._events if what == "disconnected" and link in self._by_address]
        unread: set[LinkKey] = set()
        for address in dict.fromkeys((*dialled, *map(str, ended))):
            found: list[bytes] = []
            if not drain(self._by_address[address], found, bytes_max):
                self._dialled.touch(address)
                unread.add(address)
            inbox.links += [(address, data) for data in found]
        self._queues.flush()
        self._events += [(link, "dropped", str(count)) for link, count in self._queues.dropped()]
        self._report(inbox, unread.intersection(ended))
        return inbox

    def _report(self, inbox: Inbox, unread: Collection[LinkKey]) -> None:
        """Tell what happened to connections; that one is gone, only when all that came over it has been read."""
        inbox.link_events = [event for event in self._events if event[0] not in unread]
        self._events = [event for event in self._events if event[0] in unread]

    def _see_strangers(self) -> None:
        for event, descriptor in monitor_events(self._acceptor_monitor):
            reason = self._strangers.event(event, descriptor)
            if reason:
                self._tell((b"", "stranger", reason))

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, turn: Turn) -> None:
        """Carry out a committed turn."""
        out = self._out
        for parts in (*turn.passing_out, *turn.out):
            if len(parts) == 1:
                out.send(parts[0], zmq.NOBLOCK)
            else:
                out.send_multipart(parts, zmq.NOBLOCK)
        for link, put_bytes in turn.took:
            self._queues.took(link, put_bytes)
        for link, data in turn.passing_links:
            self._queues.send(link, data)
        for link, data in turn.links:
            self._queues.send(link, data)
        for link, data in turn.closing_links:
            self._queues.send(link, data)
        for request, reply in turn.replies:
            self._ctl.send_multipart([request.client, *reply], zmq.NOBLOCK)
        self._dealers.redial(turn)

    def _try(self, link: LinkKey, data: bytes) -> bool:
        """Hand a message to the link's socket; False when it is full."""
        try:
            if isinstance(link, bytes):
                self._acceptor.send_multipart([link, data], zmq.NOBLOCK)
            else:
                dealer = self._by_address.get(link)
                if dealer is not None:  # else it was let go of meanwhile
                    self._dialled.touch(link)
                    dealer.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._queues.forget(link)
            self._events.append((link, "disconnected", CLOSED))
        return True

    @property
    def blocked(self) -> list[LinkKey]:
        """The links for which something waits: the next turn should not be long in coming."""
        return self._queues.blocked

    def forget(self, link: LinkKey) -> None:
        """The link is down: what waits for it is dropped, and counted."""
        self._queues.forget(link)

    def close(self, linger_ms: int = 0) -> None:
        """Close every socket, giving what is on its way `linger_ms`, and remove the Unix sockets' files."""
        self._dealers.close()
        self._context.destroy(linger=linger_ms)
        if self._tunnels:
            self._tunnels.close(linger_ms)
            self._tunnels = None
        waker, self._waker = self._waker, -1
        if waker >= 0:
            os.close(waker)
        for name in ("in", "out", "ctl"):
            with suppress(OSError):  # a disk that has become read-only keeps them
                (self._dir / f"{name}.sock").unlink(missing_ok=True)
        if self._own_dir:
            shutil.rmtree(self._dir, ignore_errors=True)


def _bind(socket: zmq.Socket[bytes], address: str) -> str:
    try:
        socket.bind(address[:-1] + "*" if address.endswith(":0") else address)
    except zmq.ZMQError as error:
        advice = TOO_MANY_FILES.get(error.errno or 0, "choose another address or port")
        raise ConfigurationError(f"cannot listen at {address}: {os.strerror(error.errno or 0)}; {advice}") from None
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def _socket_dir(data_dir: Path) -> tuple[Path, bool]:
    """Where the Unix sockets go: the data directory, or a short private one when its path is too long for them."""
    if len(os.fsencode(data_dir / "out.sock")) <= SOCKET_PATH_BYTES_MAX:
        return data_dir, False
    return Path(tempfile.mkdtemp(prefix="meshbus-")), True
