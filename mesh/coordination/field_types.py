"""The types a payload field may have, in the catalogue's words: what each accepts, and how generated code writes it.

    str · int · float · bool · dict · list · list[str] · list[int] · list[float] · list[dict] · any

A value has the type it has in JSON, so what orjson writes as a string (a date, a UUID) is a str, a tuple is a list, and
an enum member is its value. An int is a float, because JSON has one kind of number and 1.0 is often written 1; a bool
is no int, because it is not one in JSON. Null is accepted wherever a value may be missing, which is everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from datetime import date, time
from enum import Enum
from typing import NamedTuple
from uuid import UUID


class FieldType(NamedTuple):
    """`annotation` is the Python spelling; `accepts` tells whether a value travels as this type."""

    annotation: str
    accepts: Callable[[object], bool]


def _is_str(value: object) -> bool:
    return isinstance(value, str | date | time | UUID)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: object) -> bool:
    return isinstance(value, float) or _is_int(value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_dict(value: object) -> bool:
    return isinstance(value, dict) or (is_dataclass(value) and not isinstance(value, type))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _list_of(accepts: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list | tuple) and all(accepts(plain(each)) for each in value)


FIELD_TYPES = {
    "str": FieldType("str", _is_str),
    "int": FieldType("int", _is_int),
    "float": FieldType("float", _is_float),
    "bool": FieldType("bool", _is_bool),
    "dict": FieldType("dict[str, Any]", _is_dict),
    "list": FieldType("list[Any]", _is_list),
    "list[str]": FieldType("list[str]", _list_of(_is_str)),
    "list[int]": FieldType("list[int]", _list_of(_is_int)),
    "list[float]": FieldType("list[float]", _list_of(_is_float)),
    "list[dict]": FieldType("list[dict[str, Any]]", _list_of(_is_dict)),
    "any": FieldType("Any", lambda value: True),
}


def accepts(type_: str, value: object) -> bool:
    """Whether a value may stand in a field of a type of `FIELD_TYPES`."""
    value = plain(value)
    return value is None or FIELD_TYPES[type_].accepts(value)


def plain(value: object) -> object:
    """What travels in place of an enum member; anything else as it is."""
    return value.value if isinstance(value, Enum) and not isinstance(value, str) else value
