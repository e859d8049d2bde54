"""The intake: what becomes of every event that arrives, from the relay's verdict to the ways out.

    publisher's frame ─▶ relay.take ────────────▶ Taken ────▶ relay.admit_taken, with what else the turn took
                                                              ─▶ Admitted ─▶ log row ─▶ subscribers, links, receipt
                                                  Repeated ─▶ receipt it again
                                                  OutOfTurn ▶ ask for what is missing
                                                  Rejected ─▶ receipt with the reason
                                                  Passing ──▶ (ephemeral) the ways out at once, no log, no receipt
    peer's frame ──────▶ relay.admit_forwarded ─▶ Admitted ─▶ log row ─▶ local subscribers, links (`node.routes`)
                                                  Repeated ─▶ dropped
                                                  (nothing) ▶ held ahead of a gap (`node.repair`)

An ephemeral frame has no sequence; one that was passed on before it came here is told from its copies by its digest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from mesh.errors import MalformedFrame
from mesh.frame import Frame, decode, digest_of, encode, passed_on, unseal
from mesh.limits import HOPS_MAX
from mesh.requests import POSITION
from mesh.streams import Range
from node.announcements import Announcer
from node.beacons import BEACON_TIMES, Moved
from node.changes import LogRow
from node.melting import Taken
from node.receipts import Receipts
from node.relay import Admission, Admitted, OutOfTurn, Passing, Rejected, Repeated
from node.routes import Routes
from node.state import State
from node.store import StoreError
from node.streams import Stream, first_stored
from node.trouble import Trouble
from node.turn import LinkKey, Turn

_NOT_LOGGED = POSITION.pack(0)
_pack_position = POSITION.pack
_new = tuple.__new__
"""Makes a named tuple: the constructor costs nearly twice as much, and every frame comes by here."""
_PASSED_MAX = 10_000
"""Ephemeral frames remembered so that a copy that comes by another way is dropped."""


class Intake:
    """Takes frames into a turn. While the disk refuses (`closed`) only ephemeral ones are taken.

    `wanted_before` says whether an origin has known all along that a topic is wanted here, so that an unknown stream of
    it is owed from its first event. `moved` is filled with the streams whose heads move, for `node.beacons`.
    """

    def __init__(
        self,
        state: State,
        routes: Routes,
        wanted_before: Callable[[str, str], bool],
        announcer: Announcer,
        trouble: Trouble,
        counts: Counter[str],
        moved: Moved,
    ) -> None:
        self._routes = routes
        self._wanted_before = wanted_before
        self._trouble = trouble
        self._announcer = announcer
        self._state = state
        self._counts = counts
        self._receipts = Receipts(state)
        self._moved = moved
        self._passed: dict[bytes, None] = {}
        self._heard: dict[bytes, int] = {}  # in this turn: the position of a publisher's last batch, 0 for none

    @property
    def closed(self) -> bool:
        """Whether nothing is taken that must be written."""
        return self._trouble.closed

    def published(self, frames: list[bytes], turn: Turn) -> None:
        """Frames of local publishers."""
        taken: list[Taken] = []
        for data in frames:
            try:
                self._publish(unseal(data), taken, turn)
            except MalformedFrame as error:
                self._counts[f"malformed {error.kind}"] += 1
            except StoreError as error:
                self._counts[f"store {error.code}"] += 1  # no receipt: the publisher will send it again
        self._admit(taken, turn)
        self._note(turn)
        self._receipts.send(turn)

    def _publish(self, frame: Frame, taken: list[Taken], turn: Turn) -> None:
        """Put the frame behind what the turn has `taken`, or answer it at once."""
        if frame.origin or frame.sequence:
            raise MalformedFrame("origin", "a publisher's frame has neither origin nor sequence")
        if self._trouble.closed and self._refuses(frame):
            return
        verdict = self._state.relay.take(frame)
        if isinstance(verdict, Taken):
            taken.append(verdict)
        else:
            self._answer(frame, verdict, taken, turn)

    def _answer(self, frame: Frame, verdict: Admission, taken: list[Taken], turn: Turn) -> None:
        match verdict:
            case Passing(passing):
                links = self._routes.onward(passing.topic, passing.origin, None)
                self._pass(encode(passing), passing.count, links, turn)
            case Repeated(publisher):
                self._counts["repeated"] += frame.count
                if publisher is not None:
                    self._admit(taken, turn)  # it may be among these
                    self._receipts.again(frame, publisher, turn)
            case Rejected(reason):
                self._counts["rejected"] += frame.count
                self._receipts.rejected(frame.publisher, frame.number, frame.count, "hash", reason)
                self._heard.setdefault(frame.publisher, 0)
            case OutOfTurn(first):
                self._counts["out of turn"] += frame.count
                if first:
                    self._receipts.resend(frame.publisher, first)

    def _admit(self, taken: list[Taken], turn: Turn) -> None:
        """Admit what was taken, and forget that it waited."""
        state, receipts, published = self._state, self._receipts, 0
        receipts.admitted(frame.publisher for frame, _ in taken)
        for admitted in state.relay.admit_taken(taken, turn.now.mono_us):
            news, _, _, runs, duplicates, author = admitted
            if news is not None:
                self._heard[author] = state.next_position
                self._append(news, encode(news), admitted, None, turn)
                receipts.accepted(author, news.topic, runs)
                published += news.count
            if duplicates:
                self._heard.setdefault(author, 0)
                receipts.duplicates(author, duplicates)
                self._counts["duplicates"] += len(duplicates)
        if published:
            self._counts["published"] += published
        taken.clear()

    def _note(self, turn: Turn) -> None:
        """Write down how far the publishers that were heard in this turn have come."""
        for key, position in self._heard.items():
            publisher = self._state.relay.publishers[key]
            publisher.position = position or publisher.position
            turn.changes.publishers[key] = (publisher.number, publisher.position, turn.now.wall_us)
        self._heard.clear()

    def forwarded(self, data: bytes, source: LinkKey, turn: Turn) -> Frame | None:
        """One frame of a peer; returns it when it may have closed or shown a gap. Raises `MalformedFrame`."""
        frame = decode(data)
        if frame.hops >= HOPS_MAX:
            raise MalformedFrame("hops", f"{frame.hops} hops; the frame is in a loop")
        if not frame.ephemeral and (not frame.origin or frame.origin == self._state.origin):
            raise MalformedFrame("origin", f"a peer sent a frame of origin {frame.origin!r}")
        if self._refuses(frame):
            return None
        relay = self._state.relay
        owed = (frame.origin, frame.topic) not in relay.streams and self._wanted_before(frame.origin, frame.topic)
        admissions = relay.admit_forwarded(frame, 0 if owed else frame.sequence - 1, turn.now.mono_us)
        self.admitted(admissions, source, turn, frame, data)
        return None if frame.ephemeral else frame

    def admitted(
        self,
        admissions: Iterable[Admission],
        source: LinkKey | None,
        turn: Turn,
        frame: Frame | None = None,
        data: bytes = b"",
    ) -> None:
        """What the relay said of a peer's frame, or of those that were held ahead of a gap.

        `data` are the bytes of `frame`, so that it need not be encoded again where it is taken whole.
        """
        for admission in admissions:
            match admission:
                case Admitted(news, stream, _) if news is not None and stream is not None:
                    self._counts["forwarded here"] += news.count
                    self._append(news, data if news is frame else encode(news), admission, source, turn)
                case Passing(passing):
                    self._pass_on(passing, data, source, turn)
                case Repeated():
                    self._counts["repeated"] += frame.count if frame else 0

    def _refuses(self, frame: Frame) -> bool:
        if self._trouble.error is None or frame.ephemeral:
            return False
        self._counts["refused disk"] += frame.count
        return True

    def _append(self, frame: Frame, data: bytes, admitted: Admitted, source: LinkKey | None, turn: Turn) -> None:
        """One batch into the transaction, and onto its ways out."""
        state, changes, stream = self._state, turn.changes, admitted.stream
        assert stream is not None  # news has one
        topic, _, _, publisher, number, sequence, count, origin, _ = frame
        position = state.next_position
        state.next_position = position + count
        if admitted.new_stream:
            changes.streams.append((stream.id, origin, topic, stream.base, stream.head))
        changes.heads[stream.id] = sequence + count - 1
        row = (position, stream.id, sequence, count, turn.now.wall_us, publisher, number, data)
        changes.log.append(_new(LogRow, row))
        if state.interest.wanted_here(topic):
            turn.out.append([data + _pack_position(position)])
        self._moved[stream.id] = (stream, BEACON_TIMES)
        links = self._routes.onward(topic, origin, source)
        if links:
            onward = data if source is None else passed_on(data)
            for link in links:
                turn.links.append((link, onward))

    def _pass_on(self, frame: Frame, data: bytes, source: LinkKey | None, turn: Turn) -> None:
        """A peer's ephemeral frame: a copy that came before by another way is dropped."""
        if frame.hops:
            mark = digest_of(data)
            if mark in self._passed:
                self._counts["repeated"] += frame.count
                return
            self._passed[mark] = None
            if len(self._passed) > _PASSED_MAX:
                del self._passed[next(iter(self._passed))]
        links = self._routes.onward(frame.topic, frame.origin, source)
        self._pass(passed_on(data) if links else data, frame.count, links, turn)

    def _pass(self, data: bytes, count: int, links: tuple[LinkKey, ...], turn: Turn) -> None:
        """An ephemeral frame: out at once, whatever the disk does."""
        self._counts["ephemeral"] += count
        turn.passing_out.append([data + _NOT_LOGGED])
        turn.passing_links += [(link, data) for link in links]

    def skip(self, stream: Stream, last: int, source: LinkKey | None, turn: Turn) -> None:
        """What is missing of a stream up to `last` will never come: it is named as lost, and the rest goes on.

        Hole by hole, so that what has come between them goes on, too.
        """
        while (missing := self._state.relay.missing(stream)) and missing[0].first <= last:
            self._lose(stream, Range(missing[0].first, min(missing[0].last, last)), source, turn)

    def _lose(self, stream: Stream, hole: Range, source: LinkKey | None, turn: Turn) -> None:
        """The next that the stream waits for is lost."""
        released = self._state.relay.skip(stream, hole.last, turn.now.mono_us)
        if first_stored(stream):
            turn.changes.streams.append((stream.id, stream.origin, stream.topic, stream.base, stream.head))
        turn.changes.heads[stream.id] = stream.head
        turn.changes.holes.append((stream.id, *hole, turn.now.wall_us))
        self._counts["lost between nodes"] += hole.count
        self._moved[stream.id] = (stream, BEACON_TIMES)
        self.admitted(released, source, turn)

    def announce(self, turn: Turn) -> None:
        """The node's own events, through the same door."""
        state, mine = self._state, self._announcer.publisher
        for topic, payload in turn.announcements:
            state.relay.greet(mine, self._announcer.next_number)
            match state.relay.admit(self._announcer.frame(topic, payload, turn.now.wall_us), turn.now.mono_us):
                case Admitted(frame=news) as admitted if news is not None:
                    self._append(news, encode(news), admitted, None, turn)

    def enter_again(self, frame: Frame, turn: Turn) -> None:
        """What entered here under a former generation, as the node's own publishing."""
        admitted = self._state.relay.readmit(self._announcer.own(frame), turn.now.mono_us)
        if admitted.frame is not None:
            self._counts["entered again"] += frame.count
            self._append(admitted.frame, encode(admitted.frame), admitted, None, turn)
