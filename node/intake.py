"""The intake: what becomes of every event that arrives, from the relay's verdict to the ways out.

    publisher's frame ─▶ relay.admit ───────────▶ Admitted ─▶ log row ─▶ local subscribers, interested links, receipt
                                                  Repeated ─▶ receipt it again
                                                  OutOfTurn ▶ ask for what is missing
                                                  Rejected ─▶ receipt with the reason
                                                  Passing ──▶ (ephemeral) the ways out at once, no log, no receipt
    peer's frame ──────▶ relay.admit_forwarded ─▶ Admitted ─▶ log row ─▶ local subscribers

An event is forwarded from where it entered to every interested link, and from a peer's link only to local consumers:
peers are fully linked, so no event comes twice and none goes in a circle.
"""

from __future__ import annotations

from collections import Counter

from mesh.errors import MalformedFrame
from mesh.frame import Frame, decode, encode
from mesh.limits import HOPS_MAX
from mesh.requests import POSITION, pack_beacon
from node.announcements import Announcer
from node.changes import LogRow
from node.receipts import Receipts
from node.relay import Admitted, OutOfTurn, Passing, Rejected, Repeated, Stream
from node.state import State
from node.store import StoreError
from node.trouble import Trouble
from node.turn import LinkKey, Turn

BEACON_TIMES = 3
"""A head is announced in so many beacons: one may be dropped like any message to a slow subscriber."""
_NOT_LOGGED = POSITION.pack(0)


