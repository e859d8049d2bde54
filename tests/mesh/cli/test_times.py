"""Times as people write and read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mesh.cli.times import age, moment, parse_rate, parse_since, parse_span, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("1.5", 1.5),
        (".5s", 0.5),
        ("15m", 900.0),
        ("2h", 7200.0),
        ("2 H", 7200.0),
        (" 1.5d ", 129600.0),
        ("1w", 604800.0),
    ],
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5", "5 minutes", "1h30m", "nan", "inf", "1e3", "²"])
def test_what_is_no_span_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no span of time; write seconds, or a number with s, m, h, d or w"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("now", "now"),
        ("earliest", "earliest"),
        ("15m", 900.0),
        ("30", 30.0),
        ("2026-01-05T12:00:00Z", datetime(2026, 1, 5, 12, tzinfo=UTC)),
        ("2026-01-05 12:00:00.5+02:00", datetime(2026, 1, 5, 12, 0, 0, 500_000, timezone(timedelta(hours=2)))),
    ],
)
def test_since_is_a_word_a_span_or_a_time(text: str, since: object) -> None:
    assert parse_since(text) == since


def test_a_time_without_a_zone_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_since("2026-01-05T12:00") == datetime(2026, 1, 5, 3, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "never", "NOW", "2026-13-01", "12:00", "-15m"])
def test_what_is_no_point_in_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no point in time; write now, earliest, 15m, 2h, seconds, or a time"):
        parse_since(text)


@pytest.mark.parametrize(("text", "per_second"), [("5", 5.0), ("5/s", 5.0), ("0.5 / s", 0.5)])
def test_a_rate_is_a_number_per_second(text: str, per_second: float) -> None:
    assert parse_rate(text) == per_second


@pytest.mark.parametrize("text", ["0", "0.0/s", "-1", "5/m", "", "fast"])
def test_what_is_no_rate_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate; write a number above 0, such as 5 or 5/s"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-3.0, "0s"),
        (0.0, "0s"),
        (0.44, "0.4s"),
        (9.99, "9.9s"),
        (10.0, "10s"),
        (59.9, "59s"),
        (60.0, "1m00s"),
        (3599.0, "59m59s"),
        (3600.0, "1h00m"),
        (86399.0, "23h59m"),
        (90000.0, "1d01h"),
    ],
)
def test_an_age_has_two_units_at_most(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


def test_a_moment_of_today_is_a_time_of_day_and_any_other_has_its_date() -> None:
    noon = datetime(2026, 1, 5, 12, 3, 4).timestamp()
    assert moment(noon, noon + 3600) == "12:03:04"
    assert moment(noon, noon + 86400) == "2026-01-05 12:03:04"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (80 << 10, "80.0 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 50, "1024.0 TiB"),
    ],
)
def test_a_size_has_the_largest_unit_that_keeps_a_digit_before_the_point(count: int, text: str) -> None:
    assert size(count) == text
