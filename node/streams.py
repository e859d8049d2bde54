"""Streams of a node: what is here of each, and the gaps of those of which more is known. Rules only.

    stream b.1 A   base 40 ─── in the log ───▶ head 57 · missing 58..60 · held 61..64 · known 70
                                                         └ `node.repair` asks for it

The rule is that of `mesh.streams`, and a stream has a tracker only while it has a gap, so that the usual frame costs
one comparison. What waits ahead of gaps is bounded by the tracker for each stream, and here for all together.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.frame import Frame
from mesh.streams import Run, StreamTracker

HELD_BYTES_MAX = 64 << 20
"""Frames kept ahead of gaps, over all streams. More are not kept but asked for again when the gap is closed."""


class Stream:
    """One origin's events of one topic at this node. `base` is the sequence before the first one held here.

    `gap` is there while more is known of the stream than is here without a gap; `stored` says that the store has it.
    """

    __slots__ = ("base", "gap", "head", "id", "origin", "stored", "topic")

    def __init__(self, id_: int, origin: str, topic: str, base: int, head: int) -> None:
        self.id = id_
        self.origin = origin
        self.topic = topic
        self.base = base
        self.head = head
        self.gap: StreamTracker[Frame] | None = None
        self.stored = False


def first_stored(stream: Stream) -> bool:
    """Whether the store is about to hear of the stream for the first time."""
    new, stream.stored = not stream.stored, True
    return new


class Gaps:
    """The streams that have a gap: `open`, by id. `held_bytes` waits ahead of them, and is counted for each.

    Who takes what `offer` and `skip` let go on says so (`released`), once the stream has it.
    """

    def __init__(self) -> None:
        self.open: dict[int, Stream] = {}
        self.held_bytes = 0
        self._held_bytes: dict[int, int] = {}

    def learn(self, stream: Stream, head: int) -> None:
        """Somebody has the stream up to `head`, which is beyond its head here."""
        self._of(stream).learn(head)

    def offer(self, stream: Stream, frame: Frame) -> list[Run[Frame]]:
        """A frame of a stream that has a gap, or gets one by it: what continues the stream, `frame` first."""
        gap = self._of(stream)
        if frame.sequence > gap.head + 1 and self.held_bytes + len(frame.events) > HELD_BYTES_MAX:
            gap.learn(frame.last)
            return []
        before = gap.held(frame.sequence)
        runs = gap.offer(frame.sequence, frame.count, frame)
        self._count(stream, _size_bytes(gap.held(frame.sequence)) - _size_bytes(before))
        return runs

    def _count(self, stream: Stream, more_bytes: int) -> None:
        """So much more waits ahead of a stream's gap."""
        self._held_bytes[stream.id] = self._held_bytes.get(stream.id, 0) + more_bytes
        self.held_bytes += more_bytes

    def skip(self, stream: Stream, last: int) -> list[Run[Frame]]:
        """Nothing that is missing up to `last` will come: what continues the stream behind it."""
        return self._of(stream).skip(last)

    def released(self, stream: Stream, waited: Sequence[Run[Frame]]) -> None:
        """The stream has gone on; these of its frames had been waiting."""
        self._count(stream, -sum(_size_bytes(run.item) for run in waited))
        gap = self._of(stream)
        if gap.known == gap.head:
            self.close(stream)

    def close(self, stream: Stream) -> None:
        """Nothing is missing of the stream, and nothing waits."""
        stream.gap = None
        self.open.pop(stream.id, None)
        self.held_bytes -= self._held_bytes.pop(stream.id, 0)

    def _of(self, stream: Stream) -> StreamTracker[Frame]:
        if stream.gap is None:
            stream.gap = StreamTracker(stream.head)
            self.open[stream.id] = stream
        return stream.gap


def _size_bytes(frame: Frame | None) -> int:
    return 0 if frame is None else len(frame.events)
