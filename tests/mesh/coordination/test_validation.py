"""What is said about a payload, strictly and otherwise."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.coordination.catalog import SHIPPED, Catalog
from mesh.coordination.field_types import FIELD_TYPES
from mesh.coordination.validation import COUNTED_MAX, OTHERS, Validator, find_fault
from mesh.errors import InvalidPayload, UnknownEventType

OVENS = """
[OVEN_HOT]
fields = { oven = "str", degrees = "float", shelves = "list[str]" }
renamed = { temperature = "degrees" }
[OVEN_COLD]
"""

SHIPPED_CATALOG = Catalog.load(SHIPPED)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(),
    "int": st.integers(),
    "float": st.floats() | st.integers(),
    "bool": st.booleans(),
    "dict": st.dictionaries(st.text(), st.integers()),
    "list": st.lists(st.text() | st.integers()),
    "list[str]": st.lists(st.text()),
    "list[int]": st.lists(st.integers()),
    "list[float]": st.lists(st.floats()),
    "list[dict]": st.lists(st.dictionaries(st.text(), st.none())),
    "any": st.integers() | st.text() | st.lists(st.none()),
}


@pytest.fixture
def ovens(tmp_path: Path) -> Catalog:
    path = tmp_path / "ovens.toml"
    path.write_text(OVENS)
    return Catalog.load(path)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"oven": "left"},
        {"oven": None, "degrees": 200, "shelves": ["a"]},
        MappingProxyType({"degrees": 200.5}),
    ],
)
def test_a_payload_may_leave_out_or_not_know_any_field(ovens: Catalog, payload: Mapping[str, Any] | None) -> None:
    assert find_fault(ovens, "OVEN_HOT", payload) is None


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({"oven": 7}, "OVEN_HOT: field 'oven' is an int, 7; give a str"),
        ({"oven": True}, "OVEN_HOT: field 'oven' is a bool, True; give a str"),
        ({"degrees": "200"}, "OVEN_HOT: field 'degrees' is a str, '200'; give a float"),
        ({"shelves": [1]}, "OVEN_HOT: field 'shelves' is a list, [1]; give a list[str]"),
        ({"oven": ["x" * 99]}, f"OVEN_HOT: field 'oven' is a list, ['{'x' * 77}…; give a str"),
        ({"degree": 200}, "OVEN_HOT has no field 'degree'; did you mean 'degrees'?"),
        ({"temperature": 1}, "OVEN_HOT has no field 'temperature' any more; it is called 'degrees' now"),
        ({"colour": "red"}, "OVEN_HOT has no field 'colour'; its fields are oven, degrees, shelves"),
        ({7: "x"}, "OVEN_HOT has no field 7; its fields are oven, degrees, shelves"),
    ],
)
def test_a_fault_names_field_value_and_what_to_give(ovens: Catalog, payload: Any, fault: str) -> None:
    found = find_fault(ovens, "OVEN_HOT", payload)
    assert isinstance(found, InvalidPayload)
    assert str(found) == fault


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("OVEN_HOTT", "did you mean OVEN_HOT?"),
        ("gpu.health", "add it, or see `mesh events list`"),
    ],
)
def test_an_unknown_type_is_named_with_what_was_meant(ovens: Catalog, topic: str, hint: str) -> None:
    found = find_fault(ovens, topic, {})
    assert isinstance(found, UnknownEventType)
    assert str(found) == f"event type {topic!r} is not in the catalogue; {hint}"


def test_a_type_without_fields_takes_any_payload(ovens: Catalog) -> None:
    assert find_fault(ovens, "OVEN_COLD", {"whatever": object()}) is None


@given(st.data())
def test_what_has_the_types_of_the_catalogue_has_no_fault(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(SHIPPED_CATALOG)))
    optional = {field: st.none() | VALUES[type_] for field, type_ in kind.fields.items()}
    assert find_fault(SHIPPED_CATALOG, kind.name, data.draw(st.fixed_dictionaries({}, optional=optional))) is None
    assert set(VALUES) == set(FIELD_TYPES)


def test_strict_raises_and_counts_nothing(ovens: Catalog) -> None:
    validator = Validator(ovens, strict=True)
    validator.check("OVEN_HOT", {"oven": "left"})
    with pytest.raises(InvalidPayload):
        validator.check("OVEN_HOT", {"oven": 7})
    with pytest.raises(UnknownEventType):
        validator.check("OVEN", {})
    assert validator.counts == {}


def test_otherwise_the_first_fault_of_a_type_is_warned_of_and_every_one_is_counted(
    ovens: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    validator = Validator(ovens, strict=False)
    with caplog.at_level(logging.WARNING, "mesh.coordination"):
        for topic, payload in [("OVEN_HOT", {"oven": 1}), ("OVEN_HOT", {"x": 1}), ("NEW", {}), ("NEW", {})]:
            validator.check(topic, payload)
        validator.check("OVEN_HOT", {"oven": "left"})
    assert validator.counts == {"OVEN_HOT": 2, "NEW": 2}
    end = " (sent all the same; further ones on this topic are only counted)"
    assert [record.getMessage() for record in caplog.records] == [
        f"OVEN_HOT: field 'oven' is an int, 1; give a str{end}",
        f"event type 'NEW' is not in the catalogue; add it, or see `mesh events list`{end}",
    ]


def test_no_fault_is_lost_between_threads(ovens: Catalog) -> None:
    validator = Validator(ovens, strict=False)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: validator.check("NEW", {}), range(4000)))
    assert validator.counts == {"NEW": 4000}


def test_topics_without_end_are_counted_together(ovens: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    validator = Validator(ovens, strict=False)
    for number in range(COUNTED_MAX + 50):
        validator.check(f"gpu.{number}", {})
    assert len(validator.counts) == COUNTED_MAX + 1
    assert validator.counts[OTHERS] == 50
    assert len(caplog.records) == COUNTED_MAX + 1
