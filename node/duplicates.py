"""Duplicates: the events of a frame that are known by their content are cut out of it. Rules only.

    frame      number 7  8  9  10        kept     7  9  10 ──▶ sequences 41 42 43, receipt runs (7, 1, 41) (9, 2, 42)
    known             ·  ✓  ·  ·         cut out  8        ──▶ a duplicate of what was seen first

They are cut out where they enter, so that sequences stay dense. An event may repeat one of its own frame; one that opts
out is kept whatever is known of it (`node.contents`). Seldom, and never in the usual frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.dedup import DedupWindow, Sighting
from mesh.frame import Frame
from mesh.records import records
from node.contents import opted_out


def split(
    frame: Frame, facts: Sequence[bytes], origin: str, first: int, window: DedupWindow, now_us: int, window_us: int
) -> tuple[list[int], list[tuple[int, Sighting]]]:
    """Indexes of what is news, and the duplicates (number, first sighting) with what they repeat.

    `facts`: see `contents`. What is news will be `first`, `first` + 1 … of the topic under this `origin`.
    """
    keep: list[int] = []
    duplicates: list[tuple[int, Sighting]] = []
    fresh: dict[bytes, int] = {}
    for index, (record, fact) in enumerate(zip(records(frame), facts, strict=True)):
        sighting = window.find(fact, now_us, window_us)
        if fact in fresh:
            sighting = Sighting(origin, frame.topic, fresh[fact], now_us)
        if sighting is None or opted_out(record):
            fresh.setdefault(fact, first + len(keep))
            keep.append(index)
        else:
            duplicates.append((frame.number + index, sighting))
    return keep, duplicates


def receipt_runs(number: int, keep: Sequence[int], first: int) -> list[tuple[int, int, int]]:
    """Receipt runs (number, count, sequence) of the kept indexes: consecutive numbers share a run."""
    runs: list[tuple[int, int, int]] = []
    for order, index in enumerate(keep):
        if runs and runs[-1][0] + runs[-1][1] == number + index:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, runs[-1][2])
        else:
            runs.append((number + index, 1, first + order))
    return runs
