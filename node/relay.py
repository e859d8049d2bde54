"""The relay: `admit`, the one door through which every event enters this node.

    a publisher's frame ──▶ identity ──▶ Taken ──▶ content ──▶ origin, sequence ──▶ Admitted
                              │                      │
                              ▼                      ▼
                          Repeated                (cut out of the batch, receipted as duplicates)
                          OutOfTurn, Rejected
    a peer's frame ───────▶ what of it is new here? ──▶ Admitted, origin and sequence as they came
                              ├─ ahead of a gap ──▶ held until what is before it has come (`node.repair` asks for it)
                              └─ here already ────▶ Repeated

Identity is exact and has no window: a publisher's numbers are admitted strictly one after the other, so a resend is
told from news by comparing two integers, and a hole (the node was restarted, frames died in a pipe) is answered by
asking for the rest again, in order. Content has a window per topic and is asked only where events enter the mesh
(`node.duplicates`).

What one turn takes is admitted together: frames that follow each other go on as one (`node.melting`). Where anything in
the turn is known content, every frame goes by itself.

Streams of other nodes are kept without gaps (`node.streams`): what is in the log is all there was from the stream's
base to its head, except for the holes that are recorded as lost.

The relay keeps what must be known about every stream and publisher in memory; the store has the same on disk, and
when a commit fails the node throws this object away and reads it back (`Relay.load`). No socket, clock or database
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mesh.dedup import DedupWindow, Sighting
from mesh.errors import MalformedFrame
from mesh.frame import EPHEMERAL, Frame, check_records
from mesh.records import hashes, records, select, with_hashes
from mesh.streams import Range, Run
from node.contents import contents
from node.duplicates import receipt_runs, split
from node.melting import Taken, melted
from node.streams import Gaps, Stream, first_stored

_new = tuple.__new__
"""Makes a named tuple: the constructor costs nearly twice as much, and every frame comes by here."""


class Publisher:
    """How far one publisher's events are admitted. `position` is where its last batch stands in the log."""

    __slots__ = ("number", "position")

    def __init__(self, number: int, position: int) -> None:
        self.number = number
        self.position = position


class Admitted(NamedTuple):
    """News. `frame` is as it will be logged; None when every event of it was a duplicate.

    `runs`: (number, count, sequence) of what got a sequence. `duplicates`: (number, first sighting) of what did not.
    """

    frame: Frame | None
    stream: Stream | None
    new_stream: bool
    runs: list[tuple[int, int, int]]
    duplicates: list[tuple[int, Sighting]]
    publisher: bytes


class Repeated(NamedTuple):
    """Everything in the frame is here already: receipt it again."""

    publisher: Publisher | None


class OutOfTurn(NamedTuple):
    """A frame before this one did not arrive: ask for everything from number `first` on. 0: say hello first."""

    first: int


class Rejected(NamedTuple):
    """The frame can never be taken: its publisher has filled in content hashes that are wrong."""

    reason: str


class Passing(NamedTuple):
    """An ephemeral frame: send it on and forget it."""

    frame: Frame


Admission = Admitted | Repeated | OutOfTurn | Rejected | Passing


