"""Registrations: subscriptions on their way in, and where each begins.

    asked ─▶ pending ──(its marker arrived, linked peers know, or 3 s are over)▶ complete ──commit──▶ in force

A registration is a barrier. When the reply leaves, the subscriber's filter is in force at this node, the peers know of
its interest, and the reply says for each stream which sequence comes first:

    continued (durable, or the same program attached anew)   behind the cursor; streams begun meanwhile from their base
    new, since="now"                                         behind the head
    new, since earliest / a time                             the first event of the log that fits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mesh.errors import InvalidOption, InvalidTopic
from mesh.retry import check_policy
from mesh.topic import check_pattern
from node.crashes import skips
from node.delivery import ATTEMPTS_MAX, Consumer, Following, check_since
from node.state import State
from node.store import StoreError
from node.streams import Stream, first_stored
from node.turn import LinkKey, Request, Turn

INTEREST_WAIT_S = 3.0
"""How long a registration waits for linked peers to answer; one that does not answer by then is not waited for."""

MARKER_WAIT_S = 60.0
"""How long a registration waits for its marker. Its program attaches anew after half as long without an answer, so what
is still there was asked over an earlier connection, and is wanted by nobody."""

DURATION_S_MAX = 10 * 365 * 86400.0
"""Ten years: longer than any handler or backoff is meant, short enough to be a moment in the database."""
_SUBS_END = 1 << 32
"""What a mark holds (`mesh.marks`)."""

Starts = list[tuple[str, str, int, int]]
"""origin, topic, first sequence owed, head"""


@dataclass(slots=True)
class _Pending:
    """One subscription on its way in. `version`: of the interest that the linked peers must have answered."""

    request: Request
    session: bytes
    following: Following
    resume: list[tuple[str, str, int]] | None
    marker: bytes
    deadline_us: int
    version: int


class Registrations:
    """Subscriptions on their way in. `links_up`: links whose peers must know; `in_force` takes the finished."""

    def __init__(
        self, state: State, links_up: Callable[[], set[LinkKey]], in_force: Callable[[Following], bool]
    ) -> None:
        self._state = state
        self._links_up = links_up
        self._in_force = in_force
        self._pending: list[_Pending] = []
        self.markers: set[bytes] = set()

    @property
    def waiting(self) -> bool:
        """Whether any subscription is on its way in."""
        return bool(self._pending)

    def ask(self, request: Request, session: bytes, holder: str, turn: Turn) -> None:
        """A program asks to subscribe; `holder` names it to others who want the same durable name."""
        try:
            following = _following(request.fields, turn.now.wall_us)
            check_since(request.fields.get("since", "now"))
            _check_resume(request.fields.get("resume"))
        except (InvalidTopic, InvalidOption) as error:
            turn.refuse(request, "invalid", str(error))
            return
        following.holder = holder
        sub = _number(request.fields["sub"])
        following.attachment = (session, sub)
        self.withdraw(session, sub, turn)  # asked over an earlier connection of the program, and come late
        refusal = self._objection(following)
        if refusal:
            turn.refuse(request, *refusal)
            return
        resume, marker = request.fields.get("resume"), str(request.fields["marker"]).encode()
        interest, deadline_us = self._state.interest, turn.now.later(INTEREST_WAIT_S)
        interest.want(following.pattern.text)
        pending = _Pending(request, session, following, resume, marker, deadline_us, interest.version)
        self._pending.append(pending)
        self._note_resuming()

    def _note_resuming(self) -> None:
        """Tell the rest of the node how far the programs that come back had come in the streams of others."""
        resuming: dict[tuple[str, str], int] = {}
        for each in self._pending:
            for origin, topic, sequence in each.resume or ():
                resuming[origin, topic] = min(sequence, resuming.get((origin, topic), sequence))
        self._state.resuming = resuming

    def _objection(self, following: Following) -> tuple[str, str] | None:
        """Why the name cannot be had: code and sentence."""
        known = self._state.consumers.get(following.consumer)
        there = list(known.followings) if known else []
        there += [each.following for each in self._pending if each.following.consumer == following.consumer]
        if not following.durable and not any(each.durable for each in there):
            return None
        held = next((each for each in there if each.attachment), None)
        name = following.consumer
        if held:
            return "held", f"durable consumer {name!r} is attached by {held.holder}; stop it, or use another name"
        if not following.durable:
            return "invalid", f"consumer {name!r} is durable; subscribe with durable=True, or use another name"
        return None

    def withdraw(self, session: bytes, sub: int | None, turn: Turn) -> None:
        """One subscription of a program, or all of them (None), has ended before it was registered: it is answered."""
        for each in list(self._pending):
            if each.following.attachment == (session, sub) or (sub is None and each.session == session):
                self._end(each, turn)
        self._note_resuming()

    def _end(self, pending: _Pending, turn: Turn) -> None:
        self._pending.remove(pending)
        self._state.interest.unwant(pending.following.pattern.text)
        turn.refuse(pending.request, "ended", "the subscription ended before it was registered")

    def complete(self, turn: Turn) -> None:
        """Complete every registration whose barrier is reached.

        One whose name this turn forgets, or moves a cursor of, in the next one: it begins where that has come to.
        """
        if not self._pending:
            return
        up, moved = self._links_up(), {name for name, _ in turn.changes.cursors}
        for each in list(self._pending):
            known = self._known(each, up) or turn.now.mono_us >= each.deadline_us
            name = each.following.consumer
            settled = name not in moved and (name,) not in turn.changes.consumers_forgotten
            if known and each.marker in self.markers and settled:
                self._pending.remove(each)
                self._complete(each, turn)
            elif turn.now.mono_us >= each.deadline_us + MARKER_WAIT_S * 1e6 and each.marker not in self.markers:
                self._end(each, turn)
        self._note_resuming()

    def _known(self, pending: _Pending, up: set[LinkKey]) -> bool:
        """Whether every linked peer knows of the interest, also one that was linked after it was asked."""
        informed = self._state.informed
        return all(informed.get(link, -1) >= pending.version for link in up)

    def _complete(self, pending: _Pending, turn: Turn) -> None:
        state, following = self._state, pending.following
        known = state.consumers.get(following.consumer)
        former = [each for each in known.followings if each.durable] if known else []
        for each in former:
            following.cursors, following.crashes = dict(each.cursors), dict(each.crashes)
        before = dict(following.cursors)
        try:
            rows = self._starts(pending, former, turn)
        except StoreError as error:
            turn.refuse(pending.request, "disk", str(error))
            state.interest.unwant(following.pattern.text)
            return
        consumer = state.consumer(following, turn)
        for id_, sequence in following.cursors.items() if following.durable else ():
            if before.get(id_) != sequence:
                turn.changes.cursors[following.consumer, id_] = sequence
        turn.reply(pending.request, {"streams": rows, "skip": skips(following, state.matching(following))})
        turn.once_committed.append(lambda: self._enter(following, consumer, former))
        turn.once_failed.append(lambda: state.interest.unwant(following.pattern.text))

    def _enter(self, following: Following, consumer: Consumer, former: list[Following]) -> None:
        """The consumer is on disk: its letters may go out, its reports may come in."""
        for each in former:
            consumer.followings.remove(each)
            self._state.interest.unwant(each.pattern.text)
        consumer.next_due_us = 0
        if self._in_force(following) or following.durable:
            consumer.followings.append(following)
        else:
            self._state.interest.unwant(following.pattern.text)

    def _starts(self, pending: _Pending, former: list[Following], turn: Turn) -> Starts:
        """Place the cursor of every matching stream (see the module's picture); the rows of the reply.

        A cursor is kept under its stream's number, which is the stream's for good only where the store has both.
        """
        following, resume = pending.following, pending.resume
        self._resume(following, resume or [])
        position = self._position(pending.request.fields.get("since", "now"), turn)
        rows = []
        for stream in self._state.matching(following):
            if first_stored(stream):
                turn.changes.streams.append((stream.id, stream.origin, stream.topic, stream.base, stream.head))
            owed = resume is not None or any(each.pattern.matches(stream.topic) for each in former)
            settled = following.cursors.get(stream.id)
            if settled is None:
                following.cursors[stream.id] = stream.base if owed else self._first(stream, position) - 1
            elif settled < stream.base:
                following.cursors[stream.id] = stream.base  # it began anew while the name had another pattern
            rows.append((stream.origin, stream.topic, following.cursor(stream) + 1, stream.head))
        return rows

    def _resume(self, following: Following, settled: list[tuple[str, str, int]]) -> None:
        """A program attached anew says what it has settled. A durable consumer's own cursors are on disk.

        The disk may be behind the program (an older copy of it came back), and so may the streams of other nodes.
        """
        for origin, topic, sequence in settled:
            stream = self._state.relay.streams.get((origin, topic))
            if stream is None:
                following.resumed[origin, topic] = sequence
                continue
            highest = stream.head if origin == self._state.origin else sequence
            lowest = following.cursor(stream) if following.durable else stream.base
            following.cursors[stream.id] = max(lowest, min(sequence, highest))

    def _position(self, since: object, turn: Turn) -> int | None:
        """The first position a new subscription wants, or None for "from now on"."""
        kind, value = check_since(since)
        if kind in ("now", "earliest"):
            return None if kind == "now" else 0
        return self._state.log.position_at(value if kind == "time_us" else turn.now.wall_us - value)

    def _first(self, stream: Stream, position: int | None) -> int:
        found = None if position is None else self._state.log.first_sequence(stream.id, position)
        return stream.head + 1 if found is None else found


def _check_resume(resume: Any) -> None:
    """Rows of origin, topic, sequence, or nothing: raises `InvalidOption`, or what comes of a wrong shape."""
    for origin, topic, sequence in resume or ():
        if not (isinstance(origin, str) and isinstance(topic, str) and isinstance(sequence, int) and sequence >= 0):
            raise InvalidOption(
                f"resume has the row {[origin, topic, sequence]!r}; origin, topic, sequence is expected"
            )


def _number(sub: object) -> int:
    """A subscription's number, counted by its program. Raises `ValueError`."""
    if type(sub) is not int or not 0 <= sub < _SUBS_END:
        raise ValueError(f"subscription number {sub!r} is not from 0 to {_SUBS_END - 1}")
    return sub


def _following(fields: Mapping[str, Any], now_us: int) -> Following:
    policy = check_policy(int(fields["attempts"]), (float(fields["backoff"][0]), float(fields["backoff"][1])))
    timeout_s = float(fields["timeout_s"])
    if not 0 < timeout_s <= DURATION_S_MAX:
        raise InvalidOption(f"timeout is {timeout_s:g} s; use more than 0 and at most {DURATION_S_MAX:g}")
    if policy.cap_s > DURATION_S_MAX or policy.attempts > ATTEMPTS_MAX:
        raise InvalidOption(
            f"{policy.attempts} attempts with backoff up to {policy.cap_s:g} s; "
            f"use at most {ATTEMPTS_MAX} attempts and {DURATION_S_MAX:g} s"
        )
    name = str(fields["consumer"])
    if not name or len(name) > 200 or not name.isprintable():
        raise InvalidOption(f"consumer name {name[:60]!r} is empty, longer than 200 or not printable; choose another")
    return Following(name, check_pattern(fields["pattern"]), bool(fields.get("durable")), policy, timeout_s, now_us)
