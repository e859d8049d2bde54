"""Real nodes and real programs for the stories: started here, ended here whatever a test does.

cluster.node("a")          a `mesh-node` process with a data directory of its own under /tmp (short socket paths)
cluster.program("x", …)    one of `programs/`: JSON lines on its standard output, commands on its standard input
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import randint
from typing import Any

import psutil

from mesh.client import NodeClient
from mesh.errors import NodeUnreachable
from mesh.frame import decode
from mesh.node_process import NodeProcess
from mesh.records import records
from tests.conditions import eventually

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
EXIT_S = 15.0

Row = dict[str, Any]


class Program:
    """A process that prints JSON lines. `lines`: what it has said so far; `within`: what its command begins with."""

    def __init__(self, script: str, log: Path, within: Sequence[str] = (), **spec: Any) -> None:
        self.script = script
        self.log = log
        self.lines: list[Row] = []
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*within, sys.executable, str(PROGRAMS / f"{script}.py"), json.dumps(spec, default=str)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # it was opened with a pipe
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # a killed program may leave half a line
                self.lines.append(json.loads(line))

    def say(self, **command: Any) -> None:
        """Give it a command."""
        assert self._process.stdin is not None  # it was opened with a pipe
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def said(self, key: str) -> list[Row]:
        """The lines so far that have a key."""
        return [line for line in list(self.lines) if key in line]

    def expect(self, key: str, count: int = 1, deadline_s: float = 15.0) -> list[Row]:
        """Wait until it has said `count` lines with a key; returns all of them."""

        def heard() -> list[Row] | None:
            ended = self._process.poll() is not None
            if ended:
                self._reader.join(EXIT_S)  # what it said last may not have been read yet
            found = self.said(key)
            if len(found) < count and ended:
                raise AssertionError(f"{self.script} ended early: {self.log.read_text()[-2000:]}")
            return found if len(found) >= count else None

        try:
            return eventually(heard, deadline_s)
        except AssertionError as error:
            raise AssertionError(
                f"{self.script} said {len(self.said(key))} of {count} lines with {key!r} within {deadline_s:g} s; "
                f"last {self.lines[-3:]}; errors {self.log.read_text()[-2000:]}"
            ) from error

    def finish(self) -> None:
        """Close its standard input, which every program takes as the end; it may have something to say still."""
        assert self._process.stdin is not None  # it was opened with a pipe
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self) -> None:
        """Let it finish, and wait until it is gone."""
        self.finish()
        code = self._process.wait(EXIT_S)
        self._reader.join(EXIT_S)
        assert code == 0, f"{self.script} ended with {code}: {self.log.read_text()[-2000:]}"

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._process.kill()
        self._process.wait()
        self._reader.join(EXIT_S)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """Kill what still runs and close the pipes."""
        if self.running:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def own_host() -> str:
    """A loopback address of this test's own.

    A node that is started again wants the port it had; on an address that all tests share, another's connection may
    have been given it meanwhile.
    """
    return "127.{}.{}.{}".format(*(randint(1, 254) for _ in range(3)))


class Cluster:
    """The nodes and programs of one test, on a loopback address of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = own_host()
        self.nodes: list[NodeProcess] = []
        self.programs: list[Program] = []

    def node(self, name: str, *peers: NodeProcess, **options: Any) -> NodeProcess:
        """Start a node that dials `peers`; options as for `NodeProcess`."""
        options.setdefault("listen", f"tcp://{self.host}:0")
        node = NodeProcess(self.root / name, name, [peer.listen for peer in peers], **options)
        self.nodes.append(node)
        return node.start()

    def pair(self) -> tuple[NodeProcess, NodeProcess]:
        """Two linked nodes: b dials a."""
        a = self.node("a")
        b = self.node("b", a)
        linked(a, b)
        return a, b

    def program(self, script: str, node: NodeProcess, **spec: Any) -> Program:
        """Start a program at a node, and wait until it says that it is ready."""
        program = Program(script, self.root / f"{script}-{len(self.programs)}.log", node=node.data_dir, **spec)
        self.programs.append(program)
        program.expect("ready")
        return program

    def close(self) -> None:
        """End everything; what nodes said last is printed, for the report of a test that failed."""
        for program in self.programs:
            program.close()
        for node in self.nodes:
            if node._process is not None:
                node.kill()
            print(f"node {node.name}: {(node.data_dir / 'node.log').read_text()[-3000:]}")


@contextlib.contextmanager
def cluster_in_tmp() -> Iterator[Cluster]:
    """A cluster in a short directory of its own; nothing of it is left afterwards, not even a process."""
    root = Path(tempfile.mkdtemp(prefix="mesh-"))
    cluster = Cluster(root)
    try:
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(root)
        assert processes_in(root) == []


def cloned(data_dir: Path, to: Path) -> None:
    """Copy a data directory as the snapshot of a volume does: with what tells its files from their copies."""
    shutil.copytree(data_dir, to)
    (to / "original").unlink()
    (to / "original").hardlink_to(data_dir / "original")


def processes_in(root: Path) -> list[str]:
    """The command lines of all processes that name a directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if str(root) in line and process.status() != psutil.STATUS_ZOMBIE:
                found.append(line)
    return found


def ask(node: NodeProcess, do: str, **fields: Any) -> Row:
    """One question to a node."""
    with NodeClient(node.data_dir) as client:
        return client.request(do, **fields)


def command(node: NodeProcess, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one `mesh` command at a node, to its end."""
    line = [sys.executable, "-m", "mesh.cli", *words, "--node", str(node.data_dir)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60.0, check=False, **options)


def peer(node: NodeProcess, name: str) -> Row:
    """What a node says of one of its peers, or {} when it does not know it or does not answer."""
    try:
        return next((row for row in ask(node, "peers")["rows"] if row["name"] == name), {})
    except NodeUnreachable:
        return {}


def linked(*nodes: NodeProcess) -> None:
    """Wait until all are linked with each other."""
    for node in nodes:
        for other in nodes:
            if other is not node:
                eventually(lambda node=node, other=other: peer(node, other.name).get("link") == "up", 20.0)


def log_of(node: NodeProcess) -> list[Row]:
    """Every event in a stopped node's log, in log order: id, topic, payload. Every row's digest is checked."""
    with contextlib.closing(sqlite3.connect(f"file:{node.data_dir / 'mesh.db'}?mode=ro", uri=True)) as db:
        frames = [decode(row[0]) for row in db.execute("SELECT frame FROM log ORDER BY position")]
    return [
        {
            "id": f"{frame.origin}/{frame.topic}/{frame.sequence + index}",
            "topic": frame.topic,
            "payload": json.loads(record.body),
        }
        for frame in frames
        for index, record in enumerate(records(frame))
    ]
