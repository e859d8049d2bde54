"""A switch of bad wires, in user space, so that it needs nothing of the kernel but packet sockets.

    host a ══ port a ─▶ lost?  ─▶ waits `delay_s` ─▶ port b ══ host b      every packet, either way

spec       ports: the devices of this namespace to switch between · hosts: the namespaces at their other ends ·
           loss: share of packets that are lost · delay_s: one way · seed
says       {ready}, and {passed, lost} in packets at the end
commands   the end of the input: end

The hosts must not leave checksums and segmentation to a device, because there is none: both are turned off there.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
CLONE_NEWNET = 0x40000000
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
PACKET_BYTES_MAX = 1 << 16


class Switch:
    """Packets between ports: where each address was seen last, else everywhere."""

    def __init__(self, ports: list[str], loss: float, delay_s: float, seed: int) -> None:
        self.sockets = [_port(name) for name in ports]
        self.loss, self.delay_s = loss, delay_s
        self.passed = self.lost = 0
        self._draw = random.Random(seed)
        self._at: dict[bytes, int] = {}
        self._under_way: list[tuple[float, int, int, bytes]] = []

    def take(self, port: int) -> None:
        """A packet came in at a port."""
        packet, (_, _, kind, *_) = self.sockets[port].recvfrom(PACKET_BYTES_MAX)
        if kind == socket.PACKET_OUTGOING:
            return
        self._at[packet[6:12]] = port
        to = self._at.get(packet[:6])
        for target in [to] if to is not None else [each for each in range(len(self.sockets)) if each != port]:
            if self._draw.random() < self.loss:
                self.lost += 1
            else:
                self.passed += 1
                heapq.heappush(self._under_way, (time.monotonic() + self.delay_s, self.passed, target, packet))

    def send(self) -> float:
        """Send what has waited long enough; returns how long the next one has to wait, in seconds."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, port, packet = heapq.heappop(self._under_way)
            self.sockets[port].send(packet)
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else 1.0


def _port(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.bind((name, 0))
    return made


def plain(namespace: str) -> None:
    """Let the host compute its checksums and cut its segments itself."""
    back = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    _enter(there)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        off = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
        fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP8x", b"wire", ctypes.addressof(off)))
    _enter(back)
    os.close(there)
    os.close(back)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    spec = json.loads(sys.argv[1])
    for namespace in spec["hosts"]:
        plain(namespace)
    switch = Switch(spec["ports"], spec["loss"], spec["delay_s"], spec["seed"])
    ports = {made: index for index, made in enumerate(switch.sockets)}
    print(json.dumps({"ready": True}), flush=True)
    wait_s = 1.0
    while True:
        for ready in select.select([*ports, sys.stdin], [], [], wait_s)[0]:
            if ready is not sys.stdin:
                switch.take(ports[ready])
            else:
                print(json.dumps({"passed": switch.passed, "lost": switch.lost}), flush=True)
                return
        wait_s = switch.send()


if __name__ == "__main__":
    main()
