"""Actors: what the programs of a scenario do while a simulation runs, over all the processes they have been.

Publisher ─▶ Program ── publishes at its rate, whether a node is there or not
Consumer  ─▶ Program ── one subscription; a live one is a new consumer with each process, a durable one goes on
"""

from __future__ import annotations

from mesh.course import Course
from mesh.errors import BufferFull
from tools.simulate.ledger import Ledger, Wanted
from tools.simulate.machine import Machine
from tools.simulate.program import Program
from tools.simulate.scenario import Consuming, Publishing

_DISCARDED_S = 0.5
_FILLINGS = (0, 0, 0, 100, 3000)


class Publisher:
    """A publishing program and what comes after it. `publishing` is switched off when the load ends."""

    def __init__(self, spec: Publishing, machine: Machine, ledger: Ledger) -> None:
        self.spec = spec
        self.publishing = False
        self._world = machine.world
        self._machine = machine
        self._ledger = ledger
        self._draw = machine.world.draw("publisher", spec.name)
        self._lives = 0
        self.program = self._born()

    def _born(self) -> Program:
        self._lives += 1
        return Program(self._machine, self.spec.name, self._lives, self._ledger)

    def begin(self) -> None:
        """Publish from now on."""
        self.publishing = True
        self._later()

    def _later(self) -> None:
        self._world.after(self._draw.expovariate(self.spec.rate / self.spec.burst), self._publish)

    def _publish(self) -> None:
        if not self.publishing:
            return
        if not self.program.dead:
            for _ in range(self._draw.randint(1, self.spec.burst)):
                self.publish_one(self._draw.choice(self.spec.topics), self._draw.choice(_FILLINGS))
        self._later()

    def publish_one(self, topic: str, filling: int = 0) -> None:
        """Publish one event now."""
        try:
            self.program.publish(topic, filling)
        except BufferFull:
            self._world.note("buffer full", self.spec.name)

    def kill(self) -> None:
        """Its process dies."""
        self.program.kill()

    def revive(self) -> None:
        """A new process takes its place."""
        if self.program.dead:
            self.program = self._born()


class Consumer:
    """A consuming program and what comes after it. `wanted` is what its consumer is owed, `course` its subscription."""

    def __init__(self, spec: Consuming, machine: Machine, ledger: Ledger) -> None:
        self.spec = spec
        self.machine = machine
        self._ledger = ledger
        self._lives = 0
        self.wanted = self._new_wanted()
        self.program, self.course = self._born()

    def _new_wanted(self) -> Wanted:
        spec = self.spec
        name = spec.name if spec.durable or not self._lives else f"{spec.name}-{self._lives + 1}"
        wanted = Wanted(name, spec.machine, spec.pattern, spec.durable)
        self._ledger.consumers[name] = wanted
        return wanted

    def _born(self) -> tuple[Program, Course]:
        self._lives += 1
        program = Program(self.machine, self.spec.name, self._lives, self._ledger)
        return program, program.subscribe(self.wanted, self.spec.queue)

    @property
    def registered(self) -> bool:
        """Whether its program lives and knows its subscription to be in force, and the node that runs has it so.

        What a program that is dead or stands still has been told was said by a node that may be gone since, and its
        disk with it: by the design, who is attached is owed.
        """
        if self.machine.busy or self.program.dead or self.course.state != "registered":
            return False
        known = self.machine.node.state.consumers.get(self.wanted.name)
        held = (self.program.session, self.course.sub)
        return known is not None and any(each.attachment == held for each in known.followings)

    def kill(self) -> None:
        """Its process dies; what a live consumer was owed ends with it."""
        self.program.kill()
        if not self.spec.durable:
            self.wanted.gone = True

    def revive(self) -> None:
        """A new process takes its place."""
        if self.program.dead:
            if not self.spec.durable:
                self.wanted = self._new_wanted()
            self.program, self.course = self._born()

    def leave(self) -> None:
        """Unsubscribe in good order."""
        self.wanted.gone = True
        self.program.unsubscribe(self.course)

    def forget(self) -> None:
        """An operator forgets a durable consumer, with the letters it has left."""
        if self.spec.durable:
            name = self.wanted.name
            self.program.ask("dlq.discard", {"consumer": name})
            self.program.world.after(_DISCARDED_S, lambda: self.program.ask("consumers.forget", {"consumer": name}))
