"""Properties here run whole nodes: an example takes as long as it takes, the number of examples is the bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import settings

from node.sockets import Sockets
from tests.node.socket_clients import LOOPBACK, MIB, Context

settings.register_profile("node", deadline=None, max_examples=50)
settings.load_profile("node")


@pytest.fixture
def context() -> Iterator[Context]:
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def open_sockets(tmp_path: Path) -> Iterator[Callable[..., Sockets]]:
    """Makes sockets, each in a directory of its own, and closes them in the end."""
    made: list[Sockets] = []

    def make(listen: str = LOOPBACK, local_tcp: str = "", queue_bytes: int = MIB, socks5: str = "") -> Sockets:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Sockets(directory, listen, local_tcp, queue_bytes, socks5))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def sockets(open_sockets: Callable[..., Sockets]) -> Sockets:
    return open_sockets()
