"""Retention: what of the log goes, and how long its file becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.retention import Limits, Oldest, Usage, first_kept
from node.room import CHUNK_BYTES
from node.store import Store
from tests.node.power_cut import Disk
from tests.node.workbench import Author, Bench, runs

S = 1_000_000
NOW_US = 100 * S
BATCHES = [
    Oldest(1, 10, 10 * S, 1000),
    Oldest(11, 1, 20 * S, 100),
    Oldest(12, 9, 30 * S, 1000),
    Oldest(21, 5, 40 * S, 500),
]
"""Of 25 events the newest batch is the last of these."""
LIMIT_BYTES = 4 * CHUNK_BYTES
LIMITS = Limits(0, 0, LIMIT_BYTES, 0, 0)


@pytest.mark.parametrize(
    ("limits", "first"),
    [
        ({}, 0),
        ({"age_s": 95}, 0),
        ({"age_s": 75}, 12),
        ({"age_s": 1}, 21),
        ({"events": 25}, 0),
        ({"events": 24}, 11),
        ({"events": 6}, 21),
        ({"events": 1}, 21),
        ({"size_bytes": 5000}, 0),
        ({"size_bytes": 4999}, 11),
        ({"size_bytes": 3950}, 12),
        ({"size_bytes": 1}, 21),
    ],
)
def test_whatever_is_over_a_limit_goes_from_the_front_and_the_newest_batch_stays(
    limits: dict[str, int], first: int
) -> None:
    kept = Limits(0, 0, 0, 0, 0)._replace(**limits)
    assert first_kept(BATCHES, Usage(26, 5000), kept, NOW_US) == first


def test_of_a_log_without_batches_nothing_goes() -> None:
    assert first_kept([], Usage(1, 5000), Limits(1, 1, 1, 0, 0), NOW_US) == 0


def test_a_turn_of_megabytes_takes_the_room_of_what_it_displaces(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=LIMITS)
    author = Author()
    bench.greet(author)
    text = "x" * 5000
    for frames in [50] * 20 + [400, 10, 400, 10]:
        bench.turn(*(author.frame("A", f"{author.number} {text}") for _ in range(frames)), later_s=0.2)
    assert bench.store.used_bytes() > LIMIT_BYTES / 2
    assert bench.store.size_bytes() <= LIMIT_BYTES + CHUNK_BYTES
    assert bench.ask("audit")["balanced"]


@pytest.mark.parametrize(("frames", "size"), [(1, 300_000), (3, 100_000), (60, 100)])
def test_a_log_at_its_limit_makes_room_on_a_full_disk_for_what_was_refused(
    tmp_path: Path, frames: int, size: int
) -> None:
    disk = Disk("full", 0)
    bench = Bench(tmp_path, store=Store(tmp_path / "a.db", vfs=disk.name), limits=LIMITS)
    author = Author()
    bench.greet(author)
    for _ in range(90):
        bench.turn(*(author.frame("A", f"{author.number} {5000 * 'x'}") for _ in range(10)), later_s=0.2)
    bench.store.fold()
    assert LIMIT_BYTES - CHUNK_BYTES / 10 < bench.store.used_bytes() <= LIMIT_BYTES
    assert bench.path.stat().st_size == LIMIT_BYTES
    disk.longest = LIMIT_BYTES
    refused = 0
    for _ in range(20):
        coming = [author.frame("A", f"{author.number} {size * 'x'}") for _ in range(frames)]
        bench.turn(later_s=0.2)  # the log is looked at, and is within its limit
        while not runs(bench.turn(*coming), author):
            refused += 1
            bench.turn()
            assert bench.node.trouble is None
            assert refused < 40
    assert refused
    assert bench.store.used_bytes() > LIMIT_BYTES * 3 / 4
    assert bench.ask("audit")["balanced"]
    bench.store.close()
    disk.unregister()
