"""Monitors: what libzmq tells of connections, and what it means. Rules; the monitors' sockets are in `node.sockets`.

    who dialled us   ACCEPTED ─▶ HANDSHAKE_SUCCEEDED                     a peer
                             └─▶ HANDSHAKE_FAILED_… ─▶ DISCONNECTED      a stranger, and why
                             └─▶ DISCONNECTED                            a stranger: garbage, no reason said

    whom we dial     HANDSHAKE_SUCCEEDED ─▶ DISCONNECTED                 connected, disconnected
                     HANDSHAKE_FAILED_… ─▶ DISCONNECTED                  disconnected once, and why; where none ever
                                                                         succeeded, rejected
                     CLOSED                                              unreached: a try that was answered no
                     CONNECT_RETRIED ─▶ CONNECT_RETRIED                  unreached: a try that opened no socket

CONNECT_RETRIED announces the next try, after one that failed as after a connection that ended: a second one with
nothing between them says that the try came to nothing without a socket, and that is a name that is not found.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import zmq

from node.link import KEY_REFUSED

ACCEPTING = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
"""What to ask the monitor of the accepting socket for."""
DIALLING = ACCEPTING | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
"""What to ask the monitors of dialling sockets for."""
CLOSED = "the connection was closed"
NOT_FOUND, NOBODY = "its name is not found", "nobody answers there"

_NO_ZMTP = "it does not speak ZMTP, or one side is encrypted and the other not"
_FAILURES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: KEY_REFUSED,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "no node has answered the handshake; is this the port of a node's links?",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: _NO_ZMTP,
}


class Strangers:
    """Who came to the accepting socket and was no node."""

    def __init__(self) -> None:
        self._ungreeted: set[int] = set()
        self._failed = 0

    def event(self, event: int, descriptor: int) -> str:
        """Why somebody is a stranger, or "" when nobody is. `descriptor` is the event's value."""
        if event == zmq.EVENT_ACCEPTED:
            self._ungreeted.add(descriptor)
        elif event in _FAILURES:  # its value is a reason; the connection it is about ends next
            self._failed += 1
            return _FAILURES[event]
        elif descriptor in self._ungreeted:
            self._ungreeted.discard(descriptor)
            ended, told = event == zmq.EVENT_DISCONNECTED, self._failed
            self._failed = max(0, self._failed - ended)
            return _NO_ZMTP if ended and not told else ""
        return ""


class News(NamedTuple):
    """What became of a dialled connection, and why."""

    what: Literal["connected", "disconnected", "unreached", "rejected"]
    reason: str = ""


class Dialled:
    """The connections that are dialled, by address."""

    def __init__(self) -> None:
        self._retried: set[str] = set()
        self._failed: set[str] = set()
        self._succeeded: set[str] = set()
        self._unreached: dict[str, str] = {}

    def event(self, address: str, event: int) -> News | None:
        """What it means; of many tries that fail alike, the first is news."""
        retried = address in self._retried
        if event == zmq.EVENT_CONNECT_RETRIED:
            self._retried.add(address)
            return self._missed(address, NOT_FOUND) if retried else None
        self._retried.discard(address)
        if event == zmq.EVENT_CLOSED:
            return self._missed(address, NOBODY)
        self._unreached.pop(address, None)
        if event in _FAILURES:
            self._failed.add(address)
        elif address in self._failed:
            self._failed.discard(address)
            if event == zmq.EVENT_DISCONNECTED:
                return None
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._succeeded.add(address)
            return News("connected")
        if event in _FAILURES and address not in self._succeeded:
            return News("rejected", _FAILURES[event])
        return News("disconnected", _FAILURES.get(event, CLOSED))

    def forget(self, address: str) -> None:
        """It is not dialled any more."""
        self._retried.discard(address)
        self._failed.discard(address)
        self._succeeded.discard(address)
        self._unreached.pop(address, None)

    def _missed(self, address: str, reason: str) -> News | None:
        if self._unreached.get(address) == reason:
            return None
        self._unreached[address] = reason
        return News("unreached", reason)
