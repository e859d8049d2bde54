"""A real node, and `mesh.coordination` in this process attached to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.client import NodeClient
from mesh.coordination.default_bus import close_default_bus
from node.testing import LocalMesh

VARIABLES = ("EVENT_HANDLER_TIMEOUT", "EVENT_VALIDATION_STRICT", "LOG_LEVEL")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """None of the variables of the coordination event system is set."""
    for name in VARIABLES:
        for prefix in ("MESH_", "RINGRIFT_"):
            monkeypatch.delenv(prefix + name, raising=False)
    return monkeypatch


@pytest.fixture
def local(environment: pytest.MonkeyPatch) -> Iterator[LocalMesh]:
    """One node, which MESH_NODE names; the default bus of the process ends with the test."""
    with LocalMesh() as mesh:
        environment.setenv("MESH_NODE", str(mesh.nodes[0].data_dir))
        yield mesh
        close_default_bus()


@pytest.fixture
def client(local: LocalMesh) -> Iterator[NodeClient]:
    """Questions to that node."""
    with NodeClient(local.nodes[0].data_dir) as client:
        yield client
