"""Which values travel as which type."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum, IntEnum, StrEnum
from uuid import UUID

import orjson
import pytest

from mesh.coordination.field_types import FIELD_TYPES, accepts


class Word(StrEnum):
    A = "a"


class Number(IntEnum):
    ONE = 1


class Boxed(Enum):
    TEXT = "text"
    ITEMS = (1, 2)


@dataclass
class Point:
    x: int


VALUES = [
    ("text", {"str"}),
    (Word.A, {"str"}),
    (Boxed.TEXT, {"str"}),
    (date(2026, 1, 2), {"str"}),
    (datetime(2026, 1, 2, tzinfo=UTC), {"str"}),
    (UUID(int=7), {"str"}),
    (7, {"int", "float"}),
    (Number.ONE, {"int", "float"}),
    (7.5, {"float"}),
    (True, {"bool"}),
    ({"a": 1}, {"dict"}),
    (Point(1), {"dict"}),
    ([], {"list", "list[str]", "list[int]", "list[float]", "list[dict]"}),
    (Boxed.ITEMS, {"list", "list[int]", "list[float]"}),
    (["a", Word.A], {"list", "list[str]"}),
    ((1, 2), {"list", "list[int]", "list[float]"}),
    ([1, 2.5], {"list", "list[float]"}),
    ([{}], {"list", "list[dict]"}),
    ([True], {"list"}),
    ([1, "a"], {"list"}),
    (None, set(FIELD_TYPES) - {"any"}),
]


@pytest.mark.parametrize(("value", "types"), VALUES, ids=[repr(value) for value, _ in VALUES])
def test_a_value_is_accepted_as_exactly_these_types(value: object, types: set[str]) -> None:
    assert {type_ for type_ in FIELD_TYPES if accepts(type_, value)} == types | {"any"}


@pytest.mark.parametrize("value", [value for value, types in VALUES if types == {"str"}])
def test_what_is_accepted_as_a_str_is_a_string_in_json(value: object) -> None:
    assert isinstance(orjson.loads(orjson.dumps(value)), str)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, Point, object()])
def test_what_json_cannot_carry_is_of_no_type(value: object) -> None:
    assert {type_ for type_ in FIELD_TYPES if accepts(type_, value)} == {"any"}
