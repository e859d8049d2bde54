"""What the written evidence must show: laws over calls, receipts and logs, each one a reader can check by hand.

a run           one life of a consumer's process
in a run        no event twice, no stream backwards, whatever was killed around it
between runs    the next one begins behind what the node knew to be settled, never behind what it did not
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import pairwise

from tests.processes.cluster import Row
from tests.proofs.stage import Call, Given, Stream

Range = tuple[int, int]
"""first, last, both included"""


def ranges(sequences: Iterable[int]) -> list[Range]:
    """The numbers as ranges, in order."""
    found: list[Range] = []
    for sequence in sorted(sequences):
        if found and found[-1][1] + 1 == sequence:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found


def by_run(calls: Iterable[Call]) -> dict[int, list[Call]]:
    """The calls of every run, in order."""
    found: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        found[call.run].append(call)
    return found


def by_stream(calls: Iterable[Call]) -> dict[Stream, list[int]]:
    """The sequences of first attempts per stream, in order of the calls."""
    found: dict[Stream, list[int]] = defaultdict(list)
    for call in calls:
        if call.attempt == 1:
            found[call.stream].append(call.sequence)
    return found


def assert_one_content_per_identity(identities: Iterable[tuple[str, str, int]]) -> int:
    """(event id, who, i) from anywhere: no id has two contents, no content two ids. How many events there are."""
    content: dict[str, tuple[str, int]] = {}
    identity: dict[tuple[str, int], str] = {}
    for event, who, i in set(identities):
        assert content.setdefault(event, (who, i)) == (who, i), f"{event} is {content[event]} and {who, i}"
        assert identity.setdefault((who, i), event) == event, f"{who, i} is {identity[who, i]} and {event}"
    return len(content)


def assert_ordered_and_single_in_every_run(name: str, calls: Iterable[Call]) -> None:
    """Concurrency 1: in a run every stream only ascends, and so does every publisher within a topic."""
    for run, mine in by_run(calls).items():
        assert {call.attempt for call in mine} == {1}, f"{name}, run {run}: attempts other than the first"
        for stream, sequences in by_stream(mine).items():
            broken = [pair for pair in pairwise(sequences) if pair[0] >= pair[1]]
            assert not broken, f"{name}, run {run}, {stream}: {broken[:5]} of {len(broken)}"
        indexes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for call in mine:
            indexes[call.stream[1], call.who].append(call.i)
        assert all(numbers == sorted(numbers) for numbers in indexes.values()), f"{name}, run {run}: publisher's order"


def assert_without_hole_in_every_run(name: str, calls: Iterable[Call]) -> None:
    """From a run's first event of a stream on, nothing is left out."""
    for run, mine in by_run(calls).items():
        for stream, sequences in by_stream(mine).items():
            holes = ranges(set(range(sequences[0], sequences[-1] + 1)) - set(sequences))
            assert not holes, f"{name}, run {run}, {stream} lacks {holes[:5]}"


def assert_every_run_continues_the_former(name: str, calls: Iterable[Call]) -> int:
    """A durable consumer: a run takes up no stream later than it was left. How many events were handled again."""
    reached: dict[Stream, int] = {}
    again = 0
    for run, mine in sorted(by_run(calls).items()):
        for stream, sequences in by_stream(mine).items():
            left = reached.get(stream, 0)
            assert sequences[0] <= left + 1, f"{name}, run {run}: {stream} left at {left}, taken up at {sequences[0]}"
            again += sum(sequence <= left for sequence in sequences)
            reached[stream] = max(left, sequences[-1])
    return again


def lacking(calls: Iterable[Call], heads: dict[Stream, int]) -> dict[Stream, list[Range]]:
    """What was never called of the streams, which all begin at 1."""
    had: dict[Stream, set[int]] = {stream: set() for stream in heads}
    for call in calls:
        had[call.stream].add(call.sequence)
    found = {stream: ranges(set(range(1, head + 1)) - had[stream]) for stream, head in heads.items()}
    return {stream: holes for stream, holes in found.items() if holes}


def lost(rows: Iterable[Row], consumer: str) -> dict[Stream, list[Range]]:
    """What the audit names as lost for a consumer; no sequence is named twice."""
    found: dict[Stream, list[int]] = defaultdict(list)
    for row in rows:
        if row["consumer"] == consumer:
            found[row["origin"], row["topic"]] += range(row["first"], row["last"] + 1)
    for stream, sequences in found.items():
        assert len(set(sequences)) == len(sequences), f"{consumer}, {stream}: a loss is recorded twice"
    return {stream: ranges(sequences) for stream, sequences in found.items()}


def count(found: dict[Stream, list[Range]]) -> int:
    """How many events the ranges hold."""
    return sum(last - first + 1 for each in found.values() for first, last in each)


def assert_all_accepted(receipts: Collection[Given]) -> None:
    """Nothing was rejected or taken for a duplicate: every content is new."""
    odd = [given for given in receipts if given.status != "accepted"]
    assert not odd, f"{len(odd)} receipts are not acceptances, first {odd[:3]}"
