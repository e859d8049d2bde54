"""A node on a workbench: real rules and a real store on a temporary file, virtual time, no sockets.

    Author("7") ──frame──▶ ┌ Bench ───────────────┐ ──▶ Turn ──▶ directed(…) · events(…) · answer(…)
    Program("1") ─request─▶ │ Node.turn(inbox, now) │
                           └──────────────────────┘   bench.restart() reads everything back from the file

Time is `bench.now`; it moves only when a test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from mesh.frame import EPHEMERAL, Frame, content_hash, decode, encode, pack_record
from mesh.marks import Mark
from mesh.packing import pack_meta, pack_payload
from mesh.records import Record, records
from mesh.requests import Json, session_topic, unpack_control, unpack_directed
from mesh.topic import check_topic
from node.assembly import Surroundings, assemble, load_state
from node.clock import Now
from node.identity import Identity
from node.inbox import Inbox
from node.link import Role
from node.plan import Plan
from node.retention import Limits
from node.store import Store
from node.turn import CONTROL, Turn

START = Now(1_800_000_000_000_000, 5_000_000_000)
ENDPOINTS = {"in": "ipc://in", "out": "ipc://out", "ctl": "ipc://ctl"}
UNLIMITED = Limits(0, 0, 0, 0, 0)


def after(now: Now, seconds: float) -> Now:
    """The moment `seconds` later on both clocks."""
    return Now(now.wall_us + int(seconds * 1e6), now.mono_us + int(seconds * 1e6))


def session_id(text: str) -> bytes:
    """A session id that shows in failures which one it is."""
    return text.encode().rjust(8, b".")


class Author:
    """A publisher: makes the frames a library would send, and numbers them."""

    def __init__(self, name: str = "author") -> None:
        self.id = session_id(name)
        self.number = 0

    def frame(
        self,
        topic: str,
        *payloads: Any,
        dedup: bool = True,
        time_us: int = START.wall_us,
        key: Callable[[Any], bytes | None] = lambda payload: None,
    ) -> bytes:
        """The next frame, with one event a payload."""
        made = self.at(self.number + 1, topic, *payloads, dedup=dedup, time_us=time_us, key=key)
        self.number += len(payloads)
        return encode(made)

    def at(
        self,
        number: int,
        topic: str,
        *payloads: Any,
        dedup: bool = True,
        time_us: int = START.wall_us,
        key: Callable[[Any], bytes | None] = lambda payload: None,
    ) -> Frame:
        """A frame with a number of the test's choice. `key`: payload → what it counts as, if not its hash."""
        wire = check_topic(topic)
        bodies = [pack_payload(payload if isinstance(payload, dict) else {"v": payload}) for payload in payloads]
        metas = [pack_meta("", None, dedup, key(payload)) for payload in payloads]
        packed = b"".join(
            pack_record(time_us, content_hash(wire, body), meta, body) for meta, body in zip(metas, bodies, strict=True)
        )
        return Frame(topic, 0, 0, self.id, number, 0, len(payloads), "", packed)

    def ephemeral(self, topic: str, payload: Any) -> bytes:
        """A frame that is not logged."""
        return encode(self.at(0, topic, payload)._replace(flags=EPHEMERAL))


def forwarded(frame: Frame, origin: str, sequence: int) -> bytes:
    """The frame as the peer where it entered sends it."""
    return encode(frame._replace(origin=origin, sequence=sequence))


