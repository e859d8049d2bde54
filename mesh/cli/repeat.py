"""Doing something again and again until Ctrl-C, which is the way to end it and no failure."""

from __future__ import annotations

import time
from collections.abc import Callable


def repeat(interval_s: float, act: Callable[[], object]) -> None:
    """`act`, and again every `interval_s` seconds until Ctrl-C."""
    try:
        while True:
            act()
            time.sleep(interval_s)
    except KeyboardInterrupt:
        return
