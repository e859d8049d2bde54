"""`mesh demo`: tells its story with real nodes, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic

import pytest

from tests.conditions import eventually
from tests.processes.cluster import ROOT, processes_in

pytestmark = pytest.mark.processes

KEYS = [
    *("nodes", "published", "delivered", "duplicates_dropped", "dead_lettered", "retried", "resolved", "lost"),
    "balanced",
]


class Demo:
    """`mesh demo --json` as a process, with a temporary directory of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.said = self.told = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mesh.cli", "demo", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(place)},
            text=True,
        )
        self._readers = [threading.Thread(target=read) for read in (self._read_out, self._read_err)]
        for reader in self._readers:
            reader.start()

    def _read_out(self):
        assert self._process.stdout is not None  # it was opened with a pipe
        self.told = self._process.stdout.read()

    def _read_err(self):
        assert self._process.stderr is not None  # it was opened with a pipe
        while part := os.read(self._process.stderr.fileno(), 65536):
            self.said += part.decode(errors="replace")

    def reaches(self, moment):
        """Whether it has come as far: a part of what it says, or the directory of its first node."""
        if moment == "a node is being started":
            return any(self.place.glob("mesh-demo-*/a"))
        return moment in self.said

    def signal(self, number):
        self._process.send_signal(number)

    def ended(self):
        """Its exit code, once it has ended."""
        code = self._process.wait(60.0)
        for reader in self._readers:
            reader.join(10.0)
        return code

    def close(self):
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()


@pytest.fixture
def place():
    root = Path(tempfile.mkdtemp(prefix="mesh-"))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def demo(place):
    demo = Demo(place)
    yield demo
    demo.close()


def assert_nothing_is_left(place):
    """No process, and no file in its temporary directory, which is also that of its nodes."""
    assert processes_in(place) == []
    assert list(place.iterdir()) == []


def test_the_demo_ends_with_balanced_books_within_a_minute_and_leaves_nothing(place):
    begun = monotonic()
    demo = Demo(place)
    code = demo.ended()
    took_s = monotonic() - begun
    summary = json.loads(demo.told.splitlines()[-1])
    demo.close()

    assert code == 0, demo.said
    assert took_s < 60.0
    assert list(summary) == KEYS
    assert summary["published"] > 1000
    assert (summary["nodes"], summary["lost"], summary["balanced"]) == (3, 0, True)
    assert summary["delivered"] == 2 * summary["published"]
    assert summary["duplicates_dropped"] > 0
    assert summary["dead_lettered"] == summary["retried"] == summary["resolved"] == 1
    assert_nothing_is_left(place)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("a node is being started", signal.SIGINT),
        ("a node is being started", signal.SIGTERM),
        ("node a is ready", signal.SIGTERM),
        ("node c is ready", signal.SIGINT),
        ("publishing", signal.SIGTERM),
        ("is mended", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_leaves_nothing(place, demo, moment, number):
    eventually(lambda: demo.reaches(moment), 40.0, moment)
    demo.signal(number)

    assert demo.ended() == 130
    assert "interrupted" in demo.said
    assert "Traceback" not in demo.said
    assert demo.told == ""
    assert_nothing_is_left(place)


def test_a_demo_that_is_interrupted_again_while_it_cleans_up_leaves_nothing(place, demo):
    eventually(lambda: demo.reaches("publishing"), 40.0)
    demo.signal(signal.SIGINT)
    eventually(lambda: len(processes_in(place)) < 4, 10.0, "the first node's end")
    demo.signal(signal.SIGINT)
    demo.signal(signal.SIGTERM)

    assert demo.ended() == 130
    assert_nothing_is_left(place)