class Bench:
    """One node in a directory of its own. `restart` closes the database and reads everything back.

    `announced`: per link, the version of the last announcement of interest on it. `incarnation` counts its starts.
    """

    generation = "00000001"
    life = ""

    def __init__(
        self,
        directory: Path,
        name: str = "a",
        *,
        window_s: float = 60.0,
        store: Store | None = None,
        role: Role = "peer",
        replicate: tuple[str, ...] = (),
        limits: Limits = UNLIMITED,
    ) -> None:
        self.path = directory / f"{name}.db"
        self.name = name
        self.now = START
        self.draw = 0.5
        self.marks: dict[bytes, list[Mark]] = {}
        self.limits = limits
        self._role: Role = role
        self._replicate = replicate
        self._window_us = int(window_s * 1e6)
        self._requests = 0
        self.announced: dict[str | bytes, int] = {}
        self.incarnation = 1
        self._open(store or Store(self.path))

    def _open(self, store: Store) -> None:
        self.store = store
        windows = (lambda topic: self._window_us, self._window_us)
        plan = Plan((), 1.0, 10.0, self.limits, *windows, self._role, replicate=self._replicate)
        around = Surroundings("1.0", "", ENDPOINTS, self._take_marks, b"announce", self.incarnation, self.life)
        self.state = load_state(store, Identity(self.name, self.generation), plan, lambda: self.draw, self.now)
        self.node = assemble(self.state, plan, around, self.now)
        self.links, self.letters, self.sessions = self.node.links, self.node.letters, self.node.sessions
        self.membership = self.node.membership

    def _take_marks(self, session: bytes) -> list[Mark]:
        return self.marks.pop(session, [])

    @property
    def origin(self) -> str:
        """`name.generation` of this node."""
        return self.state.origin

    def restart(self, after_s: float = 1.0) -> None:
        """The process dies without a word, and another one starts on the same file."""
        self.store.close()
        self.now = after(self.now, after_s)
        self.incarnation += 1
        self._open(Store(self.path))

    def lose_disk(self) -> None:
        """The process dies without a word, its file is gone, and another one starts from nothing."""
        self.store.close()
        self.path.unlink()
        self.generation, self.life = "00000002", "after the disk was lost"
        self._open(Store(self.path))

    def turn(
        self,
        *frames: bytes,
        requests: Iterable[list[bytes]] = (),
        subscriptions: Iterable[bytes] = (),
        links: Iterable[tuple[str | bytes, bytes]] = (),
        link_events: Iterable[tuple[str | bytes, str, str]] = (),
        later_s: float = 0.001,
    ) -> Turn:
        """One turn, `later_s` after the last one."""
        self.now = after(self.now, later_s)
        inbox = Inbox(list(frames), list(subscriptions), list(requests), list(links), list(link_events))
        turn = self.node.turn(inbox, self.now)
        for key in {key for key, _ in turn.passing_links}:
            told = [message["version"] for message in sent(turn, key) if message["t"] == "interest"]
            self.announced[key] = max(told, default=self.announced.get(key, 0))
        return turn

    def request(self, do: str, *, client: str = "client", **fields: Any) -> list[bytes]:
        """A request as the `ctl` socket delivers it."""
        self._requests += 1
        return [client.encode(), orjson.dumps({"id": self._requests, "do": do, **fields})]

    def ask(self, do: str, **fields: Any) -> Json:
        """One request, one turn, its only reply."""
        return answer(self.turn(requests=[self.request(do, **fields)]))

    def greet(self, author: Author, first: int = 1) -> None:
        """Attach a publisher."""
        Program(self, author.id).attach(first)

    def peer(self, name: str, *patterns: str, address: str = "", role: Role = "peer", generation: str = "1") -> str:
        """Link with a (played) peer, or leaf, that wants the patterns; returns the link's key."""
        address, origin = address or f"tcp://{name}:7270", f"{name}.{generation}"
        self.links.dial([address])
        hello = {"t": "hello", "answer": True, "protocol": 1, "name": name, "origin": origin, "version": "1.0"}
        self.turn(link_events=[(address, "connected", "")])
        self.turn(links=[(address, control({**hello, "role": role}))])
        self.turn(links=[(address, control(interest(name, *patterns)))])
        return address


