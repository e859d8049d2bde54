from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InvalidOption
from mesh.retry import GiveUp, RetryPolicy, TryAgain, after_failure, check_policy, delay_s


@pytest.mark.parametrize(
    ("first_s", "cap_s", "attempt", "draw", "after_s"),
    [
        (1.0, 60.0, 1, 0.5, 0.5),
        (1.0, 60.0, 2, 0.5, 1.0),
        (1.0, 60.0, 3, 0.5, 2.0),
        (1.0, 60.0, 6, 0.5, 16.0),
        (1.0, 60.0, 7, 0.5, 30.0),
        (1.0, 60.0, 1000, 0.5, 30.0),
        (1.0, 60.0, 10**9, 0.25, 15.0),
        (1.0, 60.0, 5, 0.0, 0.0),
        (0.0, 60.0, 9, 0.9, 0.0),
        (0.0, 0.0, 1, 0.9, 0.0),
        (2.0, 2.0, 4, 0.5, 1.0),
        (1e308, 1e308, 61, 0.5, 5e307),
    ],
)
def test_the_delay_doubles_up_to_the_cap_and_is_scaled_by_the_draw(first_s, cap_s, attempt, draw, after_s):
    assert delay_s(first_s, cap_s, attempt, draw) == after_s


@pytest.mark.parametrize(
    ("attempts", "attempt", "decision"),
    [
        (5, 1, TryAgain(0.5)),
        (5, 4, TryAgain(4.0)),
        (5, 5, GiveUp()),
        (5, 6, GiveUp()),
        (1, 1, GiveUp()),
        (2, 1, TryAgain(0.5)),
    ],
)
def test_an_event_is_tried_as_often_as_the_policy_says_and_then_given_up(attempts, attempt, decision):
    given_back = after_failure(RetryPolicy(attempts, 1.0, 60.0), attempt, 0.5)
    assert (type(given_back), given_back) == (type(decision), decision)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_no_delay_is_negative_or_above_the_cap(first_s, more_s, attempt, draw):
    assert 0 <= delay_s(first_s, first_s + more_s, attempt, draw) <= first_s + more_s


@pytest.mark.parametrize(
    ("attempts", "backoff", "policy"),
    [(5, (1.0, 60.0), (5, 1.0, 60.0)), (1, (0, 0), (1, 0.0, 0.0)), (2, (3, 3), (2, 3.0, 3.0))],
)
def test_a_policy_is_made_of_what_a_user_gives(attempts, backoff, policy):
    assert check_policy(attempts, backoff) == RetryPolicy(*policy)


@pytest.mark.parametrize(
    ("attempts", "backoff", "message"),
    [
        (0, (1.0, 60.0), "attempts is 0; an event is tried at least once"),
        (-1, (1.0, 60.0), "attempts is -1; an event is tried at least once"),
        (5, (-1.0, 60.0), "backoff is"),
        (5, (2.0, 1.0), "backoff is"),
        (5, (nan, 1.0), "backoff is"),
        (5, (1.0, nan), "backoff is"),
        (5, (1.0, inf), "backoff is"),
        (5, (inf, inf), "backoff is"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(attempts, backoff, message):
    with pytest.raises(InvalidOption, match=f"^{message}"):
        check_policy(attempts, backoff)
