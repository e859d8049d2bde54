"""A peer that fills a node's queue and breaks off must not take the node's process with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FLOODED = """
import sys
from pathlib import Path
import zmq
from node.sockets import Sockets
from tests.conditions import elapsed, eventually

sockets = Sockets(Path(sys.argv[1]), "tcp://127.0.0.1:0", "", 1 << 20)
context = zmq.Context()
peer = context.socket(zmq.DEALER)
peer.setsockopt(zmq.SNDHWM, 0)
peer.connect(sockets.listen)
for _ in range(20_000):
    peer.send(b"x" * 500)
eventually(lambda: sockets.wait(0).links)
elapsed(0.5)  # the node is busy elsewhere: its queue fills
context.destroy(linger=0)
elapsed(5.0)
read = []
eventually(lambda: read.extend(sockets.wait(10).links) or len(read) > 1000)
sockets.close()
"""


@pytest.mark.processes
def test_a_connection_that_breaks_while_its_queue_is_full_costs_nothing_but_the_connection(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLOODED, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
