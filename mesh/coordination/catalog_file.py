"""The catalogue's file: TOML in, `EventType` values out, and every mistake named with its type and key.

    [TRAINING_COMPLETED]
    category = "training"                   a word to group by
    purpose = "training run finished"       one line
    alias = "training_completed"            default: the name in lower case
    critical = true                         default: false
    typed_emitter = "emit_training_complete"   default: emit_ and the name in lower case
    emitters = ["train"]                    who is known to announce it; subscribers likewise
    dedup_window_s = 0                      default: the node's window
    hash_without = ["failed_at"]            fields that make no difference to the node's deduplication
    [TRAINING_COMPLETED.fields]
    epochs_completed = "int"                one of `field_types.FIELD_TYPES`
    [TRAINING_COMPLETED.renamed]
    epochs = "epochs_completed"             what the field was called before

A mistake in a catalogue is found when it is read and not when the first event of that type comes by: names and aliases
that clash, fields that cannot be a Python argument, types and keys nobody knows.
"""

from __future__ import annotations

import keyword
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mesh.coordination.field_types import FIELD_TYPES
from mesh.errors import ConfigurationError, InvalidTopic
from mesh.topic import check_topic

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_FUNCTION = re.compile(r"[a-z_][a-z0-9_]*")
_NOT_FIELDS = frozenset({"source", "extra"})
"""What a typed emitter's own arguments are called."""


@dataclass(frozen=True)
class EventType:
    """One type of event.

    name            the canonical topic, upper case
    alias           the old value, which means the same topic
    fields          payload field → one of `field_types.FIELD_TYPES`; empty: the payload is not described
    critical        the application does not work unless somebody handles it
    emitters        who is known to announce it;  subscribers: who is known to handle it
    dedup_window_s  0: every announcement counts; other seconds: what the node should be told; None: the node's own
    hash_without    fields that do not make two announcements different facts
    typed_emitter   name of its function in `emitters`
    renamed         former field name → the field that replaced it
    """

    name: str
    alias: str
    category: str
    purpose: str
    critical: bool
    fields: dict[str, str]
    emitters: tuple[str, ...]
    subscribers: tuple[str, ...]
    dedup_window_s: float | None
    hash_without: tuple[str, ...]
    typed_emitter: str
    renamed: dict[str, str]


def read_types(path: Path) -> list[EventType]:
    """The types of a catalogue file, in its order. Raises `ConfigurationError`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"event catalogue {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"event catalogue {path} is no TOML: {error}") from None
    if not tables:
        raise ConfigurationError(f"event catalogue {path} holds no types; one is a table such as [TRAINING_COMPLETED]")
    types = [_Table(path, name, table).event_type() for name, table in tables.items()]
    _check_unique(path, types)
    return types


class _Table:
    """One type's table while it is read: what is wrong in it is said with file, type and key."""

    def __init__(self, path: Path, name: str, table: object) -> None:
        self._path = path
        self._name = name
        self._table = dict(table) if isinstance(table, dict) else self._refuse("must be a table")

    def event_type(self) -> EventType:
        name = self._name
        self._check_name()
        fields = self._texts("fields")
        read = EventType(
            name=name,
            alias=self._take("alias", str, name.lower()),
            category=self._take("category", str, ""),
            purpose=self._take("purpose", str, ""),
            critical=self._take("critical", bool, False),
            fields=fields,
            emitters=self._names("emitters"),
            subscribers=self._names("subscribers"),
            dedup_window_s=self._window_s(),
            hash_without=self._names("hash_without"),
            typed_emitter=self._take("typed_emitter", str, f"emit_{name.lower()}"),
            renamed=self._texts("renamed"),
        )
        if self._table:
            self._refuse(f"unknown key {next(iter(self._table))!r}")
        self._check(read)
        return read

    def _take(self, key: str, kind: type, default: Any) -> Any:
        value = self._table.pop(key, default)
        if type(value) is not kind:
            self._refuse(f"{key} = {value!r} must be a {kind.__name__}")
        return value

    def _names(self, key: str) -> tuple[str, ...]:
        values = self._take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            self._refuse(f"{key} = {values!r} must be a list of strings")
        return tuple(values)

    def _texts(self, key: str) -> dict[str, str]:
        values = self._take(key, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            self._refuse(f"{key} = {values!r} must be a table of strings")
        return dict(values)

    def _window_s(self) -> float | None:
        value = self._table.pop("dedup_window_s", None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            self._refuse(f"dedup_window_s = {value!r} must be 0 or more seconds")
        return float(value)

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self._name):
            self._refuse("the name must be capitals, digits and underscores, as in TRAINING_COMPLETED")
        try:
            check_topic(self._name)
        except InvalidTopic as error:
            self._refuse(str(error))

    def _check(self, read: EventType) -> None:
        for field, type_ in read.fields.items():
            if not field.isidentifier() or keyword.iskeyword(field) or field in _NOT_FIELDS:
                self._refuse(f"field {field!r} cannot be an argument of {read.typed_emitter}; rename it")
            if type_ not in FIELD_TYPES:
                self._refuse(f"field {field} has the unknown type {type_!r}; known are {', '.join(FIELD_TYPES)}")
        for field in (*read.hash_without, *read.renamed.values()):
            if field not in read.fields:
                self._refuse(f"hash_without or renamed names {field!r}, which is none of its fields")
        for field in read.renamed:
            if field in read.fields:
                self._refuse(f"renamed says that {field!r} is a former field, and fields has it")
        if not _FUNCTION.fullmatch(read.typed_emitter) or keyword.iskeyword(read.typed_emitter):
            self._refuse(f"typed_emitter {read.typed_emitter!r} is no name of a function")
        if not read.purpose.isprintable() or not read.category.isprintable():
            self._refuse("purpose and category must be one line each")

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigurationError(f"event catalogue {self._path}, [{self._name}]: {what}")


def _check_unique(path: Path, types: list[EventType]) -> None:
    """One spelling, one type: aliases in any case, names and emitters."""
    spellings = Counter(spelling for each in types for spelling in {each.name.lower(), each.alias.lower()})
    _refuse_twice(path, "name or alias", spellings)
    _refuse_twice(path, "typed_emitter", Counter(each.typed_emitter for each in types))


def _refuse_twice(path: Path, what: str, counted: Counter[str]) -> None:
    twice: Iterable[str] = sorted(word for word, count in counted.items() if count > 1)
    if twice:
        raise ConfigurationError(f"event catalogue {path}: {what} {', '.join(twice)} is used by more than one type")
