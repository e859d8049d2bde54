"""Hosts of their own for nodes: network namespaces on one switch, whose wires can be cut and joined.

    host a ══ veth ══╗                     each host: one namespace, one address of 10.77.0.0/24, no way out
    host b ══ veth ══╬══ bridge            the switch: a namespace with a bridge, and a second one for what is
    host c ══ veth ══╝   (other bridge)    partitioned from the first

A packet that finds no way is lost without a word, as between machines. Programs reach the nodes by their Unix sockets,
which namespaces do not part. Everything ends with the namespaces, and those with the test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from mesh.node_process import NodeProcess
from tests.processes.cluster import Cluster, Program

PORT = 7270
HIDDEN = "192.168.77.{}"
"""The address behind which a hidden host listens: no other host has a way to it."""


class Network:
    """The hosts of one test. `stem` begins the names of its namespaces."""

    def __init__(self, stem: str) -> None:
        self._stem = stem
        self._switch = f"{stem}-switch"
        self._namespaces = [self._switch]
        _ip("netns", "add", self._switch)
        for bridge in ("main", "other"):
            self._at_switch("link", "add", "dev", bridge, "type", "bridge")
            self._at_switch("link", "set", "dev", bridge, "up")

    def _at_switch(self, *words: str) -> None:
        _ip("-n", self._switch, *words)

    def host(self, name: str) -> str:
        """Add a host with a wire to the switch; returns its address."""
        namespace, address = self.namespace(name), f"10.77.0.{len(self._namespaces)}"
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        ends = ("link", "add", "dev", "wire", "netns", namespace, "type", "veth", "peer", "name", name)
        _ip(*ends, "netns", self._switch)
        self._at_switch("link", "set", "dev", name, "master", "main", "up")
        for words in (("addr", "add", f"{address}/24", "dev", "wire"), ("link", "set", "dev", "wire", "up")):
            _ip("-n", namespace, *words)
        _ip("-n", namespace, "link", "set", "dev", "lo", "up")
        return address

    def hide(self, name: str) -> str:
        """Give a host a second address, one that it alone can reach; returns it."""
        address = HIDDEN.format(self._namespaces.index(self.namespace(name)))
        _ip("-n", self.namespace(name), "addr", "add", f"{address}/32", "dev", "lo")
        return address

    def namespace(self, name: str) -> str:
        """The name of a host's namespace."""
        return f"{self._stem}-{name}"

    def part(self, names: Iterable[str]) -> None:
        """These hosts reach each other, and nobody else."""
        for name in names:
            self._at_switch("link", "set", "dev", name, "master", "other")

    def heal(self, names: Iterable[str]) -> None:
        """These hosts reach everybody again."""
        for name in names:
            self._at_switch("link", "set", "dev", name, "master", "main")

    def cut(self, names: Iterable[str], isolated: bool = True) -> None:
        """These hosts do not reach each other, but everybody else; or they do again."""
        for name in names:
            state = "on" if isolated else "off"
            self._at_switch("link", "set", "dev", name, "type", "bridge_slave", "isolated", state)

    def bad_wires(self, cluster: Cluster, names: Sequence[str], loss: float, delay_s: float) -> Program:
        """From now on packets between these hosts are lost and come late: see `programs/wire.py`."""
        for name in names:
            self._at_switch("link", "set", "dev", name, "nomaster")
        within = ["ip", "netns", "exec", self._switch]
        hosts = [self.namespace(name) for name in names]
        wire = Program(
            *("wire", cluster.root / "wire.log", within),
            ports=list(names),
            hosts=hosts,
            loss=loss,
            delay_s=delay_s,
            seed=1,
        )
        cluster.programs.append(wire)
        wire.expect("ready")
        return wire

    def close(self) -> None:
        """Remove the namespaces, and what is in them."""
        for namespace in self._namespaces:
            with suppress(subprocess.CalledProcessError):  # it may not have come to be
                _ip("netns", "del", namespace)


@contextmanager
def network() -> Iterator[Network]:
    """A network without hosts. Skips the test where this user may not make one."""
    if not shutil.which("ip"):
        pytest.skip("needs the command ip (iproute2) for network namespaces")
    if os.geteuid() != 0:
        pytest.skip("needs root for network namespaces")
    try:
        made = Network(f"mesh-{os.getpid()}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    try:
        yield made
    finally:
        made.close()


def node_at(
    cluster: Cluster, net: Network, name: str, *peers: NodeProcess, hidden: bool = False, **variables: str
) -> NodeProcess:
    """Start a node on a host of its own. Hidden: others have no way to where it says that it listens."""
    address = net.host(name)
    if hidden:
        address = net.hide(name)
    return cluster.node(
        name,
        *peers,
        listen=f"tcp://{address}:{PORT}",
        variables=variables,
        within=["ip", "netns", "exec", net.namespace(name)],
    )


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
