"""Moves: what a program's report says of one cursor, checked before anything is written.

    6 → 12, failed 8, lost 10..11       passed 7 8 9 10 11 12 = handled 7 9 12 + failed 8 + lost 10 11

Every event that a move passes is counted once: it was handled, failed, lost, or buried before (`node.crashes`),
whatever the report says twice. What is behind the cursor already is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from mesh.errors import MalformedFrame
from mesh.requests import Failure
from node.delivery import ATTEMPTS_MAX, Following, buried
from node.streams import Stream


class BeyondHead(MalformedFrame):
    """A move that goes beyond the end of its stream, which is `head` here."""

    def __init__(self, detail: str, head: int) -> None:
        super().__init__("report", detail)
        self.head = head


class Settled(NamedTuple):
    """What one move of a report says, checked: the new cursor and what became of the events it passed."""

    stream: Stream
    cursor: int
    handled: int
    buried: int
    failures: list[Failure]
    lost: list[tuple[int, int]]


def settle(following: Following, stream: Stream, cursor: int, move: Mapping[str, Any]) -> Settled | None:
    """Check one move `from → to` of a cursor; None when it says nothing new.

    `cursor` is where this turn's earlier reports have left it. Raises `MalformedFrame` when the move cannot be true.
    """
    first, last = int(move["from"]), int(move["to"])
    said = f"{following.consumer} moves {stream.topic} {first} → {last}; cursor {cursor}, head {stream.head}"
    if first > cursor:
        raise MalformedFrame("report", said)
    if last > stream.head:
        raise BeyondHead(said, stream.head)
    if last <= cursor:
        return None
    skipped = [sequence for sequence in buried(following, stream) if cursor < sequence <= last]
    lost = _within(move["lost"], cursor + 1, last, skipped)
    every = {failure["sequence"]: failure for failure in map(check_failure, move["failures"])}
    elsewhere = [*lost, *((each, each) for each in skipped)]
    failures = [every[each] for each in sorted(every) if cursor < each <= last and not _holds(elsewhere, each)]
    handled = last - cursor - len(skipped) - len(failures) - sum(end - first + 1 for first, end in lost)
    return Settled(stream, last, handled, len(skipped), failures, lost)


def _within(ranges: Iterable[tuple[int, int]], first: int, last: int, without: Iterable[int]) -> list[tuple[int, int]]:
    """The parts of the ranges inside `first`..`last` around `without`, in order, no overlap: each event counts once."""
    parts: list[tuple[int, int]] = []
    for begin, end in sorted((int(begin), int(end)) for begin, end in ranges):
        parts += _around(max(begin, first), min(end, last), without)
        first = max(first, end + 1)
    return parts


def _around(begin: int, end: int, without: Iterable[int]) -> list[tuple[int, int]]:
    pieces = []
    for stop in [*(sequence for sequence in without if begin <= sequence <= end), end + 1]:
        if begin < stop:
            pieces.append((begin, stop - 1))
        begin = stop + 1
    return pieces


def _holds(ranges: Iterable[tuple[int, int]], sequence: int) -> bool:
    return any(first <= sequence <= last for first, last in ranges)


def check_failure(failure: Mapping[str, Any]) -> Failure:
    """A failure as it travelled, with every field that is kept checked. Raises `MalformedFrame`."""
    sequence, attempt, kind = failure["sequence"], failure["attempt"], failure["kind"]
    texts = [failure["error_type"], failure["error"], failure["traceback"]]
    numbered = type(sequence) is int and type(attempt) is int and 1 <= attempt <= ATTEMPTS_MAX
    worded = kind in ("error", "timeout") and all(isinstance(each, str) for each in texts)
    if not numbered or not worded or not isinstance(failure["elapsed_s"], int | float):
        raise MalformedFrame("report", f"a failure of event {sequence!r} has a field of a wrong type or range")
    return cast(Failure, failure)
