"""Local ports: the simulated `in`, `out` and `ctl` of one start of a node, where its programs' lines end.

    lines ── frames, requests, filters ──▶ ┌ LocalPorts ┐ ── drain ─▶ the node's turn
          ◀── messages, replies ────────── └────────────┘ ◀─ send ───

They are the `Desk` of every line (`tools.simulate.line`).
"""

from __future__ import annotations

from collections.abc import Callable

from node.turn import Turn
from tools.simulate.line import LOCAL_US, Line
from tools.simulate.world import World

DRAIN = 512
"""Messages taken from one kind of socket in one turn."""


class LocalPorts:
    """What has arrived of programs at one process. `wake(moment)` has the node take a turn."""

    def __init__(self, world: World, wake: Callable[[int], object]) -> None:
        self.frames: list[bytes] = []
        self.subscriptions: list[bytes] = []
        self.requests: list[list[bytes]] = []
        self.lines: dict[Line, None] = {}
        self._world = world
        self._wake = wake

    def close(self) -> None:
        """The process has ended."""
        for line in list(self.lines):
            self.tell(line, False)

    def attach(self, line: Line) -> None:
        """A program's sockets have connected: their filters come first."""
        self.lines[line] = None
        line.desk = self
        self.subscriptions += [b"\x01" + prefix for prefix in line.out.prefixes]
        self.wake_local()

    def detach(self, line: Line) -> None:
        """A program has closed its sockets, or died."""
        self.lines.pop(line, None)
        self.subscriptions += [b"\x00" + prefix for prefix in line.out.prefixes]
        self.wake_local()

    def tell(self, line: Line, there: bool) -> None:
        """Let a program know that the node is there, or gone."""
        self._world.at(self._world.now_us + LOCAL_US, lambda: line.answer(there))

    def wake_local(self) -> None:
        """A program has sent something."""
        self._wake(self._world.now_us + LOCAL_US)

    @property
    def more(self) -> bool:
        """Whether something waits for the next turn already."""
        return bool(self.frames or self.requests or self.subscriptions)

    def drain(self) -> tuple[list[bytes], list[bytes], list[list[bytes]]]:
        """Frames, subscriptions and requests that the next turn is about."""
        taken = self.frames[:DRAIN], self.subscriptions, self.requests
        self.frames, self.subscriptions, self.requests = self.frames[DRAIN:], [], []
        return taken

    def send(self, turn: Turn) -> None:
        """What a committed turn has for programs."""
        for parts in (*turn.passing_out, *turn.out):
            for line in self.lines:
                line.publish(parts)

    def reply(self, turn: Turn) -> None:
        """What a committed turn answers to those who asked."""
        for request, parts in turn.replies:
            for line in self.lines:
                if line.client == request.client:
                    line.reply(parts)
