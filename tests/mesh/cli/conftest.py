"""Fixtures of the command tests: a real node, `mesh` run in this process, and `mesh` as a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.testing import LocalMesh
from tests.mesh.cli.shell import Shell, Terminal


@pytest.fixture
def one_node() -> Iterator[LocalMesh]:
    """A node of its own for the test."""
    with LocalMesh() as mesh:
        yield mesh


@pytest.fixture
def shell(one_node: LocalMesh, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """`mesh` in this process, asking that node."""
    return Shell(one_node.nodes[0].data_dir, capsys, monkeypatch)


@pytest.fixture
def bare_shell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Shell:
    """`mesh` in this process, where there is no node."""
    return Shell(tmp_path_factory.mktemp("nowhere"), capsys, monkeypatch)


@pytest.fixture
def terminal(one_node: LocalMesh) -> Iterator[Terminal]:
    """`mesh` as processes, asking that node; ended with the test."""
    with Terminal(one_node.nodes[0].data_dir) as terminal:
        yield terminal
