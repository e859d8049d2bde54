"""Waiting for what other threads or processes bring about: a condition with a deadline, never a bare sleep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

Value = TypeVar("Value")

DEADLINE_S = 15.0
LOOK_EVERY_S = 0.01


def eventually(
    condition: Callable[[], Value | None], deadline_s: float = DEADLINE_S, what: str = "the condition"
) -> Value:
    """The first true value of `condition()`; fails with the last value when none came within `deadline_s` seconds."""
    end, pause = monotonic() + deadline_s, threading.Event()
    while not (value := condition()):
        assert monotonic() < end, f"{what} did not come true within {deadline_s:g} s; it is {value!r}"
        pause.wait(LOOK_EVERY_S)
    return value


def elapsed(seconds: float) -> None:
    """Let real time pass, where the story is that it passes (a stopped process, a window that closes)."""
    end = monotonic() + seconds
    eventually(lambda: monotonic() >= end, seconds + DEADLINE_S)
