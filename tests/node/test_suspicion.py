from __future__ import annotations

import pytest

from node.suspicion import Verdict, knobs, verdict

S = 1_000_000


@pytest.mark.parametrize(
    ("linked", "silent_s", "expected"),
    [
        (True, 0, "alive"),
        (True, 5, "alive"),
        (True, 5.1, "suspect"),
        (True, 60, "suspect"),
        (False, 0, "suspect"),
        (False, 10, "suspect"),
        (False, 10.1, "dead"),
    ],
)
def test_silence_and_a_link_decide(linked: bool, silent_s: float, expected: Verdict) -> None:
    assert verdict(knobs(1.0, 10.0), linked, int(silent_s * S)) == expected


@pytest.mark.parametrize(("heartbeat_s", "dead_after_s"), [(1.0, 10.0), (0.1, 0.2), (60.0, 120.0), (0.05, 3600.0)])
def test_what_follows_from_the_two_knobs_is_in_order(heartbeat_s: float, dead_after_s: float) -> None:
    limits = knobs(heartbeat_s, dead_after_s)
    assert limits.heartbeat_us * 3 // 2 <= limits.suspect_after_us == limits.late_after_us < limits.dead_after_us
    assert limits.dead_after_us < limits.forget_after_us


def test_the_effective_values_are_said_in_seconds() -> None:
    assert knobs(1.0, 10.0).described() == {
        "heartbeat_s": 1.0,
        "suspect_after_s": 5.0,
        "dead_after_s": 10.0,
        "forget_after_s": 3600.0,
        "late_after_s": 5.0,
    }


def test_a_sign_that_is_a_little_late_makes_nobody_suspect_where_silence_is_short() -> None:
    limits = knobs(5.0, 10.0)
    assert [verdict(limits, True, int(silent_s * S)) for silent_s in (5.1, 7.5, 7.6)] == ["alive", "alive", "suspect"]


@pytest.mark.parametrize(("heartbeat_s", "dead_after_s"), [(1.0, 1.9), (0.0, 1.0), (-1.0, 10.0)])
def test_knobs_by_which_one_lost_heartbeat_is_a_death_are_refused(heartbeat_s: float, dead_after_s: float) -> None:
    with pytest.raises(ValueError, match="at least twice the heartbeat"):
        knobs(heartbeat_s, dead_after_s)
