"""The default bus: one per process, made when somebody first needs it, and what belongs to it.

    get_router() ────┐
    get_stage_bus() ─┼─▶ belonging(make): once per default bus, forgotten with it
    get_registry() ──┘        └─▶ default_bus() ─▶ mesh.connect()         the node of MESH_NODE

The one place with state of the process. A bus that was never closed is closed at exit by the library; in the child of a
fork the parent's is forgotten, and the child's first use makes its own.

    MESH_EVENT_HANDLER_TIMEOUT      seconds a handler may take; 600
    MESH_EVENT_VALIDATION_STRICT    true: what is not in the catalogue is refused; false
    MESH_LOG_LEVEL                  of the logger `mesh`; INFO, and DEBUG to see every event

Each is also read as RINGRIFT_… where the MESH_… one is not set. Logging goes through Python's `logging`; a program that
has set the level in its environment and configured nothing sees the lines on standard error.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mesh.bus import EventBus, connect
from mesh.errors import ConfigurationError
from mesh.limits import HANDLER_TIMEOUT_S

PREFIXES = ("MESH_", "RINGRIFT_")
"""Spellings of a variable, the first that is set counts."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})

Part = TypeVar("Part")


@dataclass(frozen=True)
class Settings:
    """What the environment says. `log_level` is None where it says nothing, which means INFO."""

    handler_timeout_s: float = HANDLER_TIMEOUT_S
    strict: bool = False
    log_level: str | None = None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables. Raises `ConfigurationError` with the variable, its value and what it may be."""
    return Settings(_timeout_s(environ), _strict(environ), _log_level(environ))


class _Process:
    """The default bus of this process and what belongs to it. `lock` may be taken again by whoever holds it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.bus: EventBus | None = None
        self.settings = Settings()
        self.parts: dict[Callable[[], Any], Any] = {}


_process = _Process()


def default_bus() -> EventBus:
    """The bus of this process, made now if there is none. Does not wait for the node."""
    with _process.lock:
        if _process.bus is None:
            _process.settings = read_settings(os.environ)
            _set_log_level(_process.settings.log_level)
            _process.bus = connect()
        return _process.bus


def settings() -> Settings:
    """What the environment said when the default bus was made."""
    default_bus()
    return _process.settings


def belonging(make: Callable[[], Part]) -> Part:
    """What `make` makes, once, and then the same as long as the default bus is there."""
    with _process.lock:
        default_bus()
        if make not in _process.parts:
            _process.parts[make] = make()
        part: Part = _process.parts[make]
        return part


def close_default_bus(timeout: float = 5.0) -> None:
    """Close the default bus and forget what belongs to it; the next use makes a new one. `timeout` in seconds."""
    with _process.lock:
        bus, _process.bus = _process.bus, None
        parts, _process.parts = list(_process.parts.values()), {}
    for part in parts:
        if hasattr(part, "stop"):
            part.stop()
    if bus is not None:
        bus.close(timeout)


def _after_fork() -> None:
    global _process  # noqa: PLW0603 - the child begins with nothing of the parent's
    _process = _Process()


os.register_at_fork(after_in_child=_after_fork)


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str | None]:
    """The spelling that is set, and its value."""
    spellings = [prefix + name for prefix in PREFIXES]
    spelling = next((each for each in spellings if each in environ), spellings[0])
    return spelling, environ.get(spelling)


def _timeout_s(environ: Mapping[str, str]) -> float:
    spelling, text = _value(environ, "EVENT_HANDLER_TIMEOUT")
    if text is None:
        return HANDLER_TIMEOUT_S
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{spelling} is {text!r}; give a number of seconds above 0, such as 600")
    return seconds


def _strict(environ: Mapping[str, str]) -> bool:
    spelling, text = _value(environ, "EVENT_VALIDATION_STRICT")
    word = (text or "").strip().lower()
    if word not in _TRUE | _FALSE:
        raise ConfigurationError(f"{spelling} is {text!r}; use true or false")
    return word in _TRUE


def _log_level(environ: Mapping[str, str]) -> str | None:
    spelling, text = _value(environ, "LOG_LEVEL")
    if text is None:
        return None
    if text.upper() not in logging.getLevelNamesMapping():
        raise ConfigurationError(f"{spelling} is {text!r}; use DEBUG, INFO, WARNING or ERROR")
    return text.upper()


def _set_log_level(level: str | None) -> None:
    logger = logging.getLogger("mesh")
    if level is not None:
        logger.setLevel(level)
        if not logger.hasHandlers():
            logger.addHandler(logging.StreamHandler())
    elif logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
