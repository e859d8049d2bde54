"""The ledger: what programs saw, written down as it happens, for the oracle to judge.

    publish ─▶ Publication ──receipt──▶ its id, when      handler called ─▶ Call (id, number, attempt, when)
    registered ─▶ Spell: a consumer is owed what follows  until it leaves, or what it was promised ends with a disk

Every event says its own number in its payload, so an id that was given to two contents shows at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.receipt import Receipt

Id = tuple[str, str, int]
"""origin, topic, sequence"""


class Violated(Exception):
    """A statement about the mesh is not true. `ids` are the events, machines or consumers it is about."""

    def __init__(self, statement: str, detail: str, *ids: str) -> None:
        super().__init__(f"{statement}: {detail}")
        self.statement = statement
        self.detail = detail
        self.ids = ids


@dataclass(slots=True)
class Publication:
    """One event that a program published. `receipted_us`: when its program was told that it is on disk."""

    number: int
    topic: str
    machine: str
    published_us: int
    receipt: Receipt
    receipted_us: int | None = None

    @property
    def id(self) -> Id:
        """Under which name it was receipted."""
        origin, topic, sequence = self.receipt.event_id.split("/")
        return origin, topic, int(sequence)


class Call(NamedTuple):
    """A handler was called. `attachment` counts the attachments of its program to a node."""

    at_us: int
    attachment: tuple[int, int]
    id: Id
    number: int
    attempt: int


@dataclass(slots=True)
class Wanted:
    """One consumer's subscription in the world: who, where, what, and since when each origin's machine has known.

    `since`: machine → moment from which what is published there is owed. `program` counts the processes that had it.
    """

    name: str
    machine: str
    pattern: str
    durable: bool
    registered_us: int | None = None
    since: dict[str, int] = field(default_factory=dict)
    gone: bool = False
    calls: list[Call] = field(default_factory=list)


class Ledger:
    """Everything that was seen.

    `lost_origins`: generations of machines that lost their disk, whose events are owed no more. `unsure`: those of them
    that went on from an older copy before anybody could know, and so may have used a sequence twice.
    """

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.consumers: dict[str, Wanted] = {}
        self.contents: dict[Id, int] = {}
        self.lost_origins: set[str] = set()
        self.unsure: set[str] = set()

    def named(self, id_: Id, number: int) -> None:
        """An event is known under an id: no other event may ever be."""
        known = self.contents.setdefault(id_, number)
        if known != number and id_[0] not in self.unsure:
            text = "/".join(map(str, id_))
            raise Violated("a sequence is used once", f"{text} is event {known} and event {number}", text)

    def called(self, consumer: Wanted, call: Call) -> None:
        """A handler was called."""
        self.named(call.id, call.number)
        consumer.calls.append(call)
