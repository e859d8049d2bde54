"""Duplicates: what of a frame is kept, and how the rest is named."""

from __future__ import annotations

import pytest

from mesh.dedup import DedupWindow, Sighting
from node.contents import contents
from node.duplicates import receipt_runs, split
from tests.node.workbench import Author, hashes

NOW, WINDOW_US = 1_000_000_000, 60_000_000


def of(number: int, *payloads: str, known: tuple[str, ...] = (), dedup: bool = True) -> tuple[list[int], list[object]]:
    """What is kept and what is not, of a frame that would get sequences from 41 on; what is known is b.1's, from 7."""
    window = DedupWindow(WINDOW_US)
    before = Author("before").at(1, "A", *known)
    window.remember("b.1", "A", 7, contents(before, hashes(before)), NOW - 1)
    frame = Author().at(number, "A", *payloads, dedup=dedup)
    keep, duplicates = split(frame, contents(frame, hashes(frame)), "a.1", 41, window, NOW, WINDOW_US)
    return keep, list(duplicates)


def test_what_is_known_is_named_with_its_first_sighting_and_the_rest_is_kept() -> None:
    assert of(9, "x", "y", "z", known=("w", "y")) == ([0, 2], [(10, Sighting("b.1", "A", 8, NOW - 1))])


def test_an_event_may_repeat_one_of_its_own_frame() -> None:
    assert of(9, "x", "y", "x") == ([0, 1], [(11, Sighting("a.1", "A", 41, NOW))])


def test_what_opts_out_is_kept_whatever_is_known_of_it() -> None:
    assert of(9, "x", "x", known=("x",), dedup=False) == ([0, 1], [])


@pytest.mark.parametrize(
    ("keep", "runs"),
    [
        ([], []),
        ([0, 1, 2], [(7, 3, 41)]),
        ([0, 2, 3], [(7, 1, 41), (9, 2, 42)]),
        ([1], [(8, 1, 41)]),
    ],
)
def test_numbers_that_follow_each_other_share_a_run_of_receipts(
    keep: list[int], runs: list[tuple[int, int, int]]
) -> None:
    assert receipt_runs(7, keep, 41) == runs