class Program:
    """A program attached to a bench: its session, its subscriptions and its reports."""

    def __init__(self, bench: Bench, session: bytes | str) -> None:
        self.bench = bench
        self.session = session_id(session) if isinstance(session, str) else session
        self._subs = 0

    def attach(self, first: int = 1) -> Json:
        """Say hello, with the socket's `!SESSION` subscription in place."""
        hello = self.request("hello", name="program", pid=42, first=first)
        return answer(self.bench.turn(subscriptions=[b"\x01" + session_topic(self.session)], requests=[hello]))

    def request(self, do: str, **fields: Any) -> list[bytes]:
        """A request in this session's name."""
        return self.bench.request(do, client=self.session.decode(), session=self.session.hex(), **fields)

    def subscribing(self, consumer: str, pattern: str, **options: Any) -> tuple[int, list[bytes]]:
        """The `subscribe` request, and the number it gives the subscription."""
        self._subs += 1
        usual = {"durable": False, "since": "now", "attempts": 3, "backoff": [1.0, 60.0], "timeout_s": 600.0}
        fields = {"sub": self._subs, "consumer": consumer, "pattern": pattern, "marker": f"m{self._subs}", **usual}
        return self._subs, self.request("subscribe", **{**fields, "resume": None, **options})

    def marker(self, sub: int) -> bytes:
        """The marker's subscription, as the XPUB reports it."""
        return b"\x01@m%d" % sub

    def subscribe(self, consumer: str, pattern: str, **options: Any) -> tuple[int, Json]:
        """Subscribe to the end; the subscription's number and the reply."""
        sub, request = self.subscribing(consumer, pattern, **options)
        reply = answer(self.bench.turn(requests=[request], subscriptions=[self.marker(sub)]))
        return sub, reply

    def report(self, sub: int, *moves: list[Any], letters: Iterable[list[Any]] = ()) -> Json:
        """Report in a turn of its own."""
        return answer(self.bench.turn(requests=[self.reporting(sub, *moves, letters=letters)]))

    def reporting(self, sub: int, *moves: list[Any], letters: Iterable[list[Any]] = ()) -> list[bytes]:
        """The `report` request."""
        part = {"sub": sub, "moves": list(moves), "letters": list(letters)}
        return self.request("report", subs=[part])

    def leave(self) -> Turn:
        """The process dies: its subscription goes."""
        return self.bench.turn(subscriptions=[b"\x00" + session_topic(self.session)])


def failure(sequence: int, attempt: int = 1, **fields: Any) -> Json:
    """A handler's failure as a program reports it."""
    usual = {"kind": "error", "error_type": "ValueError", "error": "no", "traceback": "tb", "elapsed_s": 0.1}
    return {"sequence": sequence, "attempt": attempt, **usual, **fields}


# ── reading what a turn sends ────────────────────────────────────────────────────────────────────────────────────────


def control(message: Json) -> bytes:
    """A control message as it travels on a link."""
    return CONTROL + orjson.dumps(message)


def interest(member: str, *patterns: str, version: int = 1) -> Json:
    """What a peer that wants the patterns says first."""
    return {"t": "interest", "version": version, "lists": {member: patterns}, "whole": True}


def answer(turn: Turn) -> Json:
    """The only reply of a turn."""
    ((_, parts),) = turn.replies
    return unpack_control(parts[0])


def directed(turn: Turn, session: bytes) -> list[Json]:
    """What a turn says to one session."""
    return [unpack_directed(parts[0]) for parts in turn.out if parts[0].startswith(session_topic(session))]


def live(turn: Turn) -> list[Frame]:
    """The frames a turn publishes on `out`, without their positions."""
    return [decode(parts[0][:-8]) for parts in turn.out if parts[0][:1] not in (b"!", b"~")]


def runs(turn: Turn, author: Author) -> list[list[Any]]:
    """The receipt runs of the only receipts message for a publisher; [] when there is none."""
    found = [message for message in directed(turn, author.id) if message["t"] == "receipts"]
    return found[0]["runs"] if found else []


def values(frame: Frame) -> list[Any]:
    """The payloads of a frame made by `Author`."""
    return [orjson.loads(record.body)["v"] for record in records(frame)]


def sent(turn: Turn, link: str | bytes) -> list[Json]:
    """The control messages a turn sends over a link."""
    talk = (*turn.passing_links, *turn.closing_links)
    return [unpack_control(data[1:]) for key, data in talk if key == link and data[:1] == CONTROL]


def hashes(frame: Frame) -> list[bytes]:
    """The content hashes of a frame."""
    return [record.hash for record in map(Record._make, records(frame))]
