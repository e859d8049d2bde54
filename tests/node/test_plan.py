"""The plan: what becomes of an operator's settings."""

from __future__ import annotations

from pathlib import Path

from node.config import NodeSettings
from node.plan import plan_of
from node.retention import Limits


def test_the_first_pattern_that_matches_gives_a_topics_window(tmp_path: Path) -> None:
    windows = {"gpu.hot": 5.0, "gpu.*": 600.0, "A": 0.0}
    plan = plan_of(NodeSettings(data_dir=tmp_path, dedup_window_s=60.0, dedup_windows=windows))
    topics = ("gpu.hot", "gpu.cold", "A", "B", "gpu.hot")
    assert [plan.dedup_window_us(topic) for topic in topics] == [5_000_000, 600_000_000, 0, 60_000_000, 5_000_000]


def test_what_is_kept_of_contents_is_as_long_as_the_longest_window(tmp_path: Path) -> None:
    for windows, keep_us in (({}, 60_000_000), ({"A": 1.0}, 60_000_000), ({"A": 600.0}, 600_000_000)):
        plan = plan_of(NodeSettings(data_dir=tmp_path, dedup_window_s=60.0, dedup_windows=windows))
        assert plan.dedup_keep_us == keep_us


def test_what_an_operator_chose_is_what_the_rules_are_given(tmp_path: Path) -> None:
    settings = NodeSettings(
        data_dir=tmp_path, peers=("tcp://b:1",), leaf=True, critical=("A",), replicate=("B*",), log_events=7
    )
    plan = plan_of(settings)
    assert (plan.peers, plan.role, plan.critical, plan.replicate) == (("tcp://b:1",), "leaf", ("A",), ("B*",))
    assert plan.limits == Limits(
        settings.log_age_s, 7, settings.log_bytes, settings.letters_age_s, settings.letters_max
    )
