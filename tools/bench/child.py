"""A child process that is talked to in lines of JSON: the roles of a run, and brokers written in Python.

    runner ──{"do": …}──▶ stdin  child  stdout ──{…}──▶ runner            stderr ──▶ a file, for its last words

A child ends when its standard input does, so none outlives a runner that was killed (a broker that reads nothing is
killed by its runner).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tools.bench.contender import READY_S, BenchFailed

ROOT = Path(__file__).parents[2]
"""The checkout: `tools` is not installed, it is found from here."""

END_S = 5.0

Message = dict[str, Any]


def say(message: Message) -> None:
    """In the child: one message to whoever started it."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Child:
    """One Python process. `command` follows the interpreter; ready on return. A context manager that ends it."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
            )
        self._unread = b""
        try:
            self._read(READY_S)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, do: str, timeout: float, **fields: Any) -> Message:
        """Send a command; returns the answer. Raises `BenchFailed` when there is none within `timeout` seconds."""
        assert self._process.stdin is not None  # opened with a pipe
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchFailed(f"{self.name} ended: {self._last_words()}") from None
        return self._read(timeout)

    def _read(self, timeout: float) -> Message:
        assert self._process.stdout is not None  # opened with a pipe
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            part = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not part:
                what = "ended" if ready else f"said nothing for {timeout:g} s"
                raise BenchFailed(f"{self.name} {what}: {self._last_words()}")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(nothing on standard error)"

    def end(self) -> None:
        """Close its input and wait for it to end; kill it when it does not."""
        assert self._process.stdin is not None  # opened with a pipe
        try:
            self._process.stdin.close()
            self._process.wait(END_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            pass
        self.kill()

    def kill(self) -> None:
        """End it at once, and wait."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # what it was told last never reached it

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
