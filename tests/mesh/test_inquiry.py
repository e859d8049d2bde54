"""Programs that know their node by its address alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mesh
from mesh.errors import NodeUnreachable
from mesh.inquiry import understood
from node import EmbeddedNode
from tests.conditions import eventually


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_program_attaches_by_address_and_again_when_the_node_was_restarted(tmp_path: Path, host: str) -> None:
    heard: list[Any] = []
    with EmbeddedNode(tmp_path, local_tcp=f"tcp://{host}:0") as node:
        address = node.description["ctl"]
        bus = mesh.connect(address, name="in a container")
        bus.subscribe("A", lambda event: heard.append(event.payload["i"]), name="heard", durable=True)
        bus.publish("A", {"i": 1}).wait(10)
        eventually(lambda: heard == [1])
    eventually(lambda: not bus.attached)
    receipt = bus.publish("A", {"i": 2})
    with bus, EmbeddedNode(tmp_path, local_tcp=address):
        eventually(lambda: heard == [1, 2])
        assert receipt.wait(10).status == "accepted"
        assert not (tmp_path / "running").exists()


def test_the_port_for_peers_is_told_and_nothing_attached(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedNode(tmp_path) as node, mesh.connect(node.listen) as bus:
        eventually(lambda: "is the port for peers" in caplog.text)
        assert not bus.attached


def test_an_answer_that_no_node_gives_is_told() -> None:
    assert understood(b'{"id": 1}', "tcp://h:1") == {"id": 1}
    with pytest.raises(NodeUnreachable, match="tcp://h:1 is no port of a node"):
        understood(b"HTTP/1.1", "tcp://h:1")
