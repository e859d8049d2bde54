from __future__ import annotations

from node.durations import BOUNDS_S, Durations


def test_a_duration_counts_in_its_bucket_and_in_all_above() -> None:
    durations = Durations()
    for duration_us in (0, 500, 501, 60_000_000):
        durations.note(duration_us)
    histogram = durations.histogram()
    assert histogram.cumulative == (2, *[3] * (len(BOUNDS_S) - 1), 4)
    assert histogram.sum_s == 60.001001


def test_without_turns_all_is_zero() -> None:
    assert Durations().histogram() == ((0,) * (len(BOUNDS_S) + 1), 0.0)
