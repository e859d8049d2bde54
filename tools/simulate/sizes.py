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
    looked_into = _LookedInto()
    waiting = [(type(root).__name__, root)]
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, _CONTAINERS):
            sizes[path] = sizes.get(path, 0) + len(thing)
            values, inside = thing.values() if isinstance(thing, dict) else thing, f"{path}[]"
            waiting += [(inside, each) for each in values if looked_into[type(each)]]
        else:
            waiting += [(f"{path}.{name}", each) for name, each in _attributes(thing) if looked_into[type(each)]]
    return sizes


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    for name in (*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())):
        yield name, getattr(thing, name, None)


class _LookedInto(dict[type, bool]):
    """Whether there may be containers in things of a type; asked for each of some millions."""

    def __missing__(self, kind: type) -> bool:
        ours = kind.__module__.startswith(_ROOMS) and not issubclass(kind, tuple)
        found = self[kind] = ours or issubclass(kind, _CONTAINERS)
        return found
