"""Times as people write and read them: spans, ages, moments, and the `since` of a subscription.

    written   15m  2h  1.5d  90            → seconds
              now  earliest  2026-01-05T12:00  2026-01-05T12:00Z  15m   → `since`, as `EventBus.subscribe` takes it
    read      0.4s  59s  4m10s  2h05m  3d04h           an age
              12:03:04  or  2026-01-05 12:03:04        a moment, in the reader's time zone

Nothing here reads a clock.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

Since = Literal["now", "earliest"] | datetime | float

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([smhdw]?)", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:/\s*s)?", re.IGNORECASE)


def parse_span(text: str) -> float:
    """Seconds of `15m`, `2h`, `1.5d`, `1w` or plain seconds. Raises `ValueError` with what is expected."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no span of time; write seconds, or a number with s, m, h, d or w, such as 15m")
    return float(found[1]) * _UNITS_S[found[2].lower()]


def parse_since(text: str) -> Since:
    """`now`, `earliest`, a span (that long ago), or an ISO time; without a zone it is local time."""
    word = text.strip()
    if word in ("now", "earliest"):
        return "now" if word == "now" else "earliest"
    if _SPAN.fullmatch(word):
        return parse_span(word)
    try:
        return datetime.fromisoformat(word).astimezone()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is no point in time; write now, earliest, 15m, 2h, seconds, or a time such as 2026-01-05T12:00"
        ) from None


def parse_rate(text: str) -> float:
    """Things per second of `5` or `5/s`; above 0. Raises `ValueError` with what is expected."""
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise ValueError(f"{text!r} is no rate; write a number above 0, such as 5 or 5/s")
    return float(found[1])


def age(seconds: float | None) -> str:
    """A span in two units at most; "-" when it is not known."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{int(seconds * 10) / 10:g}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def moment(time_s: float, now_s: float) -> str:
    """A wall-clock moment, in local time: the time of day if it is today's, else with its date."""
    then, today = datetime.fromtimestamp(time_s), datetime.fromtimestamp(now_s).date()
    return then.strftime("%H:%M:%S" if then.date() == today else "%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Bytes, in the largest binary unit that keeps a digit before the point."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        del units[0]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
