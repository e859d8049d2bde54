"""Moments that nodes with the same clock share."""

from __future__ import annotations

import pytest

from node.clock import Now


@pytest.mark.parametrize(
    ("wall_us", "away_us"), [(1_000_000, 1_000_000), (1_000_001, 999_999), (1_999_999, 1), (999_999, 1)]
)
def test_a_beat_is_at_the_next_whole_period_of_the_wall_clock_and_never_further_away(
    wall_us: int, away_us: int
) -> None:
    assert Now(wall_us, 77).beat(1_000_000) == 77 + away_us
