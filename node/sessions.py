"""Sessions: the programs attached to this node, and the verbs of `mesh.requests` they use.

    hello ─▶ known ──(the XPUB reports `!SESSION` subscribed)──▶ attached ──(unsubscribed, or goodbye)──▶ forgotten

A session lives as long as its subscription of `!SESSION` on `out`: the socket layer tells at once when a process
dies, and nothing has to be guessed from silence. A program that attaches anew over a broken network subscribes it a
second time before the end of its first connection is found out; the last one counts. What a session subscribes goes
through `node.registrations`, what it reports through `node.reports`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from mesh.errors import InvalidOption, InvalidTopic, MalformedFrame
from mesh.limits import PAYLOAD_BYTES_MAX, REPLAY_BYTES_MAX
from mesh.marks import Mark
from mesh.requests import DIRECTED, MARKER, PROTOCOL, Json
from node.crashes import Crashes
from node.delivery import Following
from node.letters import Letters
from node.registrations import Registrations
from node.replay import read_ranges
from node.reports import Reports
from node.state import State
from node.store import StoreError
from node.timeouts import HandlerTimeouts
from node.turn import LinkKey, Request, Turn, Verb
from node.wiring import Wiring, read_report

_log = logging.getLogger(__name__)

STRANGER_S = 1.0
"""Who listens for so long without having said hello has lost its attachment without noticing (a broken connection)."""


@dataclass(slots=True)
class Session:
    """One attached program. `hello` waits here until the program can hear the answer.

    `first` is the oldest number it had no receipt for when it attached. `doubted`: a report of it could not be true.
    """

    id: bytes
    name: str
    pid: int
    first: int
    hello: Request | None
    subs: dict[int, Following] = field(default_factory=dict)
    doubted: bool = False


class Sessions:
    """The attached programs.

    `links_up` names the links whose peers must know of an interest, `critical` the topics that must have a consumer.
    """

    def __init__(
        self,
        state: State,
        letters: Letters,
        links_up: Callable[[], set[LinkKey]],
        endpoints: Mapping[str, str],
        take_marks: Callable[[bytes], list[Mark]],
        critical: Collection[str] = (),
    ) -> None:
        self._state = state
        self._letters = letters
        self.timeouts = HandlerTimeouts()
        self._reports = Reports(state, letters, self.timeouts)
        self._crashes = Crashes(state, self._reports, take_marks)
        self.registrations = Registrations(state, links_up, self._in_force)
        self.wiring = Wiring(critical)
        self._endpoints = endpoints
        self.sessions: dict[bytes, Session] = {}
        self._heard: dict[bytes, int] = {}
        self._connections: Counter[bytes] = Counter()
        self.verbs: dict[str, Verb] = {
            "where": self._where,
            "hello": self._hello,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "report": self._report,
            "replay": self._replay,
            "wiring": self._wire,
            "goodbye": self._goodbye,
        }

    # ── what the XPUB tells ──────────────────────────────────────────────────────────────────────────────────────────

    def subscription(self, data: bytes, turn: Turn) -> None:
        """Take a subscription message of the `out` socket: 0x01 or 0x00, then the prefix. Raises `MalformedFrame`."""
        on, prefix = data[:1] == b"\x01", data[1:]
        if not on and data[:1] != b"\x00":
            raise MalformedFrame("subscription", "neither 0x01 nor 0x00 comes first")
        if prefix.startswith(DIRECTED) and len(prefix) == 18:
            session = _session_id(prefix[1:-1].decode("ascii", "replace"))
            if on:
                self._heard[session] = turn.now.mono_us
                self._connections[session] += 1
                self._attach(session, turn)
            elif self._connections[session] > 1:
                self._connections[session] -= 1
            else:
                del self._connections[session]
                self._heard.pop(session, None)
                self._leave(session, turn, in_order=False)
        elif prefix.startswith(MARKER):
            markers = self.registrations.markers
            (markers.add if on else markers.discard)(prefix[1:])

    def _attach(self, session: bytes, turn: Turn) -> None:
        known = self.sessions.get(session)
        if known and known.hello and session in self._heard:
            me = {**self._endpoints, "origin": self._state.origin, "node": self._state.name}
            reported = self._state.tables.last_report(session)
            bounds = {"protocol": PROTOCOL, "payload_bytes_max": PAYLOAD_BYTES_MAX}
            turn.reply(known.hello, {**me, **bounds, "reported": reported})
            known.hello = None

    def _leave(self, session: bytes, turn: Turn, in_order: bool = True) -> None:
        known = self.sessions.get(session)
        if known:
            self._hold_against(known, in_order, turn)
            for sub in list(known.subs):
                self._drop(session, sub)
            del self.sessions[session]
            self.wiring.leave(session)
        self.registrations.withdraw(session, None, turn)

    def _hold_against(self, session: Session, in_order: bool, turn: Turn) -> None:
        try:
            self._crashes.ended(session.id, session.subs, in_order, turn)
        except StoreError as error:
            _log.error("the end of %s could not be looked into: %s", session.name, error)

    # ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _where(self, request: Request, _: list[bytes], turn: Turn) -> None:
        turn.reply(request, {**self._endpoints})

    def _hello(self, request: Request, _: list[bytes], turn: Turn) -> None:
        fields = request.fields
        session = _session_id(fields["session"])
        name, pid, first = str(fields.get("name", "")), int(fields.get("pid", 0)), max(1, int(fields.get("first", 1)))
        known = self.sessions.get(session)
        self._leave(session, turn, in_order=known is None or known.pid == pid)
        self.sessions[session] = Session(session, name, pid, first, request)
        self._state.relay.greet(session, first)
        self._attach(session, turn)

    def greet_again(self) -> None:
        """The state was read back from the disk, where nothing stands of who has not published yet."""
        for session in self.sessions.values():
            self._state.relay.greet(session.id, session.first)

    def ask_again(self, turn: Turn) -> None:
        """Ask every publisher for what could not be taken in; who has nothing more to send does nothing."""
        for session in self.sessions:
            turn.direct(session, {"t": "resend", "first": self._state.relay.publishers[session].number + 1})

    def _goodbye(self, request: Request, _: list[bytes], turn: Turn) -> None:
        self._leave(_session_id(request.fields["session"]), turn)
        turn.reply(request, {})

    def _subscribe(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session = self._known(request, turn)
        if session is not None:
            self.registrations.ask(request, session.id, f"{session.name} (pid {session.pid})", turn)

    def _known(self, request: Request, turn: Turn) -> Session | None:
        """The session a request comes from; None when it was refused because there is no such session."""
        session = self.sessions.get(_session_id(request.fields["session"]))
        if session is None:
            turn.refuse(request, "hello", "this session is not attached; say hello first")
        return session

    def _wire(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session = self._known(request, turn)
        if session is None:
            return
        try:
            self.wiring.report(session.id, read_report(session.name, session.pid, request.fields))
        except (InvalidTopic, InvalidOption) as error:
            turn.refuse(request, "invalid", str(error))
        else:
            turn.reply(request, {})

    def _in_force(self, following: Following) -> bool:
        """A registration is complete; False when its program has gone meanwhile."""
        assert following.attachment is not None  # it was registered with one
        session = self.sessions.get(following.attachment[0])
        if session is None:
            following.attachment, following.holder = None, ""
            return False
        session.subs[following.attachment[1]] = following
        return True

    def attached(self) -> Collection[bytes]:
        """The sessions that are here now."""
        return self.sessions.keys()

    def in_force(self) -> Iterator[tuple[bytes, Following]]:
        """Every attached program's subscriptions."""
        return ((session.id, following) for session in self.sessions.values() for following in session.subs.values())

    def tick(self, turn: Turn) -> None:
        """Complete what can be completed, and ask whoever listens but is not known to attach anew."""
        self.registrations.complete(turn)
        for session, since_us in self._heard.items():
            if session not in self.sessions and turn.now.mono_us - since_us > STRANGER_S * 1e6:
                self._heard[session] = turn.now.mono_us
                turn.direct(session, {"t": "hello"})

    def _unsubscribe(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session, sub = _session_id(request.fields["session"]), int(request.fields["sub"])
        self.registrations.withdraw(session, sub, turn)
        self._drop(session, sub)
        turn.reply(request, {})

    def _drop(self, session: bytes, sub: int) -> None:
        """A subscription ends. A durable one stays as a name with cursors; letters it held wait again."""
        known = self.sessions.get(session)
        following = known.subs.pop(sub, None) if known else None
        self._letters.give_back((session, sub))
        if following is None:
            return
        following.attachment, following.holder = None, ""
        if not following.durable:
            self._state.consumers[following.consumer].followings.remove(following)
            self._state.interest.unwant(following.pattern.text)

    # ── what became of events, and what is asked for again ───────────────────────────────────────────────────────────

    def _report(self, request: Request, _: list[bytes], turn: Turn) -> None:
        session = self._known(request, turn)
        if session is None:
            return
        refused = self._reports.take(session.subs, request.fields["subs"], turn)
        if refused:
            self._refuse(request, session, refused, turn)
            return
        turn.changes.reporters[session.id] = (int(request.fields.get("serial", 0)), turn.now.wall_us)
        turn.reply(request, {})

    def _refuse(self, request: Request, session: Session, refused: list[Json], turn: Turn) -> None:
        why = refused[0]["why"]
        if not session.doubted:
            _log.warning("%s (pid %d) reports what cannot be true: %s", session.name, session.pid, why)
        session.doubted = True
        message = f"{len(refused)} of the report's moves and outcomes cannot be true: {why}"
        turn.refuse(request, "malformed", message, refused=refused)

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
