"""Sizes: how many things a node keeps in memory, by where it keeps them. Tells growth without knowing what grows.

node.links.links: 9 · node.state.relay.streams: 31 · node.state.interest._links: 9 …
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

_ROOMS = ("node.", "mesh.")
_CONTAINERS = (dict, list, set, deque, frozenset)


def sizes_of(root: object) -> dict[str, int]:
    """Every container reachable over attributes, and over the values of dictionaries (summed up under one name)."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting = [(type(root).__name__, root)]
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, _CONTAINERS):
            sizes[path] = sizes.get(path, 0) + len(thing)
            values = thing.values() if isinstance(thing, dict) else thing
            waiting += [(f"{path}[]", each) for each in values if _ours(each) or isinstance(each, _CONTAINERS)]
        else:
            waiting += [(f"{path}.{name}", each) for name, each in _attributes(thing)]
    return sizes


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
    for name in names:
        value = getattr(thing, name, None)
        if _ours(value) or isinstance(value, _CONTAINERS):
            yield name, value


def _ours(thing: object) -> bool:
    return type(thing).__module__.startswith(_ROOMS) and not isinstance(thing, tuple)
