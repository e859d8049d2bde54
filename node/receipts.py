"""Receipts: the node's word to a publisher, gathered over one turn and sent as one message per publisher.

    admitted frames of one turn            one directed message
    17..40 A 1001.., 41..41 B 7        ▶   runs [[17, 24, "A", 1001], [41, 1, "B", 7]]

Consecutive frames of one topic melt into one run, so a burst is receipted by a few integers. A frame that was admitted
before is receipted again from the log, under the origin it got then (the node may have taken a new generation since):
its row is found by going back from the publisher's last one, once per resend and not once per frame. A row that holds
all numbers of the frame holds them one after the other: several frames that melted into one had no duplicates, and the
row of a frame that had some is shorter than the frame.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from mesh.dedup import Sighting
from mesh.errors import MalformedFrame
from mesh.event import EventId
from mesh.frame import Frame
from mesh.records import hashes, with_hashes
from node.changes import LogRow
from node.contents import contents
from node.relay import Publisher
from node.state import State
from node.turn import Turn


@dataclass(slots=True)
class _Message:
    """One publisher's receipts of this turn, in the shape of `mesh.requests`."""

    runs: list[list[int | str]] = field(default_factory=list)
    duplicates: list[tuple[int, str]] = field(default_factory=list)
    rejected: list[tuple[int, int, str, str]] = field(default_factory=list)
    resend: int | None = None


class Receipts:
    """The receipts of one node."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._messages: dict[tuple[bytes, str], _Message] = {}
        self._former: dict[bytes, list[LogRow]] = {}

    def accepted(self, publisher: bytes, topic: str, runs: list[tuple[int, int, int]], origin: str = "") -> None:
        """Events got their sequences: (number, count, first sequence), of this node's origin or a former one of it."""
        mine = self._of(publisher, origin).runs
        for number, count, sequence in runs:
            last = mine[-1] if mine else None
            if last and last[2] == topic and last[0] + last[1] == number and last[3] + last[1] == sequence:  # type: ignore[operator]
                last[1] += count  # type: ignore[operator]
            else:
                mine.append([number, count, topic, sequence])

    def duplicates(self, publisher: bytes, found: list[tuple[int, Sighting]]) -> None:
        """Events whose content was announced before: (number, where)."""
        self._of(publisher).duplicates += [(number, _id(sighting)) for number, sighting in found]

    def rejected(self, publisher: bytes, number: int, count: int, code: str, message: str) -> None:
        """Events that will never be taken."""
        self._of(publisher).rejected.append((number, count, code, message))

    def resend(self, publisher: bytes, first: int) -> None:
        """Frames before the one that came did not arrive."""
        self._of(publisher).resend = first

    def admitted(self, publishers: Iterable[bytes]) -> None:
        """The publishers have gone on to news: their former rows need not be kept at hand."""
        if self._former:
            for publisher in publishers:
                self._former.pop(publisher, None)

    def again(self, frame: Frame, publisher: Publisher, turn: Turn) -> None:
        """Receipt a frame that was admitted before (perhaps in this turn), as it was receipted then."""
        former = self._former.get(frame.publisher)
        if not former or frame.number < former[0].number:
            rows = self._state.log.receipts(frame.publisher, publisher.position, frame.number)
            fresh = (row for row in turn.changes.log if row.publisher == frame.publisher)
            former = self._former[frame.publisher] = sorted([*rows, *fresh], key=_number)
        at = bisect_right(former, frame.number, key=_number) - 1
        row = former[at] if at >= 0 else None
        if row is not None and frame.number + frame.count <= row.number + row.count:
            run = (frame.number, frame.count, row.sequence + frame.number - row.number)
            self.accepted(frame.publisher, frame.topic, [run], self._origin(row))
        else:
            self._sort_out(frame, former, turn.now.mono_us)

    def _sort_out(self, frame: Frame, former: list[LogRow], now_us: int) -> None:
        """Some events of the frame were duplicates then: tell them from the others by their content.

        Or all of it was rejected, and is again.
        """
        try:
            _, own = with_hashes(frame)
        except MalformedFrame as error:
            self.rejected(frame.publisher, frame.number, frame.count, "hash", str(error))
            return
        numbers = range(frame.number, frame.number + frame.count)
        at = bisect_left(former, frame.number, key=_number)
        row = former[at] if at < len(former) and former[at].number in numbers else None
        logged = self._state.log.frame(row) if row else None
        kept = hashes(logged) if logged else []
        sequences = {hash_: row.sequence + index for index, hash_ in enumerate(kept)} if row else {}
        window = self._state.relay.window
        for number, hash_, fact in zip(numbers, own, contents(frame, own), strict=True):
            sequence = sequences.pop(hash_, None)
            if sequence is not None:
                self.accepted(frame.publisher, frame.topic, [(number, 1, sequence)], self._origin(row))
            else:
                sighting = window.find(fact, now_us, window.keep_us)
                self._of(frame.publisher).duplicates.append((number, _id(sighting) if sighting else ""))

    def send(self, turn: Turn) -> None:
        """Put what was gathered into the turn, and begin anew."""
        for (publisher, origin), message in self._messages.items():
            if message.runs or message.duplicates or message.rejected:
                turn.direct(
                    publisher,
                    {
                        "t": "receipts",
                        "origin": origin,
                        "runs": message.runs,
                        "duplicates": message.duplicates,
                        "rejected": message.rejected,
                    },
                )
            if message.resend is not None:
                turn.direct(publisher, {"t": "resend", "first": message.resend})
        self._messages.clear()

    def _of(self, publisher: bytes, origin: str = "") -> _Message:
        key = (publisher, origin or self._state.origin)
        message = self._messages.get(key)
        if message is None:
            message = self._messages[key] = _Message()
        return message

    def _origin(self, row: LogRow | None) -> str:
        stream = self._state.relay.by_id.get(row.stream) if row else None
        return stream.origin if stream else ""


def _number(row: LogRow) -> int:
    return row.number


def _id(sighting: Sighting) -> str:
    return str(EventId(sighting.origin, sighting.topic, sighting.sequence))
