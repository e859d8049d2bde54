"""The core: one node's rules and its store, joined into `turn`. No socket, no thread, no clock.

                     ┌──────────────────────────── turn(inbox, now) ───────────────────────────┐
    links messages ──▶ neighbours ─▶ intake, interest          ┐                                │
    in   frames ─────▶ intake ─▶ log rows, receipts            │                                │
    ctl  requests ───▶ their verbs: sessions, operators        ├─▶ Turn ─▶ store.commit ─▶ Turn ▶ to be sent
    out  subscriptions ▶ sessions (who is there)               │                                │
    time ────────────▶ heartbeats · letters due · beacon       ┘                                │
                     └──────────────────────────────────────────────────────────────────────────┘

Nothing leaves before the commit. When the commit fails, everything decided in the turn is forgotten (the state is
read back from the store) and its requests are refused with the reason, but for mere questions. Until the disk takes
a write again (`node.trouble`) frames get no receipt: publishers keep them, and are asked for them afterwards. Whatever
needs no write goes on: ephemeral events, the talk between nodes, and the answers to questions.

Links come before frames: what a peer is told of our heads is then what was on disk when the turn began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from mesh.errors import MalformedFrame
from node.announcements import Announcer
from node.beacons import Beacons
from node.clock import Now
from node.everywhere import Everywhere
from node.inbox import Inbox, around_messages
from node.intake import Intake
from node.letters import Letters
from node.links import Links
from node.membership import Membership
from node.neighbours import Neighbours
from node.reentry import Reentry
from node.requests import QUESTIONS, Requests
from node.retention import Retention
from node.routes import Routes
from node.sessions import Sessions
from node.speaking import Speaking
from node.state import State
from node.store import StoreError
from node.trouble import Trouble
from node.turn import CONTROL, Turn, Verb
from node.wanting import Wanting

BEACON_US = 1_000_000
_TICK_S = 0.005
"""Turns that only take events in do not look each time at all that may be due: it takes 14 µs of an event's way.

Nor do those to which came nothing but signs of life, before the moment that is known to be the next."""
IDLE_MS = 500
"""A turn comes at least this often, and at every heartbeat: beacons are due once a second."""
_REGISTERING_MS = 20
_PENDING_MS = 5
_HOUSEKEEPING_AGAIN_S = 1.0
"""When the letters that are due and the log's sizes are looked at again after that has failed."""


