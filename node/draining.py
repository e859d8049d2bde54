"""Draining: taking what has arrived at a socket, within bounds.

    socket: m m m m m m m …  ──at most `DRAIN_MAX`, of about so many bytes──▶ this turn      the rest stays for the next

A socket that always has more must not keep the turn from the others, nor let it grow long. Nobody waits here: a poll
has said that something is there.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import parse_monitor_message

from node.readable import more

DRAIN_MAX = 512
"""Messages taken from one socket in one turn, so that no socket starves another and a turn stays short."""


def drain(socket: zmq.Socket[bytes], into: list[bytes], room: int) -> bool:
    """Take what is there, within the bounds (`room` in bytes); whether that was all.

    A message is often alone: looking for another takes a third of asking for it in vain.
    """
    try:
        for at in range(DRAIN_MAX):
            if at == 1 and not more(socket):
                return True
            data = socket.recv(zmq.NOBLOCK)
            into.append(data)
            room -= len(data)
            if room <= 0:
                return False
    except zmq.Again:
        return True
    return False


def drain_parts(socket: zmq.Socket[bytes], into: list[list[bytes]]) -> None:
    """Take messages of several parts, as many as the bound allows."""
    try:
        for _ in range(DRAIN_MAX):
            into.append(socket.recv_multipart(zmq.NOBLOCK))  # noqa: PERF401  (what came before the last stays)
    except zmq.Again:
        pass


def monitor_events(monitor: zmq.Socket[bytes]) -> list[tuple[int, int]]:
    """Event and value of every message of a monitor; the value of most is a file descriptor."""
    parts: list[list[bytes]] = []
    drain_parts(monitor, parts)
    messages = [parse_monitor_message(each) for each in parts]
    return [(message["event"], message["value"]) for message in messages]
