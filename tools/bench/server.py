"""A server that is not ours: started on a free port of loopback, its files in one directory, ended with the run."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tools.bench.contender import READY_S, BenchFailed

END_S = 5.0
_LOOK_S = 0.02


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One running server, which accepts connections on `port`. Both addresses are `url`."""

    def __init__(self, command: Sequence[str], port: int, url: str, place: Path) -> None:
        self.publish_at = self.subscribe_at = url
        self._log = place / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.pids = (self._process.pid,)
        try:
            self._wait(port)
        except BaseException:
            self.stop()
            raise

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(_LOOK_S)
        lines = self._log.read_text(errors="replace").strip().splitlines()
        raise BenchFailed(f"{self._process.args!r} does not answer: {lines[-1] if lines else '(it said nothing)'}")

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
