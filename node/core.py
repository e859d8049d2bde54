"""The core: one node's rules and its store, joined into `turn`. No socket, no thread, no clock.

                     ┌──────────────────────────── turn(inbox, now) ───────────────────────────┐
    in   frames ─────▶ intake ─▶ log rows, receipts                                             │
    links messages ──▶ neighbours ─▶ intake, interest          ┐                                │
    ctl  requests ───▶ sessions / operators                    ├─▶ Turn ─▶ store.commit ─▶ Turn ▶ to be sent
    out  subscriptions ▶ sessions (who is there)               │                                │
    time ────────────▶ heartbeats · letters due · beacon       ┘                                │
                     └──────────────────────────────────────────────────────────────────────────┘

Nothing leaves before the commit. When the commit fails, everything decided in the turn is forgotten (the state is read
back from the store), requests are refused with the reason, and until the disk takes a write again frames get no
receipt: publishers keep them and send them again. Ephemeral events and the talk between nodes go on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mesh.errors import MalformedFrame
from mesh.requests import unpack_control
from node.announcements import Announcer
from node.clock import Now
from node.intake import Intake
from node.letters import Letters
from node.links import Links
from node.neighbours import LinkEvent, Neighbours
from node.retention import Retention
from node.sessions import Sessions
from node.state import State
from node.store import StoreError
from node.turn import NONSENSE, LinkKey, Request, Turn, Verb

BEACON_S = 1.0
IDLE_MS = 500
"""A turn comes at least this often: heartbeats and beacons are due about once a second."""
_REGISTERING_MS = 20
_PROBE_S = 1.0


@dataclass(slots=True)
class Inbox:
    """Everything that arrived since the last turn."""

    frames: list[bytes] = field(default_factory=list)
    subscriptions: list[bytes] = field(default_factory=list)
    requests: list[list[bytes]] = field(default_factory=list)
    links: list[tuple[LinkKey, bytes]] = field(default_factory=list)
    link_events: list[LinkEvent] = field(default_factory=list)


class Node:
    """A node without its sockets.

    `counts` says how often each notable thing happened since the start; `verbs` holds what may be asked of it over `ctl`;
    `trouble` is why the disk refuses at the moment, or None.
    """

    def __init__(
        self,
        state: State,
        links: Links,
        letters: Letters,
        sessions: Sessions,
        retention: Retention,
        announcer: Announcer,
    ) -> None:
        self.state = state
        self.links = links
        self.letters = letters
        self.sessions = sessions
        self.counts: Counter[str] = Counter()
        self.trouble: StoreError | None = None
        self.verbs: dict[str, Verb] = dict(sessions.verbs)
        self._retention = retention
        self._intake = Intake(state, announcer, self.counts)
        self._neighbours = Neighbours(state, links, sessions, self._intake, self.counts)
        self._next_beacon_us = 0
        self._next_probe_us = 0

    def turn(self, inbox: Inbox, now: Now) -> Turn:
        """Decide about everything that arrived and everything that is due; commit; return what may now be sent."""
        turn = Turn(now)
        self._probe(turn)
        self._decide(inbox, turn)
        try:
            if turn.changes:
                self.state.store.commit(turn.changes)
        except StoreError as error:
            self._take_back(turn)
            self._in_trouble(error, turn)
            return turn.without_writes("disk", str(error))
        self._committed(turn)
        return turn

    def _decide(self, inbox: Inbox, turn: Turn) -> None:
        for event in inbox.link_events:
            self._neighbours.happened(event, turn)
        self._intake.published(inbox.frames, turn)
        for key, data in inbox.links:
            self._neighbours.receive(key, data, turn)
        for data in inbox.subscriptions:
            self._subscription(data, turn)
        for parts in inbox.requests:
            self._request(parts, turn)
        self._tick(turn)

    def _subscription(self, data: bytes, turn: Turn) -> None:
        try:
            self.sessions.subscription(data, turn)
        except MalformedFrame as error:
            self.counts[f"malformed {error.kind}"] += 1

    def _request(self, parts: list[bytes], turn: Turn) -> None:
        try:
            request = Request(parts[0], unpack_control(parts[1]))
        except (MalformedFrame, IndexError):
            self.counts["malformed control"] += 1
            return
        name = request.fields.get("do")
        verb = self.verbs.get(str(name))
        if verb is None:
            turn.refuse(request, "unknown", f"unknown request {name!r}; is the node older than the asker?")
            return
        try:
            verb(request, parts[2:], turn)
        except StoreError as error:
            turn.refuse(request, "disk", str(error))
        except NONSENSE as error:
            self.counts["malformed request"] += 1
            turn.refuse(request, "malformed", f"request {name!r} is malformed: {type(error).__name__} {error}")

    def _tick(self, turn: Turn) -> None:
        self._neighbours.tick(turn)
        self.sessions.tick(turn)
        if not self.trouble:
            self._housekeeping(turn)
            self._intake.announce(turn)
        self.state.relay.window.forget(turn.now.mono_us)
        if turn.now.mono_us >= self._next_beacon_us:
            self._next_beacon_us = turn.now.later(BEACON_S)
            self._intake.beacon(turn)

    def _housekeeping(self, turn: Turn) -> None:
        try:
            self.letters.redeliver(turn)
            self._retention.trim(turn)
        except StoreError as error:
            self._in_trouble(error, turn)

    def _committed(self, turn: Turn) -> None:
        for name, books in turn.changes.books.items():
            self.state.consumers[name].books = books
        for letter in turn.changes.letters:
            self.state.consumers[letter.consumer].next_due_us = 0
        for act in turn.once_committed:
            act()
        for key, _ in turn.links:
            if key in self.links.links:
                self.links.links[key].sent += 1

    def idle_ms(self, now: Now) -> int:
        """How long nothing is due if nothing arrives, in milliseconds."""
        if self.sessions.registrations.waiting:
            return _REGISTERING_MS
        due_us = self.letters.next_due_us()
        return IDLE_MS if due_us is None else max(0, min(IDLE_MS, (due_us - now.wall_us) // 1000 + 1))

    def goodbye(self, turn: Turn) -> None:
        """Tell peers and programs that this node stops in good order."""
        self.links.goodbye(turn)
        for session in self.sessions.sessions:
            turn.direct(session, {"t": "goodbye"})

    # ── when the disk refuses ────────────────────────────────────────────────────────────────────────────────────────

    def _take_back(self, turn: Turn) -> None:
        """Forget what the turn decided. In trouble nothing is admitted, so the first time is enough to read back."""
        for act in turn.once_failed:
            act()
        if not self._intake.closed:
            self._intake.forget_heads()
            try:
                self._read_back(turn)
            except StoreError:
                pass  # nor can it be read: the probe tries again

    def _read_back(self, turn: Turn) -> None:
        self.state.load(turn.now)
        self.sessions.greet_again()

    def _in_trouble(self, error: StoreError, turn: Turn) -> None:
        """Take no more events until the disk does."""
        self.counts[f"store {error.code}"] += 1
        self.trouble = error
        self._intake.closed = True
        self._next_probe_us = turn.now.later(_PROBE_S)

    def _probe(self, turn: Turn) -> None:
        """In trouble, try a write once a second; when it succeeds, read the state back and go on."""
        if self.trouble is None or turn.now.mono_us < self._next_probe_us:
            return
        try:
            self.state.store.write_meta({"recovered_us": str(turn.now.wall_us)})
            self._read_back(turn)
            self.trouble = None
            self._intake.closed = False
        except StoreError as error:
            self._in_trouble(error, turn)