class Relay:
    """Decides what becomes of every frame. `window_us` gives the dedup window of a topic in microseconds.

    `gaps`: the streams that have one. `moves` counts the movements of heads, `entered` the events of this origin.
    """

    def __init__(self, origin: str, window: DedupWindow, window_us: Callable[[str], int]) -> None:
        self.origin = origin
        self.window = window
        self.window_us = window_us
        self.streams: dict[tuple[str, str], Stream] = {}
        self.by_id: dict[int, Stream] = {}
        self.publishers: dict[bytes, Publisher] = {}
        self._gaps = Gaps()
        self.gaps = self._gaps.open
        self.moves = 0
        self.entered = 0
        self._next_id = 1

    def load(
        self,
        streams: Iterable[tuple[int, str, str, int, int]],
        publishers: Iterable[tuple[bytes, int, int]],
    ) -> None:
        """Take up what the store knows."""
        for row in streams:
            stream = Stream(*row)
            stream.stored = True
            self.streams[stream.origin, stream.topic] = self.by_id[stream.id] = stream
        self._next_id = max(self.by_id, default=0) + 1
        self.entered = sum(stream.head for stream in self.by_id.values() if stream.origin == self.origin)
        self.publishers = {key: Publisher(number, position) for key, number, position in publishers}

    def greet(self, publisher: bytes, first: int) -> None:
        """A publisher says where it stands: its oldest number without a receipt.

        Ours counts, unless it is behind: what is receipted is never sent again (our end of the log may be lost, and a
        rejected frame leaves nothing on disk).
        """
        known = self.publishers.setdefault(publisher, Publisher(first - 1, 0))
        known.number = max(known.number, first - 1)

    def admit(self, frame: Frame, now_us: int) -> Admission:
        """Decide about a publisher's frame by itself. Raises like `take`."""
        taken = self.take(frame)
        return self._sequence(*taken, now_us) if isinstance(taken, Taken) else taken

    def take(self, frame: Frame) -> Taken | Admission:
        """Decide whether it is a publisher's frame's turn; what is taken must be given to `admit_taken`, in order.

        Raises `MalformedFrame` when its events are no records.
        """
        if frame.flags & EPHEMERAL:
            check_records(frame)
            return Passing(frame._replace(origin=self.origin))
        publisher, number = self.publishers.get(frame.publisher), frame.number
        if publisher is None or number != publisher.number + 1:
            check_records(frame)
        if publisher is None:
            return OutOfTurn(0)
        if number != publisher.number + 1:
            return Repeated(publisher) if number <= publisher.number else OutOfTurn(publisher.number + 1)
        try:
            hashed, hashes_ = with_hashes(frame)
        except MalformedFrame as error:
            if error.kind != "hash":
                raise
            publisher.number = number + frame.count - 1
            return Rejected(str(error))
        publisher.number = number + frame.count - 1
        return _new(Taken, (hashed, contents(frame, hashes_)))

    def admit_taken(self, taken: Sequence[Taken], now_us: int) -> list[Admitted]:
        """Decide about frames whose turn it was. The usual case, nothing of it known, is asked of all at once."""
        if self._repeats([fact for each in taken for fact in each.facts]):
            return [self._sequence(frame, facts, now_us) for frame, facts in taken]
        return [self._place(frame, facts, now_us) for frame, facts in melted(taken)]

    def readmit(self, frame: Frame, now_us: int) -> Admitted:
        """A frame that entered here before gets a further place, whatever is known of its content."""
        self.publishers[frame.publisher] = Publisher(frame.number + frame.count - 1, 0)
        return self._place(frame, contents(frame, hashes(frame)), now_us)

    def admit_forwarded(self, frame: Frame, base: int, now_us: int) -> list[Admission]:
        """Decide about a peer's frame: it keeps its origin and sequence, and what is already here is dropped.

        A stream that is unknown here begins behind `base`. Several admissions: the frame closed a gap. None: it is
        ahead of one.
        """
        if frame.flags & EPHEMERAL:
            return [Passing(frame)]
        stream = self._stream(frame.origin, frame.topic, base)
        if frame.last <= stream.head:
            return [Repeated(None)]
        if stream.gap is None and frame.sequence <= stream.head + 1:
            return [self._continue(stream, frame, stream.head + 1 - frame.sequence, now_us)]
        return self._offer(stream, frame, now_us)

    def learn(self, stream: Stream, head: int) -> None:
        """Somebody has the stream up to `head`."""
        if head > stream.head:
            self._gaps.learn(stream, head)

    def skip(self, stream: Stream, last: int, now_us: int) -> list[Admission]:
        """Everything up to `last` that is missing will never come: go on behind it with what is held."""
        runs = self._gaps.skip(stream, last)
        stream.head = max(stream.head, last)
        self.moves += 1
        return self._released(stream, runs, runs, now_us)

    def rewind(self, stream: Stream, base: int, head: int) -> None:
        """Let a stream of which nothing is here beyond `head` begin earlier."""
        self._gaps.close(stream)
        stream.base, stream.head = base, head
        self.moves += 1

    def missing(self, stream: Stream) -> list[Range]:
        """The ranges of a stream that are known to exist and are not here."""
        return stream.gap.missing() if stream.gap is not None else []

    def _offer(self, stream: Stream, frame: Frame, now_us: int) -> list[Admission]:
        runs = self._gaps.offer(stream, frame)
        return self._released(stream, runs, runs[1:], now_us)

    def _released(
        self, stream: Stream, runs: list[Run[Frame]], waited: list[Run[Frame]], now_us: int
    ) -> list[Admission]:
        """Runs that continue the stream, and which of them had been waiting."""
        found: list[Admission] = [self._continue(stream, frame, offset, now_us) for frame, offset in runs]
        self._gaps.released(stream, waited)
        return found

    def _continue(self, stream: Stream, frame: Frame, known: int, now_us: int) -> Admitted:
        """The frame without its first `known` events continues the stream."""
        if known:
            frame = select(frame, records(frame), range(known, frame.count))._replace(
                number=frame.number + known, sequence=frame.sequence + known
            )
        stream.head = frame.last
        self.moves += 1
        self.window.remember(frame.origin, frame.topic, frame.sequence, contents(frame, hashes(frame)), now_us)
        run = (frame.number, frame.count, frame.sequence)
        return Admitted(frame, stream, first_stored(stream), [run], [], frame.publisher)

    def begin_at(self, origin: str, topic: str, head: int) -> Stream | None:
        """Nobody here wanted the stream up to `head`: it begins behind that. None when it is further already."""
        stream = self._stream(origin, topic, head)
        if stream.stored and stream.head >= head:
            return None
        self._gaps.close(stream)
        stream.base = stream.head = max(head, stream.head)
        self.moves += 1
        return stream

    def _sequence(self, frame: Frame, facts: list[bytes], now_us: int) -> Admitted:
        """Cut duplicates out, and give the rest its place. `facts`: see `contents`."""
        if not self._repeats(facts) or not (window_us := self.window_us(frame.topic)):
            return self._place(frame, facts, now_us)
        stream = self.streams.get((self.origin, frame.topic))
        first = stream.head + 1 if stream is not None else 1
        keep, duplicates = split(frame, facts, self.origin, first, self.window, now_us, window_us)
        if not keep:
            return Admitted(None, None, False, [], duplicates, frame.publisher)
        kept = select(frame, records(frame), keep)._replace(number=frame.number + keep[0])
        placed = self._place(kept, [facts[index] for index in keep], now_us)
        return placed._replace(runs=receipt_runs(frame.number, keep, first), duplicates=duplicates)

    def _place(self, frame: Frame, facts: list[bytes], now_us: int) -> Admitted:
        """Give a frame this node's origin and the next sequences of its topic."""
        topic, flags, hops, publisher, number, _, count, _, events = frame
        origin = self.origin
        stream = self.streams.get((origin, topic)) or self._stream(origin, topic, 0)
        first = stream.head + 1
        stream.head = first + count - 1
        self.entered += count
        self.moves += 1
        self.window.remember(origin, topic, first, facts, now_us)
        new_stream = not stream.stored and first_stored(stream)
        placed = _new(Frame, (topic, flags, hops, publisher, number, first, count, origin, events))
        return _new(Admitted, (placed, stream, new_stream, [(number, count, first)], [], publisher))

    def _repeats(self, facts: list[bytes]) -> bool:
        """Whether any of them was seen before, or comes twice: seldom, and asked of the whole batch at once."""
        return not self.window.none_of(facts) or (len(facts) > 1 and len(set(facts)) < len(facts))

    def _stream(self, origin: str, topic: str, base: int) -> Stream:
        stream = self.streams.get((origin, topic))
        if stream is None:
            stream = Stream(self._next_id, origin, topic, base, base)
            self._next_id += 1
            self.streams[origin, topic] = self.by_id[stream.id] = stream
        return stream
