"""Calling emitters in a program of its own, which has a default bus of its own, and hearing what arrives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mesh
from node.testing import LocalMesh

PROGRAM = Path(__file__).parent / "programs" / "emitting.py"
PREFIXES = ("MESH_", "RINGRIFT_")

Call = tuple[str, str, dict[str, Any]]
"""Module, function, keyword arguments."""


def run(local: LocalMesh, calls: Iterable[Call], **environment: str) -> tuple[list[str], str]:
    """What became of each call, and what the program wrote to standard error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    ended = subprocess.run(
        [sys.executable, PROGRAM],
        input="\n".join(map(json.dumps, calls)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**clean, "MESH_NODE": str(local.nodes[0].data_dir), **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines(), ended.stderr


@contextmanager
def heard(local: LocalMesh) -> Iterator[list[mesh.Event]]:
    """Every event of the mesh, in the order of its publisher."""
    events: list[mesh.Event] = []
    with local.connect(name="ear") as bus:
        bus.subscribe("*", events.append, name="ear")
        yield events
