"""Options of a subscription: how they travel, and what is refused with a sentence that says what to do."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mesh.errors import InvalidOption, InvalidTopic
from mesh.options import CONSUMER_CHARS_MAX, Options, check_options, since_wire

GIVEN = {
    "pattern": "gpu.*",
    "consumer": "c",
    "durable": False,
    "since": "now",
    "attempts": 5,
    "timeout": 600,
    "backoff": (1, 60),
    "concurrency": 1,
    "queue": 1000,
}


def test_checked_options_are_what_was_given_in_the_types_that_travel():
    options = check_options(**GIVEN)
    assert isinstance(options, Options)
    assert (options.pattern.text, options.consumer, options.since) == ("gpu.*", "c", "now")
    assert (options.policy, options.timeout_s) == ((5, 1.0, 60.0), 600.0)
    assert isinstance(options.timeout_s, float)


@pytest.mark.parametrize(
    ("since", "wire"),
    [
        ("now", "now"),
        ("earliest", "earliest"),
        (0, {"ago_us": 0}),
        (1.5, {"ago_us": 1_500_000}),
        (datetime(1970, 1, 2, tzinfo=UTC), {"time_us": 86_400_000_000}),
        (datetime(1970, 1, 2, 1, tzinfo=timezone(timedelta(hours=1))), {"time_us": 86_400_000_000}),
    ],
)
def test_a_beginning_travels_as_a_word_a_moment_or_an_age(since, wire):
    assert since_wire(since) == wire


@pytest.mark.parametrize("since", ["yesterday", None, True, -1, math.inf, math.nan, datetime(2026, 1, 1), [1]])
def test_any_other_beginning_is_refused(since):
    with pytest.raises(InvalidOption, match="since is"):
        since_wire(since)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("pattern", "a b", InvalidTopic),
        ("consumer", "", InvalidOption),
        ("consumer", "x" * (CONSUMER_CHARS_MAX + 1), InvalidOption),
        ("consumer", "line\nbreak", InvalidOption),
        ("consumer", "half \ud800", InvalidOption),
        ("attempts", 0, InvalidOption),
        ("timeout", 0, InvalidOption),
        ("timeout", -1, InvalidOption),
        ("timeout", math.inf, InvalidOption),
        ("timeout", math.nan, InvalidOption),
        ("backoff", (2, 1), InvalidOption),
        ("concurrency", 0, InvalidOption),
        ("queue", 0, InvalidOption),
    ],
)
def test_a_value_out_of_range_is_refused(option, value, error):
    with pytest.raises(error):
        check_options(**{**GIVEN, option: value})
