"""Sessions: the programs attached to this node, and the verbs of `mesh.requests` they use.

    hello ─────▶ known ──(the XPUB reports `!SESSION` subscribed)──▶ attached ──(unsubscribed: gone)──▶ forgotten
    subscribe ─▶ pending ──(its marker arrived, linked peers know the interest)──▶ registered, heads told

A session lives as long as its subscription of `!SESSION` on `out`: the socket layer tells at once when a process dies, and
nothing has to be guessed from silence. Registration is a barrier: when the reply leaves, the subscriber's filter is in
force at this node and its interest is known to the peers, and the reply says where each stream stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh.errors import InvalidOption, InvalidTopic, MalformedFrame
from mesh.limits import PAYLOAD_BYTES_MAX, REPLAY_BYTES_MAX
from mesh.requests import DIRECTED, MARKER, PROTOCOL
from mesh.retry import check_policy
from mesh.topic import check_pattern
from node.delivery import Attachment, Consumer, Following, check_since
from node.letters import Letters
from node.relay import Stream
from node.replay import read_ranges
from node.reports import Reports
from node.state import State
from node.store import StoreError
from node.turn import LinkKey, Request, Turn, Verb

INTEREST_WAIT_S = 1.0
"""How long a registration waits for linked peers to answer; one that does not answer by then is not waited for."""
STRANGER_S = 1.0
"""Who listens for so long without having said hello has lost its attachment without noticing (a broken connection)."""


@dataclass(slots=True)
class Session:
    """One attached program. `hello` waits here until the program can hear the answer."""

    id: bytes
    name: str
    pid: int
    hello: Request | None
    subs: dict[int, Following] = field(default_factory=dict)


@dataclass(slots=True)
class Registration:
    """A subscription on its way in."""

    request: Request
    session: bytes
    following: Following
    marker: bytes
    waiting_for: set[LinkKey]
    deadline_us: int
    version: int


class Sessions:
    """The attached programs. `links_up` names the links whose peers must know of an interest."""

    def __init__(
        self, state: State, letters: Letters, links_up: Callable[[], set[LinkKey]], endpoints: Mapping[str, str]
    ) -> None:
        self._state = state
        self._letters = letters
        self._reports = Reports(state, letters)
        self._links_up = links_up
        self._endpoints = endpoints
        self.sessions: dict[bytes, Session] = {}
        self._heard: dict[bytes, int] = {}
        self._pending: list[Registration] = []
        self._markers: set[bytes] = set()
        self.verbs: dict[str, Verb] = {
            "hello": self._hello,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "report": self._report,
            "replay": self._replay,
            "goodbye": self._goodbye,
        }

    # ── what the XPUB tells ──────────────────────────────────────────────────────────────────────────────────────────

    def subscription(self, data: bytes, turn: Turn) -> None:
        """Take a subscription message of the `out` socket: 0x01 or 0x00, then the prefix."""
        on, prefix = data[:1] == b"\x01", data[1:]
        if prefix.startswith(DIRECTED) and len(prefix) == 18:
            session = _session_id(prefix[1:-1].decode("ascii", "replace"))
            if on:
                self._heard[session] = turn.now.mono_us
                self._attach(session, turn)
            else:
                self._heard.pop(session, None)
                self._leave(session, turn)
        elif prefix.startswith(MARKER):
            (self._markers.add if on else self._markers.discard)(prefix[1:])

    def _attach(self, session: bytes, turn: Turn) -> None:
        known = self.sessions.get(session)
        if known and known.hello and session in self._heard:
            reply = {**self._endpoints, "origin": self._state.origin, "node": self._state.name}
            turn.reply(known.hello, {**reply, "protocol": PROTOCOL, "payload_bytes_max": PAYLOAD_BYTES_MAX})
            known.hello = None

    def _leave(self, session: bytes, turn: Turn) -> None:
        known = self.sessions.pop(session, None)
        for sub in list(known.subs) if known else ():
            self._drop(session, sub, turn)
        for each in [each for each in self._pending if each.session == session]:
            self._pending.remove(each)
            self._state.interest.unwant(each.following.pattern.text)

    # ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _hello(self, request: Request, _: list[bytes], turn: Turn) -> None:
        fields = request.fields
        session = _session_id(fields["session"])
        self._leave(session, turn)
        self.sessions[session] = Session(session, str(fields.get("name", "")), int(fields.get("pid", 0)), request)
        self._state.relay.greet(session, max(1, int(fields.get("first", 1))))
        self._attach(session, turn)

    def _goodbye(self, request: Request, _: list[bytes], turn: Turn) -> None:
        self._leave(_session_id(request.fields["session"]), turn)
        turn.reply(request, {})

    def _subscribe(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session = self.sessions.get(_session_id(request.fields["session"]))
        if session is None:
            turn.refuse(request, "hello", "this session is not attached; say hello first")
            return
        try:
            following = _following(request.fields, turn.now.wall_us)
            check_since(request.fields.get("since", "now"))
        except (InvalidTopic, InvalidOption) as error:
            turn.refuse(request, "invalid", str(error))
            return
        holder = self._holder(following)
        if holder:
            turn.refuse(
                request,
                "held",
                f"durable consumer {following.consumer!r} is attached by {holder}; stop it, or use another name",
            )
            return
        following.holder = f"{session.name} (pid {session.pid})"
        following.attachment = (session.id, int(request.fields["sub"]))
        self._state.interest.want(following.pattern.text)
        marker = str(request.fields["marker"]).encode()
        deadline = turn.now.later(INTEREST_WAIT_S)
        version = self._state.interest.version
        self._pending.append(Registration(request, session.id, following, marker, self._links_up(), deadline, version))

    def _holder(self, following: Following) -> str:
        """Who has the durable name now: attached, or about to be."""
        if not following.durable:
            return ""
        known = self._state.consumers.get(following.consumer)
        there = [each for each in known.followings if each.attachment] if known else []
        there += [each.following for each in self._pending if each.following.consumer == following.consumer]
        return there[0].holder if there else ""

    def attached(self) -> Collection[bytes]:
        """The sessions that are here now."""
        return self.sessions.keys()

    def tick(self, turn: Turn) -> None:
        """Complete what can be completed, and ask whoever listens but is not known to attach anew."""
        self._register(turn)
        for session, since_us in self._heard.items():
            if session not in self.sessions and turn.now.mono_us - since_us > STRANGER_S * 1e6:
                self._heard[session] = turn.now.mono_us
                turn.direct(session, {"t": "hello"})

    @property
    def registering(self) -> bool:
        """Whether any subscription is on its way in."""
        return bool(self._pending)

    def interest_known(self, link: LinkKey, version: int, turn: Turn) -> None:
        """A peer has answered an announcement."""
        for each in self._pending:
            if version >= each.version:
                each.waiting_for.discard(link)
        self._register(turn)

    def _register(self, turn: Turn) -> None:
        """Complete every registration whose barrier is reached."""
        if not self._pending:
            return
        up = self._links_up()
        for each in list(self._pending):
            known = not (each.waiting_for & up) or turn.now.mono_us >= each.deadline_us
            if known and each.marker in self._markers:
                self._pending.remove(each)
                try:
                    self._complete(each, turn)
                except StoreError as error:
                    turn.refuse(each.request, "disk", str(error))

    def _complete(self, registration: Registration, turn: Turn) -> None:
        following, fields = registration.following, registration.request.fields
        consumer = self._state.consumer(following, turn)
        former = [each for each in consumer.followings if following.durable and each.durable]
        for each in former:
            following.cursors = each.cursors
        rows = self._starts(following, fields, turn)
        turn.reply(registration.request, {"streams": rows})
        turn.once_committed.append(lambda: self._registered(registration, consumer, former))

    def _registered(self, registration: Registration, consumer: Consumer, former: list[Following]) -> None:
        """The consumer is on disk: its letters may go out, its reports may come in."""
        for each in former:
            consumer.followings.remove(each)
            self._state.interest.unwant(each.pattern.text)
        consumer.followings.append(registration.following)
        consumer.next_due_us = 0
        session = self.sessions.get(registration.session)
        if session is not None:
            session.subs[int(registration.request.fields["sub"])] = registration.following

    def _starts(self, following: Following, fields: Mapping[str, Any], turn: Turn) -> list[tuple[str, str, int, int]]:
        """Place the cursor of every matching stream; rows (origin, topic, next owed, head) for the reply."""
        state = self._state
        resume = fields.get("resume")
        if resume is not None and not following.durable:
            for origin, topic, settled in resume:
                stream = state.relay.streams.get((origin, topic))
                if stream:
                    following.cursors[stream.id] = min(int(settled), stream.head)
        rows = []
        position = self._position(fields.get("since", "now"), turn)
        for stream in state.matching(following):
            if stream.id not in following.cursors and resume is None:
                following.cursors[stream.id] = self._first(stream, position) - 1
                if following.durable:
                    turn.changes.cursors[following.consumer, stream.id] = following.cursors[stream.id]
            rows.append((stream.origin, stream.topic, following.cursor(stream) + 1, stream.head))
        return rows

    def _position(self, since: object, turn: Turn) -> int | None:
        """The first position a new subscription wants, or None for "from now on"."""
        kind, value = check_since(since)
        if kind in ("now", "earliest"):
            return None if kind == "now" else 0
        return self._state.log.position_at(value if kind == "time_us" else turn.now.wall_us - value)

    def _first(self, stream: Stream, position: int | None) -> int:
        found = None if position is None else self._state.log.first_sequence(stream.id, position)
        return stream.head + 1 if found is None else found

    def _unsubscribe(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session, sub = _session_id(request.fields["session"]), int(request.fields["sub"])
        for each in [each for each in self._pending if each.following.attachment == (session, sub)]:
            self._pending.remove(each)
            self._state.interest.unwant(each.following.pattern.text)
        self._drop(session, sub, turn)
        turn.reply(request, {})

    def _drop(self, session: bytes, sub: int, turn: Turn) -> None:
        """A subscription ends. A durable one stays as a name with cursors; letters it held wait again."""
        known = self.sessions.get(session)
        following = known.subs.pop(sub, None) if known else None
        self._letters.give_back((session, sub))
        if following is None:
            following = self._following_of((session, sub))
        if following is None:
            return
        following.attachment, following.holder = None, ""
        if not following.durable:
            self._state.consumers[following.consumer].followings.remove(following)
            self._state.interest.unwant(following.pattern.text)

    def _following_of(self, attachment: Attachment) -> Following | None:
        every = (each for consumer in self._state.consumers.values() for each in consumer.followings)
        return next((each for each in every if each.attachment == attachment), None)

    # ── what became of events, and what is asked for again ───────────────────────────────────────────────────────────

    def _report(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session = self.sessions.get(_session_id(request.fields["session"]))
        if session is None:
            turn.refuse(request, "hello", "this session is not attached; say hello first")
            return
        for part in request.fields["subs"]:
            following = session.subs.get(int(part["sub"]))
            if following is not None:
                self._reports.take(following, part, turn)
        turn.reply(request, {})

    def _replay(self, request: Request, _: list[bytes], turn: Turn) -> None:
        room = min(int(request.fields.get("bytes_max", REPLAY_BYTES_MAX)), REPLAY_BYTES_MAX)
        rows, gone = read_ranges(self._state, request.fields["ranges"], room)
        turn.reply(request, {"gone": gone, "rows": [row.position for row in rows]}, [row.frame for row in rows])


def _session_id(text: str) -> bytes:
    try:
        session = bytes.fromhex(text)
    except ValueError:
        session = b""
    if len(session) != 8:
        raise MalformedFrame("session", f"{text!r} is no session; 16 hex digits are expected")
    return session


def _following(fields: Mapping[str, Any], now_us: int) -> Following:
    policy = check_policy(int(fields["attempts"]), (float(fields["backoff"][0]), float(fields["backoff"][1])))
    timeout_s = float(fields["timeout_s"])
    if timeout_s <= 0:
        raise InvalidOption(f"timeout is {timeout_s} s; give the handler some time")
    name = str(fields["consumer"])
    if not name or len(name) > 200 or not name.isprintable():
        raise InvalidOption(f"consumer name {name[:60]!r} is empty, longer than 200 or not printable; choose another")
    return Following(name, check_pattern(fields["pattern"]), bool(fields.get("durable")), policy, timeout_s, now_us)
