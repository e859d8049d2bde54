"""Disks of their own for a test: small ones that can be filled, and one that becomes read-only under an open file.

Mounting needs root and a kernel that lets us; where it does not, the test is skipped with what `mount` said.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.node_process import NodeProcess


def run(*command: object) -> None:
    """Run a command, or skip the test with what it says."""
    try:
        subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"{command[0]} is not possible here: {getattr(error, 'stderr', '') or error}")


@contextlib.contextmanager
def mounted(place: Path, *options: object) -> Iterator[Path]:
    """A file system mounted at a place; `options` as for `mount`. Whoever uses it ends before it does."""
    place.mkdir(exist_ok=True)
    run("mount", *options, place)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def node_on(place: Path, log: Path, **options: object) -> Iterator[NodeProcess]:
    """A node whose data directory is on the disk at `place`, and whose log file is elsewhere. Started, ended."""
    data_dir = place / "a"
    data_dir.mkdir(exist_ok=True)
    log.touch()
    with contextlib.suppress(FileExistsError):
        (data_dir / "node.log").symlink_to(log)
    node = NodeProcess(data_dir, "a", **options)  # type: ignore[arg-type]
    try:
        yield node.start()
    finally:
        if node._process is not None:
            node.kill()


def fill(place: Path) -> Path:
    """Fill the disk to its last block with a file of somebody else's."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            os.posix_fallocate(file.fileno(), file.tell(), 1 << 16)
            file.seek(1 << 16, os.SEEK_CUR)
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(512)):
            pass
    return filler
