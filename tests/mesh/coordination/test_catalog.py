"""One topic per type, whatever it is called."""

from __future__ import annotations

from enum import Enum, IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.coordination.catalog import SHIPPED, Catalog, default_catalog
from mesh.coordination.event_types import DataEventType
from mesh.errors import InvalidTopic

CATALOG = Catalog.load(SHIPPED)
TYPES = list(CATALOG)
SPELLINGS = {spelling.lower() for kind in TYPES for spelling in (kind.name, kind.alias)}


def any_case(spelling: str, upper: list[bool]) -> str:
    return "".join(char.upper() if up else char.lower() for char, up in zip(spelling, upper, strict=False))


@given(st.sampled_from(TYPES), st.booleans(), st.lists(st.booleans(), min_size=60, max_size=60))
def test_every_spelling_of_a_type_is_its_topic(kind, by_alias: bool, upper: list[bool]) -> None:
    spelling = any_case(kind.alias if by_alias else kind.name, upper)
    assert CATALOG.canonical(spelling) == kind.name
    assert CATALOG.canonical(Enum("Old", {"MEMBER": spelling})["MEMBER"]) == kind.name
    assert CATALOG.canonical(IntEnum("Old", {kind.name: 1})[kind.name]) == kind.name
    assert DataEventType(spelling) is DataEventType[kind.name]


@given(
    st.text().filter(lambda text: text.lower() not in {s for each in TYPES for s in (each.alias, each.name.lower())})
)
def test_what_no_type_goes_by_is_left_alone(spelling: str) -> None:
    assert CATALOG.canonical(spelling) == spelling
    assert CATALOG.canonical(Enum("Other", {"MEMBER": spelling or "x"})["MEMBER"]) == (spelling or "x")


@given(st.sampled_from(TYPES))
def test_folding_twice_is_folding_once(kind) -> None:
    assert CATALOG.canonical(CATALOG.canonical(kind.alias)) == CATALOG.canonical(kind.alias)


def test_a_member_counts_by_its_name_when_its_value_says_nothing() -> None:
    class Old(Enum):
        TRAINING_COMPLETED = "training.done"
        TRAINING_STARTED = 7

    assert CATALOG.canonical(Old.TRAINING_COMPLETED) == "TRAINING_COMPLETED"
    assert CATALOG.canonical(Old.TRAINING_STARTED) == "TRAINING_STARTED"


def test_the_enum_has_one_member_a_type_and_its_value_is_the_topic() -> None:
    assert [(member.name, member.value) for member in DataEventType] == [(kind.name, kind.name) for kind in TYPES]
    assert len(DataEventType) == 352


@pytest.mark.parametrize("spelling", ["TRAINING", "", 7, None])
def test_the_enum_refuses_what_is_no_type(spelling: object) -> None:
    with pytest.raises(ValueError, match="is not a valid DataEventType"):
        DataEventType(spelling)


@pytest.mark.parametrize("spelling", [7, None, b"TRAINING_COMPLETED", ["A"]])
def test_what_is_neither_a_string_nor_a_member_is_refused(spelling: object) -> None:
    with pytest.raises(InvalidTopic, match=r"^event type .* is neither a string nor an enum member; use a name$"):
        CATALOG.canonical(spelling)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spelling", "meant"),
    [
        ("TRAINING_COMPLETD", "TRAINING_COMPLETED"),
        ("trainingcompleted", "TRAINING_COMPLETED"),
        ("new_gamez", "NEW_GAMES_AVAILABLE"),
        ("sync_complete", "DATA_SYNC_COMPLETED"),
        ("gpu.health.gpu-17", None),
        ("", None),
    ],
)
def test_a_slip_of_the_pen_gets_the_name_that_was_meant(spelling: str, meant: str | None) -> None:
    assert CATALOG.suggest(spelling) == meant


def test_types_are_found_by_topic_only() -> None:
    kind = CATALOG.get("DATA_SYNC_COMPLETED")
    assert kind is not None
    assert (kind.alias, kind.category, kind.critical) == ("sync_completed", "data_collection", True)
    assert CATALOG.get("sync_completed") is None
    assert "DATA_SYNC_COMPLETED" in CATALOG
    assert len(CATALOG) == 352


def test_the_catalogue_of_the_process_is_the_file_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text("[OVEN_HOT]\n")
    monkeypatch.setenv("MESH_EVENT_CATALOG", str(tmp_path / "own.toml"))
    default_catalog.cache_clear()
    try:
        assert [kind.name for kind in default_catalog()] == ["OVEN_HOT"]
        assert default_catalog() is default_catalog()
    finally:
        default_catalog.cache_clear()
