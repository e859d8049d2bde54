"""What callers give: names derived from programs and handlers, and the things `publish` takes for an event."""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mesh.errors import InvalidOption, InvalidTopic
from mesh.jobs import Handler


def process_name() -> str:
    """The name this process was started as, without directory and `.py`."""
    path = Path(sys.argv[0] if sys.argv else "")
    return (path.parent.name if path.stem == "__main__" else path.stem) or "python"


def qualified_name(handler: object) -> str:
    """The qualified name of a function, of what a partial wraps, or of a callable object's class."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return str(getattr(handler, "__qualname__", None) or type(handler).__qualname__)


def unused_name(name: str, taken: Collection[str]) -> str:
    """The name, or the first of name#2, name#3 … that is not taken."""
    numbered = (f"{name}#{n}" for n in itertools.count(2))
    return name if name not in taken else next(each for each in numbered if each not in taken)


def is_async(handler: Handler) -> bool:
    """Whether calling the handler gives a coroutine. Raises `InvalidOption` when it cannot be called."""
    if not callable(handler):
        raise InvalidOption(f"handler {handler!r} cannot be called; give a function that takes one event")
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def read_event(
    topic: Any, payload: Mapping[str, Any] | None, source: str, trace: Mapping[str, Any] | None
) -> tuple[str, Any, str, Any]:
    """Topic, payload, source and trace of what `publish` was given in place of a plain topic."""
    named = getattr(topic, "topic", None) or getattr(topic, "event_type", None)
    if named is not None and hasattr(topic, "payload"):
        if payload is not None:
            raise InvalidOption("publish takes an event or a topic with a payload, not an event with another payload")
        source, trace = source or getattr(topic, "source", "") or "", trace or getattr(topic, "trace", None)
        topic, payload = named, topic.payload
    name = getattr(topic, "value", topic)
    if not isinstance(name, str):
        raise InvalidTopic(f"topic {topic!r} is neither a string, nor an enum member whose value is one, nor an event")
    return str(name), payload, source, trace