class Node:
    """A node without its sockets.

    `counts` says how often each notable thing happened since the start, `verbs` holds what may be asked of it over
    `ctl`.
    """

    def __init__(
        self,
        state: State,
        links: Links,
        membership: Membership,
        letters: Letters,
        sessions: Sessions,
        retention: Retention,
        announcer: Announcer,
    ) -> None:
        self.state = state
        self.links = links
        self.membership = membership
        self.letters = letters
        self.sessions = sessions
        self.counts: Counter[str] = Counter()
        self.verbs: dict[str, Verb] = dict(sessions.verbs)
        self._retention = retention
        self._trouble = Trouble(self.counts)
        routes = Routes(state.name, links.me.role == "leaf", state.interest)
        speaking = Speaking(routes, state.interest)
        self._wanting = wanting = Wanting(state, speaking.wanted, routes.heard.ways)
        self._beacons = Beacons(state, speaking)
        moved = self._beacons.moved
        self._intake = Intake(state, routes, wanting.before, announcer, self._trouble, self.counts, moved)
        self._reentry = Reentry(state, self._intake)
        self._requests = Requests(self.verbs, self.counts)
        self._everywhere = Everywhere(links, self.verbs)
        self.verbs["everywhere"] = self._everywhere.ask
        others = (membership.heed, self._everywhere.heed)
        self._neighbours = Neighbours(
            state, links, others, routes, speaking, wanting, self._intake, membership.lost_for_good, self.counts
        )
        self._idle_ms = min(IDLE_MS, membership.limits.heartbeat_us // 1000)
        self._next_tick_us = self._due_us = 0
        self._quiet = False
        self._next_beacon_us = 0
        self._next_housekeeping_us = 0

    @property
    def trouble(self) -> StoreError | None:
        """Why the disk refuses at this moment, or None."""
        return self._trouble.error

    @property
    def drain_bytes(self) -> int:
        """How many bytes of frames the next turn should hold at most."""
        return self._trouble.drain_bytes

    def detour(self, name: str) -> str | None:
        """By way of whom the events of a member without a link come: see `node.neighbours`."""
        return self._neighbours.detour(name)

    def lately(self, now: Now) -> StoreError | None:
        """What people are to be told of the disk: the last error, until nothing has failed for some seconds."""
        return self._trouble.lately(now)

    def turn(self, inbox: Inbox, now: Now) -> Turn:
        """Decide about everything that arrived and everything that is due; commit; return what may now be sent."""
        turn = Turn(now)
        self.membership.awake(now)
        self._mend(turn)
        self._decide(inbox, turn)
        try:
            if turn.changes:
                self.state.store.commit(turn.changes)
            elif inbox.empty:
                self.state.store.rest()
        except StoreError as error:
            turn = self._failed(turn, error)
        else:
            self._committed(turn)
        self._count_sent(turn)
        return turn

    def _decide(self, inbox: Inbox, turn: Turn) -> None:
        before, after = around_messages(inbox.link_events)
        for event in before:
            self._each(turn, self._neighbours.happened, event)
        for key, data in inbox.links:
            self._each(turn, self._neighbours.receive, key, data)
        for event in after:
            self._each(turn, self._neighbours.happened, event)
        self._intake.published(inbox.frames, turn)
        for data in inbox.subscriptions:
            self._each(turn, self._subscription, data)
        for parts in inbox.requests:
            self._each(turn, self._requests.receive, parts)
        self._quiet = inbox.only_links and not self._neighbours.stirred and turn.now.mono_us < self._due_us
        if not self._quiet and (turn.now.mono_us >= self._next_tick_us or not inbox.only_frames):
            self._next_tick_us = turn.now.later(_TICK_S)
            self._tick(turn)

    def _each(self, turn: Turn, decide: Callable[..., None], *about: object) -> None:
        """Decide into the turn. With the disk closed, into a turn apart: only what needs no write goes on."""
        into = Turn(turn.now) if self._trouble.closed else turn
        try:
            decide(*about, into)
        except StoreError as error:
            self._trouble.noticed(error, turn.now)
        if into is turn:
            return
        if into.changes:
            self._take_back(into)
            into = into.without_writes("disk", str(self.trouble))
        turn.join(into)

    def _subscription(self, data: bytes, turn: Turn) -> None:
        try:
            self.sessions.subscription(data, turn)
        except MalformedFrame as error:
            self.counts[f"malformed {error.kind}"] += 1

    def _tick(self, turn: Turn) -> None:
        self._each(turn, self.membership.tick)
        self._each(turn, self._neighbours.tick)
        self._each(turn, self._everywhere.tick)
        self._each(turn, self.sessions.tick)
        if not self._trouble.closed:
            self._wanting.keep(turn)
            self.membership.keep(turn)
            self._housekeeping(turn)
            self._intake.announce(turn)
            self._enter_again(turn)
        self.state.relay.window.forget(turn.now.mono_us)
        if turn.now.mono_us >= self._next_beacon_us:
            self._next_beacon_us = turn.now.beat(BEACON_US)
            self._beacons.send(turn)

    def _enter_again(self, turn: Turn) -> None:
        try:
            self._reentry.tick(turn)
        except StoreError as error:
            self._trouble.noticed(error, turn.now)

    def _housekeeping(self, turn: Turn) -> None:
        if turn.now.mono_us < self._next_housekeeping_us:
            return
        try:
            self.letters.redeliver(turn)
            self._retention.trim(turn)
        except StoreError as error:
            self._trouble.noticed(error, turn.now)
            self._next_housekeeping_us = turn.now.later(_HOUSEKEEPING_AGAIN_S)

    def _committed(self, turn: Turn) -> None:
        if turn.changes.log:
            self._trouble.took()
        for name, books in turn.changes.books.items():
            self.state.consumers[name].books = books
        for letter in turn.changes.letters:
            self.state.consumers[letter.consumer].next_due_us = 0
        for act in turn.once_committed:
            act()

    def _count_sent(self, turn: Turn) -> None:
        """Count the frames per link, as the far end counts what it receives: talk is none."""
        for key, data in (*turn.passing_links, *turn.links):
            if data[:1] != CONTROL and key in self.links.links:
                self.links.links[key].sent += 1

    def idle_ms(self, now: Now) -> int:
        """How long nothing is due if nothing arrives, in milliseconds; signs of life move nothing."""
        if not self._quiet:
            self._due_us = now.mono_us + 1000 * self._idle_for_ms(now)
        return max(0, -((now.mono_us - self._due_us) // 1000))

    def _idle_for_ms(self, now: Now) -> int:
        if self.sessions.registrations.waiting:
            return _REGISTERING_MS
        if self._trouble.closed:
            return self._trouble.idle_ms(now, self._idle_ms)
        longest_ms = self._neighbours.idle_ms(now, _PENDING_MS if self._reentry.open else self._idle_ms)
        paused = now.mono_us < self._next_housekeeping_us
        due_us = None if paused else self.letters.next_due_us()
        again_s = None if paused else self._retention.again_s
        longest_ms = longest_ms if again_s is None else min(longest_ms, int(again_s * 1000))
        return longest_ms if due_us is None else max(0, min(longest_ms, (due_us - now.wall_us) // 1000 + 1))

    def goodbye(self, turn: Turn) -> None:
        """Tell peers and programs that this node stops in good order."""
        self.links.goodbye(turn)
        for session in self.sessions.sessions:
            turn.direct(session, {"t": "goodbye"})

    # ── when the disk refuses ────────────────────────────────────────────────────────────────────────────────────────

    def _failed(self, turn: Turn, error: StoreError) -> Turn:
        """The turn could not be committed: what is left of it. Unless the disk is to blame, the next turn goes on."""
        left = turn.without_writes("disk", str(error))
        self._take_back(turn)
        try:
            if error.disk:
                self._trouble.refused(error, turn.now)
                self._retention.refused(turn.changes)
            self._read_back(turn.now)
        except StoreError as unreadable:
            self._trouble.refused(unreadable, turn.now)  # nothing is known now: it is read back when the disk is mended
        self._answer_again(left)
        if not self._trouble.closed:
            self.sessions.ask_again(left)
        return left

    def _answer_again(self, left: Turn) -> None:
        """What was but a question is not refused: it is answered from what the disk says."""
        refused, left.replies = left.replies, []
        for request, refusal in refused:
            if request.fields.get("do") in QUESTIONS:
                self._each(left, self._requests.carry_out, request, [])
            else:
                left.replies.append((request, refusal))

    def _take_back(self, turn: Turn) -> None:
        """Forget what the turn decided, the last thing first."""
        for act in reversed(turn.once_failed):
            act()

    def _read_back(self, now: Now) -> None:
        """Make the memory what the disk says. Raises `StoreError`; then nothing is known until it can be read."""
        try:
            self.state.load(now)
        finally:
            self.sessions.greet_again()
            self._beacons.recall()

    def _mend(self, turn: Turn) -> None:
        """In trouble, try to make room and to write; when that succeeds, go on with what the disk says."""
        if not self._trouble.probe_due(turn.now):
            return
        try:
            self._retention.relieve(turn.now)
            self.state.store.write_meta({"recovered_us": str(turn.now.wall_us)})
            self._read_back(turn.now)
        except StoreError as error:
            self._trouble.refused(error, turn.now)
            return
        self._trouble.mended()
        self.sessions.ask_again(turn)