class Intake:
    """Takes frames into a turn. While the disk refuses (`closed`) only ephemeral ones are taken."""

    def __init__(self, state: State, announcer: Announcer, trouble: Trouble, counts: Counter[str]) -> None:
        self._trouble = trouble
        self._announcer = announcer
        self._state = state
        self._counts = counts
        self._receipts = Receipts(state)
        self._moved: dict[int, tuple[Stream, int]] = {}

    @property
    def closed(self) -> bool:
        """Whether nothing is taken that must be written."""
        return self._trouble.closed

    def published(self, frames: list[bytes], turn: Turn) -> None:
        """Frames of local publishers."""
        for data in frames:
            try:
                self._publish(decode(data), turn)
            except MalformedFrame as error:
                self._counts[f"malformed {error.kind}"] += 1
            except StoreError as error:
                self._counts[f"store {error.code}"] += 1  # no receipt: the publisher will send it again
        self._receipts.send(turn)

    def _publish(self, frame: Frame, turn: Turn) -> None:
        if frame.origin or frame.sequence:
            raise MalformedFrame("origin", "a publisher's frame has neither origin nor sequence")
        if self._refuses(frame):
            return
        match self._state.relay.admit(frame, turn.now.mono_us):
            case Admitted() as admitted:
                self._admit(frame, admitted, turn)
            case Passing(passing):
                self._pass(passing, self._state.interest.links_wanting(passing.topic), turn)
            case Repeated(publisher):
                self._counts["repeated"] += frame.count
                if publisher is not None:
                    self._receipts.again(frame, publisher, turn)
            case Rejected(reason):
                self._counts["rejected"] += frame.count
                self._receipts.rejected(frame.publisher, frame.number, frame.count, "hash", reason)
                self._note(frame.publisher, turn)
            case OutOfTurn(first):
                self._counts["out of turn"] += frame.count
                if first:
                    self._receipts.resend(frame.publisher, first)

    def _admit(self, frame: Frame, admitted: Admitted, turn: Turn) -> None:
        state, news = self._state, admitted.frame
        publisher = state.relay.publishers[frame.publisher]
        self._receipts.admitted(frame.publisher)
        if news is not None and admitted.stream is not None:
            publisher.position = state.next_position
            wanting = state.interest.links_wanting(frame.topic)
            self._append(news, admitted.stream, admitted.new_stream, wanting, turn)
            self._receipts.accepted(frame.publisher, frame.topic, admitted.runs)
            self._counts["published"] += news.count
        if admitted.duplicates:
            self._receipts.duplicates(frame.publisher, admitted.duplicates)
            self._counts["duplicates"] += len(admitted.duplicates)
        self._note(frame.publisher, turn)

    def _note(self, key: bytes, turn: Turn) -> None:
        """Write down how far the publisher has come."""
        publisher = self._state.relay.publishers[key]
        turn.changes.publishers[key] = (publisher.number, publisher.position, turn.now.wall_us)

    def forwarded(self, data: bytes, turn: Turn) -> None:
        """One frame of a peer. Raises `MalformedFrame`."""
        frame = decode(data)
        if frame.hops >= HOPS_MAX:
            raise MalformedFrame("hops", f"{frame.hops} hops; the frame is in a loop")
        if not frame.ephemeral and (not frame.origin or frame.origin == self._state.origin):
            raise MalformedFrame("origin", f"a peer sent a frame of origin {frame.origin!r}")
        if self._refuses(frame):
            return
        match self._state.relay.admit_forwarded(frame, turn.now.mono_us):
            case Admitted(news, stream, new) if news is not None and stream is not None:
                self._counts["forwarded here"] += news.count
                self._append(news, stream, new, (), turn)
            case Passing(passing):
                self._pass(passing, (), turn)
            case _:
                self._counts["repeated"] += frame.count

    def _refuses(self, frame: Frame) -> bool:
        refuses = self.closed and not frame.ephemeral
        self._counts["refused disk"] += frame.count if refuses else 0
        return refuses

    def _append(self, frame: Frame, stream: Stream, new: bool, links: tuple[LinkKey, ...], turn: Turn) -> None:
        """One batch into the transaction, and onto its ways out."""
        state, changes, data = self._state, turn.changes, encode(frame)
        position = state.next_position
        state.next_position += frame.count
        if new:
            changes.streams.append((stream.id, stream.origin, stream.topic, stream.base, stream.head))
        changes.heads[stream.id] = stream.head
        changes.log.append(
            LogRow(
                position, stream.id, frame.sequence, frame.count, turn.now.wall_us, frame.publisher, frame.number, data
            )
        )
        if state.interest.wanted_here(frame.topic):
            turn.out.append([data + POSITION.pack(position)])
            self._moved[stream.id] = (stream, BEACON_TIMES)
        for link in links:
            turn.links.append((link, data))

    def _pass(self, frame: Frame, links: tuple[LinkKey, ...], turn: Turn) -> None:
        """An ephemeral frame: out at once, whatever the disk does."""
        data = encode(frame)
        self._counts["ephemeral"] += frame.count
        turn.passing_out.append([data + _NOT_LOGGED])
        turn.passing_links += [(link, data) for link in links]

    def begin_stream(self, origin: str, topic: str, head: int, turn: Turn) -> None:
        """A stream of another node begins here behind `head`."""
        if self.closed or origin == self._state.origin:
            return
        begun = self._state.relay.begin_at(origin, topic, head)
        if begun is None:
            return
        stream, new = begun
        if new:
            turn.changes.streams.append((stream.id, origin, topic, head, head))
        turn.changes.heads[stream.id] = turn.changes.bases[stream.id] = head

    def announce(self, turn: Turn) -> None:
        """The node's own events, through the same door."""
        state, mine = self._state, self._announcer.publisher
        for topic, payload in turn.announcements:
            state.relay.greet(mine, self._announcer.next_number)
            match state.relay.admit(self._announcer.frame(topic, payload, turn.now.wall_us), turn.now.mono_us):
                case Admitted(news, stream, new) if news is not None and stream is not None:
                    self._append(news, stream, new, state.interest.links_wanting(topic), turn)

    def recall_heads(self) -> None:
        """The state was read back: of the heads that moved, announce what is on disk."""
        known = self._state.relay.by_id
        self._moved = {id_: (known[id_], left) for id_, (_, left) in self._moved.items() if id_ in known}

    def beacon(self, turn: Turn) -> None:
        """Announce the heads of the streams that moved since the last beacon."""
        if self._moved:
            heads = [(stream.origin, stream.topic, stream.head) for stream, _ in self._moved.values()]
            turn.out.append([pack_beacon(heads)])
            self._moved = {id_: (stream, left - 1) for id_, (stream, left) in self._moved.items() if left > 1}
