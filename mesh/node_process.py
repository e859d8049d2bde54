"""Starting a node as a process and knowing when it is ready: for `mesh demo`, for tests and for tools.

    NodeProcess(dir, "a").start() ─▶ mesh-node --data-dir dir … ─▶ its ready line ─▶ .listen, .origin
                 .stop()  SIGTERM, wait          .kill()  SIGKILL, wait

The node runs in a process group of its own, so that Ctrl-C in a terminal reaches the program and not its nodes; the
program stops them in its own order. What a node says on standard error goes to `node.log` beside its data.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh.errors import MeshError

READY_S = 15.0
STOP_S = 5.0


class NodeProcess:
    """One `mesh-node`. `flags` are added to its command line, `variables` to its environment.

    `http` is where its pages are, none by default, so that nodes on one machine do not want the same port. `within` is
    what the command line begins with, for a node that runs under another command (`ip netns exec NAME`).
    """

    def __init__(
        self,
        data_dir: Path,
        name: str,
        peers: Sequence[str] = (),
        *,
        listen: str = "tcp://127.0.0.1:0",
        http: str = "",
        flags: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.name = name
        self.listen = "" if "--leaf" in flags else listen
        self.http = http
        self.origin = ""
        self._peers = list(peers)
        self._flags = list(flags)
        self._variables = dict(variables or {})
        self._within = list(within)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """The command line; the port a first start was given is kept for the next one."""
        peers = [part for peer in self._peers for part in ("--peer", peer)]
        place = ["--data-dir", str(self.data_dir), "--name", self.name, "--listen", self.listen, "--http", self.http]
        return [*self._within, sys.executable, "-m", "node", *place, *peers, *self._flags]

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        return self._running().pid

    def start(self) -> NodeProcess:
        """Start it; returns when it is ready. Raises `MeshError` with the end of its log when it is not."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._variables},
                start_new_session=True,
            )
        description = self._ready()
        self.listen, self.origin = description["listen"], description["origin"]
        self.http = description["http"] or ""
        return self

    def _ready(self) -> dict[str, Any]:
        process = self._running()
        assert process.stdout is not None  # it was opened with a pipe
        line, deadline = b"", time.monotonic() + READY_S
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, left))
            part = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not part:
                self.kill()
                raise MeshError(f"node {self.name!r} did not become ready: {self._last_words()}")
            line += part
        found: dict[str, Any] = json.loads(line)
        return found

    def _last_words(self) -> str:
        lines = (self.data_dir / "node.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing within {READY_S:g} s"

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self._running().send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit code. A node that does not obey within 5 s is killed."""
        if self._process is None:
            return 0
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL if it still runs, and wait; returns the exit code."""
        process = self._running()
        process.kill()
        code = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return code

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise MeshError(f"node {self.name!r} is not running")
        return self._process
