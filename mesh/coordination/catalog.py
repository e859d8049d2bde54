"""The catalogue: which types of events there are, and the one topic each of them has.

    training_completed ─┐
    Training_Completed ─┼─ canonical ─▶ TRAINING_COMPLETED ─ get ─▶ EventType(fields, emitters, subscribers, …)
    DataEventType.…    ─┘  (at the edge,
                            and nowhere else)

A catalogue is a TOML file, one table a type; `catalog.toml` beside this module is the one that comes with the package
and says at its top what the keys mean. A project with types of its own writes its own file, names it in the variable
MESH_EVENT_CATALOG, and makes its enum and emitters with `mesh events codegen`.

A name with two spellings would be two topics, and whoever subscribes to the one would never hear the other. So every
spelling is folded where a name comes in (publishing, subscribing, asking), and what is inside is upper case only.
A topic that no catalogue knows is left alone: the mesh carries more than coordination events.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path

from mesh.coordination.catalog_file import EventType, read_types
from mesh.errors import InvalidTopic

__all__ = ["CATALOG_VARIABLE", "SHIPPED", "Catalog", "EventType", "default_catalog"]

CATALOG_VARIABLE = "MESH_EVENT_CATALOG"
SHIPPED = Path(__file__).with_name("catalog.toml")
_ALIKE = 0.7
"""How similar a spelling must be to be suggested (difflib's ratio): one or two letters wrong, not another word."""


class Catalog:
    """Types by name, and all their spellings."""

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self._types = dict(types)
        self._names = {each.alias.lower(): name for name, each in self._types.items()}
        self._names |= {name.lower(): name for name in self._types}
        self._topics = {name: name for name in self._types} | self._names

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Catalog:
        """Read a catalogue file. Raises `ConfigurationError` with the type and the key that are wrong."""
        return cls({each.name: each for each in read_types(Path(path))})

    def canonical(self, spelling: str | Enum) -> str:
        """The topic that a name, an alias, any mixture of cases, or an enum member means.

        An enum member counts by its value, or by its name where the value is no string or no known spelling. What no
        type goes by is returned as it is. Raises `InvalidTopic` for what is neither a string nor an enum member.
        """
        topic = self._topics.get(spelling) if type(spelling) is str else None
        if topic is not None:
            return topic
        if isinstance(spelling, Enum):
            return self._canonical_member(spelling)
        if not isinstance(spelling, str):
            raise InvalidTopic(f"event type {spelling!r} is neither a string nor an enum member; use a name")
        return self._names.get(spelling.lower(), spelling)

    def _canonical_member(self, member: Enum) -> str:
        if not isinstance(member.value, str):
            return self._names.get(member.name.lower(), member.name)
        by_value = self._names.get(member.value.lower())
        return by_value or self._names.get(member.name.lower(), member.value)

    def get(self, topic: str) -> EventType | None:
        """The type of a canonical topic, or None."""
        return self._types.get(topic)

    def suggest(self, spelling: str) -> str | None:
        """The known type whose name or alias is most like a spelling, or None when nothing is."""
        alike = difflib.get_close_matches(spelling.lower(), self._names, n=1, cutoff=_ALIKE)
        return self._names[alike[0]] if alike else None

    def __iter__(self) -> Iterator[EventType]:
        return iter(self._types.values())

    def __len__(self) -> int:
        return len(self._types)

    def __contains__(self, topic: object) -> bool:
        return topic in self._types


@lru_cache(maxsize=1)
def default_catalog() -> Catalog:
    """The catalogue of this process, read once: the file named by MESH_EVENT_CATALOG, else the one of the package."""
    return Catalog.load(os.environ.get(CATALOG_VARIABLE) or SHIPPED)
