"""Failures: what is told of an event whose handler failed, in text that everything on its way can carry.

    exception ──▶ type, message, traceback ──legible──▶ Failure ──▶ report (JSON) ──▶ letter (SQLite) ──▶ terminal

An exception is the user's own code: its message may be a gigabyte, hold half a surrogate pair or a NUL, or raise while
it is read. None of that may cost the report, because then the event would be neither settled nor a letter, and its
consumer would stand still. So lone surrogates and control characters are spelled out, and every text is cut to a bound
counted in bytes as JSON: that is what a report's own bound is made of.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from time import monotonic
from typing import Literal

import orjson

from mesh.jobs import Job
from mesh.limits import TRACEBACK_CHARS_MAX
from mesh.requests import Failure

ERROR_TYPE_BYTES_MAX = 200
"""What is kept of the name of an exception's class."""

ERROR_BYTES_MAX = 2000
"""What is kept of an exception's message: its beginning."""

FRAMES_MAX = 50
"""What is kept of a call stack: its end. A deep recursion is long in coming and says the same again and again."""

_ILLEGIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ELLIPSIS = "…"


def failure_of(job: Job, error: BaseException) -> Failure:
    """The failure an exception stands for."""
    name, message = _read(lambda: _name_of(type(error)), "name"), _read(lambda: str(error), "message")
    return _failure(job, "error", name, message, traceback_of(error))


def timeout_failure(job: Job, timeout_s: float, stack: str) -> Failure:
    """The failure of a handler that exceeded its time. `stack`: where it was at that moment."""
    return _failure(job, "timeout", "TimeoutError", f"the handler ran longer than {timeout_s:g} s", stack)


def traceback_of(error: BaseException) -> str:
    """The end of an exception's traceback."""
    return _read(lambda: "".join(traceback.format_exception(error, limit=-FRAMES_MAX)), "traceback")


def legible(text: str, bytes_max: int, *, end: bool = False) -> str:
    """The beginning of a text, or its `end`: at most `bytes_max` bytes as JSON, and nothing JSON cannot carry."""
    part = _ILLEGIBLE.sub(_spell, text[-bytes_max:] if end else text[:bytes_max])
    whole = len(text) <= bytes_max
    while (size := len(orjson.dumps(part)) - 2) > bytes_max or not (whole or size + 3 <= bytes_max):
        whole, keep = False, min(len(part) - 1, len(part) * (bytes_max - 3) // size)
        part = part[len(part) - keep :] if end else part[:keep]
    return part if whole else _ELLIPSIS + part if end else part + _ELLIPSIS


def _failure(job: Job, kind: Literal["error", "timeout"], error_type: str, error: str, stack: str) -> Failure:
    return Failure(
        sequence=job.event.sequence,
        attempt=job.event.attempt,
        kind=kind,
        error_type=legible(error_type, ERROR_TYPE_BYTES_MAX),
        error=legible(error, ERROR_BYTES_MAX),
        traceback=legible(stack, TRACEBACK_CHARS_MAX, end=True),
        elapsed_s=round(monotonic() - job.started, 6),
    )


def _read(read: Callable[[], str], what: str) -> str:
    """What an exception says of itself, as a plain string; it may raise anything while it is asked."""
    try:
        return "".join((read(),))
    except BaseException as second:
        return f"(its {what} could not be read: {type(second).__name__})"


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _spell(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
