"""The lives of one node: real turns on a real store, and a world outside that remembers what it was told.

    World    everything that has left the node: receipts, events, confirmed cursors and letters
      ▲ │
      │ ▼    told after a turn has returned, compared with the disk after every new start
    Life     one start of the node, from opening the database until its power goes: authors publish, a durable reader
             reports with failures, letters come back, retention trims, all drawn from one seed

A life may end anywhere in a turn. The world is then told nothing of that turn, but it knows whose letters the turn was
about (`asked`): for these it must accept what was before, or what was asked for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from copy import copy, deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.event import EventId
from mesh.frame import decode
from mesh.records import hashes
from mesh.requests import POSITION, Json, session_topic, unpack_control
from node.audit import audit
from node.changes import Changes
from node.clock import Now
from node.database import Durability
from node.identity import begin_life, identify
from node.retention import Limits
from node.store import Store
from node.table_reader import TableReader
from node.turn import Turn
from tests.node.workbench import START, Author, Bench, Program, directed, failure

CONSUMER = "c"
TOPICS = ("T.a", "T.b", "T.c")
_FILLING = (0, 0, 40, 600, 6000)
"""Bytes that make an event small or spread it over several pages."""

Id = tuple[str, str, int]
"""origin, topic, sequence"""


class Sent:
    """A frame of an author, kept until all of its events are receipted."""

    def __init__(self, number: int, data: bytes) -> None:
        frame = decode(data)
        self.data = data
        self.hashes = dict(zip(range(number, number + frame.count), hashes(frame), strict=True))


@dataclass
class Writer:
    """An author, its unreceipted frames, and what it was told: number → (status, event id)."""

    author: Author
    waiting: list[Sent] = field(default_factory=list)
    last: list[Sent] = field(default_factory=list)
    told: dict[int, tuple[str, str]] = field(default_factory=dict)

    def copy(self) -> Writer:
        """One that goes its own way from here."""
        return Writer(copy(self.author), list(self.waiting), list(self.last), dict(self.told))


class World:
    """What left the node over all its lives. `left`: id → content hash; `letters`: event id → attempts."""

    def __init__(self, seed: object, authors: tuple[str, ...] = ("p", "q", "r"), log_events: int = 120) -> None:
        self.log_events = log_events
        self.draw = random.Random(str(seed))
        self.now: Now = START
        self.writers = {name: Writer(Author(name)) for name in authors}
        self.left: dict[Id, bytes] = {}
        self.positions: dict[Id, int] = {}
        self.settled: dict[tuple[str, str], int] = {}
        self.letters: dict[str, int] = {}
        self.asked: set[str] = set()
        self.trimmed = 0
        self.counts: Counter[str] = Counter()

    def copy(self) -> World:
        """One that goes its own way from here."""
        other = copy(self)
        other.draw, other.counts = deepcopy(self.draw), Counter(self.counts)
        other.writers = {name: writer.copy() for name, writer in self.writers.items()}
        other.left, other.positions = dict(self.left), dict(self.positions)
        other.settled, other.letters, other.asked = dict(self.settled), dict(self.letters), set(self.asked)
        return other

    def forget(self, lost: Collection[Id]) -> None:
        """The power took these receipted events; that their ids were given stays known for ever."""
        names = {str(EventId(*id_)) for id_ in lost}
        for writer in self.writers.values():
            writer.told = {number: told for number, told in writer.told.items() if told[1] not in names}

    def saw(self, id_: Id, hash_: bytes, position: int) -> None:
        """An event is known under an id and a position: no other event may ever have them."""
        assert self.left.setdefault(id_, hash_) == hash_, f"{id_} was given to two events"
        assert self.positions.setdefault(id_, position) == position, f"{id_} has moved to {position}"

    def receipt(self, writer: Writer, number: int, status: str, id_: Id) -> None:
        """A receipt arrived: it names an event of the same content, and never says anything else later."""
        sent = next((each for each in (*writer.last, *writer.waiting) if number in each.hashes), None)
        assert sent is None or self.left[id_] == sent.hashes[number], f"{number} of {writer.author.id!r} is not {id_}"
        said = (status, str(EventId(*id_)))
        assert writer.told.setdefault(number, said) == said
        self.counts[status] += 1


class Witness(Store):
    """A store that tells the world what a commit is about to delete."""

    def __init__(self, path: Path, world: World, durability: Durability, vfs: str | None) -> None:
        self._world = world
        super().__init__(path, durability, vfs)

    def commit(self, changes: Changes) -> None:
        self._world.trimmed = max(self._world.trimmed, changes.trim_before)
        super().commit(changes)


class Life(Bench):
    """One start of the node on what an earlier life has left in a directory. Raises what opening raises.

    `alive` says whether the power is still there: what a turn returns without it has reached nobody.
    """

    def __init__(
        self,
        directory: Path,
        world: World,
        durability: Durability = "full",
        vfs: str | None = None,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.world = world
        self._durability: Durability = durability
        self._alive = alive
        self._outcomes: list[list[Any]] = []
        self._redelivered: dict[int, str] = {}
        self._known: dict[tuple[str, str], int] = {}
        self._asked_again: set[str] = set()
        super().__init__(directory, store=Witness(directory / "a.db", world, durability, vfs))
        self.reader = Program(self, "reader")
        self.sub = 0

    def _open(self, store: Store) -> None:
        self.limits = Limits(0, self.world.log_events, 0, 0, 0)
        me = identify(store, "a", "a")
        begin_life(store, me, self._durability)
        self.generation = me.generation
        super()._open(store)
        self.now = self.world.now

    # ── what the disk says against what the world was told ───────────────────────────────────────────────────────────

    def lost(self) -> list[Id]:
        """Receipted events that the log neither holds nor has deleted by retention; everything else is asserted."""
        assert list(self.store.rows("PRAGMA integrity_check")) == [("ok",)]
        there = self._in_log()
        told: list[Id] = [EventId.parse(id_) for each in self.world.writers.values() for _, id_ in each.told.values()]
        assert audit(self.state)["balanced"]
        return [id_ for id_ in told if id_ not in there and self.world.positions[id_] >= self.world.trimmed]

    def _in_log(self) -> set[Id]:
        found = set()
        for row in self.state.log.rows_since(0):
            frame = decode(row.frame)
            for index, hash_ in enumerate(hashes(frame)):
                id_ = (frame.origin, frame.topic, frame.sequence + index)
                self.world.saw(id_, hash_, row.position + index)
                found.add(id_)
        return found

    def assert_kept(self) -> None:
        """Confirmed cursors and letters are there, and no letter that nobody knows of."""
        world, cursors = self.world, self._cursors()
        assert {key: min(cursors.get(key, 0), settled) for key, settled in world.settled.items()} == world.settled
        letters = self._letters()
        sure = {id_ for id_ in (*world.letters, *letters) if id_ not in world.asked}
        assert {id_: letters.get(id_) for id_ in sure} == {id_: world.letters.get(id_) for id_ in sure}
        for id_ in world.asked:
            before = world.letters.get(id_)
            assert letters.get(id_) in (before, None, (before or 0) + 1)

    def adopt(self) -> None:
        """The turn that was under way has happened or not: from now on what the disk says is known."""
        self.world.settled, self.world.letters, self.world.asked = self._cursors(), self._letters(), set()
        self.world.trimmed = next(self.store.rows("SELECT min(position) FROM log"))[0] or 0

    def _cursors(self) -> dict[tuple[str, str], int]:
        streams = self.state.relay.by_id
        return {(streams[id_].origin, streams[id_].topic): at for _, id_, at in TableReader(self.store).cursors()}

    def _letters(self) -> dict[str, int]:
        rows = self.store.rows("SELECT origin, topic, sequence, attempts FROM letters")
        return {str(EventId(*row[:3])): row[3] for row in rows}

    # ── what the authors and the reader do ───────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Everybody attaches, and the authors send again what has no receipt, and a little of what has."""
        self.reader = Program(self, "reader")
        options = {"durable": True, "since": "earliest", "backoff": [0, 0.02]}
        self.sub, subscribing = self.reader.subscribing(CONSUMER, "T.*", **options)
        requests, topics = [self._hello(self.reader, 1), subscribing], [self.reader.session]
        for writer in self.world.writers.values():
            again = self._to_send_again(writer)
            first = min(again[0].hashes) if again else writer.author.number + 1
            requests.append(self._hello(Program(self, writer.author.id), first))
            topics.append(writer.author.id)
        heard = [b"\x01" + session_topic(each) for each in topics]
        self._turn([], requests, [*heard, self.reader.marker(self.sub)])
        writers = self.world.writers.values()  # asked anew: the first turn may have trimmed the log
        self._turn([each.data for writer in writers for each in self._to_send_again(writer)], [])

    def _hello(self, program: Program, first: int) -> list[bytes]:
        return program.request("hello", name="program", pid=42, first=first)

    def _to_send_again(self, writer: Writer) -> list[Sent]:
        return [*(each for each in writer.last if self._kept(writer, each)), *writer.waiting]

    def _kept(self, writer: Writer, sent: Sent) -> bool:
        """Whether its receipts can still be told from the log."""
        if self._durability == "os":
            return False
        ids = [EventId.parse(writer.told[number][1]) for number in sent.hashes]
        return all(self.world.positions[id_] > self.world.trimmed for id_ in ids)

    def step(self) -> None:
        """One turn in which a little of everything happens."""
        draw = self.world.draw
        writers = [writer for writer in self.world.writers.values() for _ in range(draw.choice((0, 0, 1, 2)))]
        draw.shuffle(writers)
        again = [sent for name in self._asked_again for sent in self.world.writers[name].waiting]
        self._asked_again.clear()
        frames = [*again, *(self._frame(writer) for writer in writers)]
        requests = [self._report()] if draw.random() < 0.5 else []
        self._turn([sent.data for sent in frames], requests)

    def _frame(self, writer: Writer) -> Sent:
        draw, number = self.world.draw, writer.author.number + 1
        payloads = [self._payload() for _ in range(draw.randint(1, 4))]
        sent = Sent(number, writer.author.frame(draw.choice(TOPICS), *payloads))
        writer.waiting.append(sent)
        return sent

    def _payload(self) -> Json:
        draw, self.world.counts["made"] = self.world.draw, self.world.counts["made"] + 1
        made = self.world.counts["made"]
        return {"again": made // 20} if draw.random() < 0.1 else {"v": made, "x": "x" * draw.choice(_FILLING)}

    def _report(self) -> list[bytes]:
        """Every stream a little further, one event in ten failed; the outcomes of what was redelivered."""
        draw, moves = self.world.draw, []
        for key, known in self._known.items():
            cursor = self.world.settled.get(key, 0)
            to = draw.randint(cursor, known)
            failed = [s for s in range(cursor + 1, to + 1) if draw.random() < 0.1 and self._readable((*key, s))]
            if to > cursor:
                moves.append([*key, cursor, to, [failure(sequence) for sequence in failed], []])
            self.world.asked |= {str(EventId(*key, sequence)) for sequence in failed}
        letters, self._outcomes = self._outcomes, []
        self.world.asked |= {self._redelivered[id_] for id_, _, _ in letters}
        return self.reader.reporting(self.sub, *moves, letters=letters)

    def _readable(self, id_: Id) -> bool:
        return self.world.positions.get(id_, 0) >= self.world.trimmed

    # ── a turn, and what it tells the world ──────────────────────────────────────────────────────────────────────────

    def _turn(self, frames: list[bytes], requests: list[list[bytes]], heard: list[bytes] | None = None) -> None:
        if not self._alive():
            return
        later_s = self.world.draw.choice((0.001, 0.02, 0.11))
        turn = self.turn(*frames, requests=requests, subscriptions=heard or (), later_s=later_s)
        self.world.now = self.now
        if self._alive():
            self._tell(turn)

    def _tell(self, turn: Turn) -> None:
        for parts in turn.out:
            if parts[0][:1] not in (b"!", b"~"):
                self._tell_event(parts[0])
        for name, writer in self.world.writers.items():
            for message in directed(turn, writer.author.id):
                if message["t"] == "resend":
                    self._asked_again.add(name)
                else:
                    self._tell_receipts(writer, message)
        for request, parts in turn.replies:
            self._tell_reply(request.fields, unpack_control(parts[0]))
        self.world.asked.clear()
        for parts in turn.out:
            if parts[0].startswith(session_topic(self.reader.session)):
                self._tell_redelivery(unpack_control(parts[0][18:]), parts[1:])

    def _tell_event(self, part: bytes) -> None:
        frame, (position,) = decode(part[:-8]), POSITION.unpack(part[-8:])
        for index, hash_ in enumerate(hashes(frame)):
            self.world.saw((frame.origin, frame.topic, frame.sequence + index), hash_, position + index)
        self._known[frame.origin, frame.topic] = frame.last

    def _tell_receipts(self, writer: Writer, message: Json) -> None:
        for number, count, topic, sequence in message["runs"]:
            for index in range(count):
                self.world.receipt(writer, number + index, "accepted", (message["origin"], topic, sequence + index))
        for number, first in message["duplicates"]:
            self.world.receipt(writer, number, "duplicate", EventId.parse(first))
        while writer.waiting and all(number in writer.told for number in writer.waiting[0].hashes):
            writer.last = [*writer.last[-1:], writer.waiting.pop(0)]

    def _tell_reply(self, asked: Json, reply: Json) -> None:
        if not reply["ok"]:
            assert reply["code"] == "disk", reply
            self._outcomes += [letter for part in asked.get("subs", ()) for letter in part["letters"]]
            return
        if asked["do"] == "subscribe":
            for origin, topic, next_, head in reply["streams"]:
                self.world.settled[origin, topic], self._known[origin, topic] = next_ - 1, head
        for part in asked.get("subs", ()):
            for origin, topic, _, to, failures, _ in part["moves"]:
                self.world.settled[origin, topic] = to
                for each in failures:
                    self.world.letters[str(EventId(origin, topic, each["sequence"]))] = 1
            for letter, attempt, wrong in part["letters"]:
                self._tell_outcome(self._redelivered.pop(letter), attempt, wrong)

    def _tell_outcome(self, id_: str, attempt: int, wrong: Json | None) -> None:
        if wrong is None:
            del self.world.letters[id_]
        else:
            self.world.letters[id_] = attempt

    def _tell_redelivery(self, message: Json, blobs: list[bytes]) -> None:
        if message["t"] == "redeliver":
            frame, wrong = decode(blobs[0]), self.world.draw.random() < 0.4
            self._redelivered[message["letter"]] = str(EventId(frame.origin, frame.topic, frame.sequence))
            failed = failure(frame.sequence, message["attempt"]) if wrong else None
            self._outcomes.append([message["letter"], message["attempt"], failed])
