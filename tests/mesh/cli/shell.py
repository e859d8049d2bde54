"""Running `mesh`: in this process (`Shell`, quick, most tests) or as a process (`Terminal`, for pipes and signals)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from mesh.cli import main
from node.testing import LocalMesh
from tests.conditions import eventually

EXIT_S = 20.0


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document it printed."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        """The JSON documents it printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """`mesh` in this process, with MESH_NODE set and no colours."""

    def __init__(self, node: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MESH_NODE", str(node))
        monkeypatch.setenv("COLUMNS", "80")
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Said:
        """Run one command line."""
        self._capsys.readouterr()
        code = main([str(each) for each in arguments])
        out, err = self._capsys.readouterr()
        return Said(code, out, err)


class Process:
    """One running `mesh`; `lines` is what it has printed so far."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        # What started the tests may ignore SIGINT (a job in the background does), and a child inherits that.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "mesh.cli", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        self.lines: list[str] = []
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=args, daemon=True)
            for args in ((self.process.stdout, self.lines), (self.process.stderr, self._errors))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, into: list[str]) -> None:
        into.extend(line.rstrip("\n") for line in stream)

    def wait_lines(self, count: int) -> list[str]:
        """What it printed, once there are `count` lines."""
        eventually(lambda: len(self.lines) >= count or self.process.poll() is not None, what=f"{count} lines")
        assert len(self.lines) >= count, self._errors
        return list(self.lines)

    def say(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Said:
        """Close its standard input and wait until it has ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(EXIT_S)
        for reader in self._readers:
            reader.join(EXIT_S)
        return Said(code, "\n".join(self.lines), "\n".join(self._errors))

    def kill(self) -> None:
        """End it however it is."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(EXIT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Terminal:
    """Starts `mesh` processes and ends them all. A context manager."""

    def __init__(self, node: Path) -> None:
        self.environment = {**os.environ, "MESH_NODE": str(node), "COLUMNS": "80", "NO_COLOR": "1"}
        self._processes: list[Process] = []

    def start(self, *arguments: object) -> Process:
        """Start one command line."""
        process = Process(tuple(str(each) for each in arguments), self.environment)
        self._processes.append(process)
        return process

    def run(self, *arguments: object, stdin: str = "") -> Said:
        """Run one command line to its end."""
        process = self.start(*arguments)
        process.say(stdin)
        return process.end()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()


class Trainer:
    """A program whose handler fails until it is mended; every failure makes a dead letter at once."""

    def __init__(self, mesh: LocalMesh, pattern: str = "TRAINING_*", attempts: int = 1) -> None:
        self.mended = False
        self.handled: list[Any] = []
        self.bus = mesh.connect(name="trainer")
        self.subscription = self.bus.subscribe(
            pattern, self._handle, name="feedback", attempts=attempts, backoff=(60.0, 60.0)
        )

    def _handle(self, event: Any) -> None:
        if not self.mended:
            raise ValueError(f"no config {event.payload['n']}")
        self.handled.append(event.payload["n"])

    def fail(self, shell: Shell, *numbers: int, topic: str = "TRAINING_COMPLETED") -> list[int]:
        """Publish events that fail; returns the ids of all letters there are then."""
        there = len(self.letters(shell))
        for number in numbers:
            self.bus.publish(topic, {"n": number}).wait(10)
        eventually(lambda: len(self.letters(shell)) == there + len(numbers), what="the letters")
        return self.letters(shell)

    def letters(self, shell: Shell) -> list[int]:
        """The ids of all letters."""
        return [row["id"] for row in shell("dlq", "list", "--limit", 1000, "--json").json]
