"""Batches as they come from a node, and a runner's word on their events, for tests without sockets."""

from __future__ import annotations

import threading
from typing import Any

from mesh.batch import Batch
from mesh.frame import Frame, content_hash, decode, encode, pack_record
from mesh.jobs import Dropped, Job, Marker, Piece, Verdict
from mesh.marks import Marks
from mesh.streams import Key
from mesh.topic import check_topic

KEY: Key = ("n.1", "A")


def frame_of(first: int, count: int, topic: str = "A", body: bytes = b'{"x":1}') -> Frame:
    """A frame of `count` events from sequence `first` on, however large that is."""
    one = pack_record(5, content_hash(check_topic(topic), body), b"", body)
    return Frame(topic, 0, 0, b"p" * 8, first, first, count, "n.1", one * count)


def batch(first: int, count: int = 1, topic: str = "A", position: int = 0, attempt: int = 1) -> Batch:
    """A batch of `count` events from sequence `first` on."""
    return Batch(decode(encode(frame_of(first, count, topic))), position, attempt=attempt)


def piece(first: int, count: int = 1, letter: int | None = None, attempt: int = 1) -> Piece:
    """The whole of a batch; a redelivery when `letter` is given."""
    return Piece(batch(first, count, attempt=attempt), 0, count, None if letter else KEY, letter)


def marker(tmp_path: Any, durable: bool = False) -> Marker:
    """A marker without a node: nothing is written."""
    return Marker(Marks(tmp_path / "marks"), 1, durable)


class Told:
    """What a runner has said, in order: ("ok", sequence) · ("failed", sequence, error type) · ("dropped", sequence)."""

    def __init__(self) -> None:
        self.words: list[tuple[Any, ...]] = []
        self.runs: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def finished(self, job: Job, verdict: Verdict) -> None:
        """Takes the verdict on one event."""
        what = job.letter if job.letter is not None else job.event.sequence
        word = ("ok", what) if verdict is None else ("dropped", what)
        if verdict is not None and not isinstance(verdict, Dropped):
            word = ("failed", what, verdict["error_type"])
        with self._lock:
            self.words.append(word)

    def passed(self, key: Key | None, first: int, count: int) -> None:
        """Takes a run of successes."""
        with self._lock:
            self.runs.append((first, count))
            self.words += [("ok", sequence) for sequence in range(first, first + count)]
