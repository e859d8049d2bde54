"""The stage of the proofs: nodes, programs that can be killed and started again, and what they wrote down.

    stage.play("archive", …)  a player: a program with a role, started as often as it dies, every start a new run
    stage.calls("archive")    every call of its handler, of all runs, in the order of writing
    stage.receipts()          every receipt any publisher spoke of

The files are written by the programs themselves, one line in one piece, so a kill loses at most a line that was never
begun: they are evidence, not a report.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mesh.errors import MeshError
from mesh.event import EventId
from mesh.node_process import NodeProcess
from tests.conditions import eventually
from tests.processes.cluster import Cluster, Program, Row, ask

PROGRAMS = Path(__file__).parent / "programs"

RIVAL_RUNS = 1000
"""Runs of a rival are counted from a multiple of this."""

Stream = tuple[str, str]
"""origin, topic"""


class Call(NamedTuple):
    """One call of a handler. Moments in microseconds of the wall clock; `who` and `i` are the event's content."""

    run: int
    attempt: int
    called_us: int
    published_us: int
    event: str
    stream: Stream
    sequence: int
    who: str
    i: int


class Given(NamedTuple):
    """One receipt a publisher wrote down."""

    status: str
    event: str
    who: str
    i: int


class Player:
    """A program in a role. `start` begins a new run of it; `kill` is SIGKILL."""

    def __init__(self, cluster: Cluster, script: str, node: NodeProcess, name: str, spec: dict[str, Any]) -> None:
        self.name = name
        self.run = -1
        self.program: Program
        self._cluster = cluster
        self._script = script
        self._node = node
        self._spec = spec

    def start(self, wait: bool = True) -> Player:
        """Begin the next run; returns when it is ready, unless told not to wait."""
        self.run += 1
        log = self._cluster.root / f"{self.name}.{self.run}.err"
        spec = {**self._spec, "run": self.run, "name": self.name, "who": f"{self.name}.{self.run}"}
        self.program = Program(str(PROGRAMS / self._script), log, node=self._node.data_dir, **spec)
        self._cluster.programs.append(self.program)
        if wait:
            self.ready()
        return self

    def ready(self) -> Row:
        """Wait until the run is ready; what it said then."""
        return self.program.expect("ready", deadline_s=40.0)[0]

    def kill(self) -> None:
        """SIGKILL; its files stay."""
        self.program.close()

    def signal(self, number: int) -> None:
        """Send the run a signal."""
        self.program.signal(number)

    def do(self, what: str, answer: str, deadline_s: float = 90.0) -> Row:
        """Give a command and wait for the answer it leads to."""
        before = len(self.program.said(answer))
        self.program.say(do=what)
        return self.program.expect(answer, before + 1, deadline_s)[-1]


class Stage:
    """A cluster with players. Draw everything that is left to chance from `draw`."""

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        self.cluster = cluster
        self.draw = draw
        self.players: dict[str, Player] = {}
        self._rivals = 0

    def consumer(self, name: str, node: NodeProcess, pattern: str = "T.*", **spec: Any) -> Player:
        """Start a consumer that writes down every call of its handler."""
        return self._play("consumer", node, name, pattern=pattern, **spec)

    def meter(self, name: str, node: NodeProcess, pattern: str = "T.*") -> Player:
        """Start a durable consumer that only counts."""
        return self._play("meter", node, name, pattern=pattern)

    def rival(self, name: str, node: NodeProcess, pattern: str = "T.*", **spec: Any) -> Player:
        """Start another program under a consumer's name; whether it gets the name is in what `ready` returns."""
        self._rivals += 1
        spec |= {"pattern": pattern, "file": self.cluster.root / f"{name}.log"}
        player = Player(self.cluster, "consumer", node, name, spec)
        player.run = RIVAL_RUNS * self._rivals
        return player.start()

    def source(self, name: str, node: NodeProcess, topics: list[str], rate: float, **spec: Any) -> Player:
        """Start a publisher that writes down every receipt; it begins when told."""
        return self._play("source", node, name, topics=topics, rate=rate, seed=self.draw.random(), **spec)

    def _play(self, script: str, node: NodeProcess, name: str, **spec: Any) -> Player:
        player = Player(self.cluster, script, node, name, {**spec, "file": self.cluster.root / f"{name}.log"})
        self.players[name] = player
        return player.start()

    def calls(self, name: str) -> list[Call]:
        """Every call of a consumer's handler so far."""
        return [_call(line) for line in self._lines(name)]

    def called(self, name: str) -> int:
        """How many calls were written down so far."""
        path = self.cluster.root / f"{name}.log"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def receipts(self, *names: str) -> list[Given]:
        """Every receipt the publishers wrote down."""
        return [
            Given(status, event, who, int(i))
            for name in names
            for status, event, who, i in map(str.split, self._lines(name))
        ]

    def _lines(self, name: str) -> Iterator[str]:
        path = self.cluster.root / f"{name}.log"
        if path.exists():
            with path.open() as file:
                yield from file

    def caught_up(self, node: NodeProcess, name: str, lag: int, deadline_s: float = 120.0) -> None:
        """Wait until a consumer under load is owed no more than `lag` events."""

        def near() -> bool:
            return any(row["consumer"] == name and row["lag"] <= lag for row in ask(node, "consumers")["rows"])

        eventually(near, deadline_s, f"lag of at most {lag} of {name}")

    def settled(self, node: NodeProcess, *names: str, deadline_s: float = 120.0) -> None:
        """Wait until these consumers are attached, owed nothing, and have no letter on its way."""

        def rest() -> list[Row] | None:
            try:
                rows = {row["consumer"]: row for row in ask(node, "consumers")["rows"]}
                waiting = ask(node, "dlq.summary")["waiting"]
            except MeshError:
                return None
            done = all(name in rows and not rows[name]["lag"] for name in names)
            seen[:] = rows.values()
            return seen if done and not waiting else None

        seen: list[Row] = []
        try:
            eventually(rest, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{', '.join(names)} not settled within {deadline_s:g} s: {seen}") from error


def _call(line: str) -> Call:
    run, attempt, called_us, published_us, event, who, i = line.split()
    origin, topic, sequence = EventId.parse(event)
    return Call(
        int(run), int(attempt), int(called_us), int(published_us), event, (origin, topic), sequence, who, int(i)
    )


def stopped(player: Player | NodeProcess) -> None:
    """Let a process stand still."""
    player.signal(signal.SIGSTOP)


def continued(player: Player | NodeProcess) -> None:
    """Let it go on."""
    player.signal(signal.SIGCONT)


def new_seed() -> int:
    """`MESH_PROOF_SEED`, or a fresh one."""
    return int(os.environ.get("MESH_PROOF_SEED") or random.SystemRandom().randrange(1 << 32))
