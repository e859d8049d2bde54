"""Reading a catalogue: what it says, and every mistake in it by its name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mesh.coordination.catalog import SHIPPED
from mesh.coordination.catalog_file import EventType, read_types
from mesh.errors import ConfigurationError

TYPES = read_types(SHIPPED)


def read(tmp_path: Path, text: str) -> list[EventType]:
    path = tmp_path / "types.toml"
    path.write_text(text)
    return read_types(path)


def test_a_table_that_says_nothing_is_a_type_with_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "[OVEN_HOT]") == [
        EventType("OVEN_HOT", "oven_hot", "", "", False, {}, (), (), None, (), "emit_oven_hot", {})
    ]


def test_a_table_that_says_everything(tmp_path: Path) -> None:
    text = """
        [OVEN_HOT]
        alias = "hot"
        category = "kitchen"
        purpose = "bake now"
        critical = true
        typed_emitter = "emit_hot"
        emitters = ["Oven"]
        subscribers = ["Baker", "Alarm"]
        dedup_window_s = 5
        hash_without = ["at"]
        fields = { degrees = "float", at = "str" }
        renamed = { temp = "degrees" }
    """
    fields = {"degrees": "float", "at": "str"}
    assert read(tmp_path, text) == [
        EventType(
            *("OVEN_HOT", "hot", "kitchen", "bake now", True, fields, ("Oven",), ("Baker", "Alarm")),
            *(5.0, ("at",), "emit_hot", {"temp": "degrees"}),
        )
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[oven]", r"\[oven\]: the name must be capitals, digits and underscores, as in TRAINING_COMPLETED"),
        (f"[{'X' * 201}]", r"has 201 bytes; at most 200 are allowed"),
        ("A = 1", r"\[A\]: must be a table"),
        ("[A]\nfeilds = {}", r"\[A\]: unknown key 'feilds'"),
        ("[A]\npurpose = 1", r"\[A\]: purpose = 1 must be a str"),
        ("[A]\ncritical = 1", r"\[A\]: critical = 1 must be a bool"),
        ('[A]\nemitters = "x"', r"\[A\]: emitters = 'x' must be a list"),
        ("[A]\nemitters = [1]", r"\[A\]: emitters = \[1\] must be a list of strings"),
        ("[A]\nfields = { a = 1 }", r"\[A\]: fields = \{'a': 1\} must be a table of strings"),
        ('[A]\nfields = { a = "string" }', r"\[A\]: field a has the unknown type 'string'; known are str, int, "),
        ('[A]\nfields = { "a-b" = "str" }', r"\[A\]: field 'a-b' cannot be an argument of emit_a; rename it"),
        ('[A]\nfields = { class = "str" }', r"\[A\]: field 'class' cannot be an argument of emit_a; rename it"),
        ('[A]\nfields = { source = "str" }', r"\[A\]: field 'source' cannot be an argument of emit_a; rename it"),
        ('[A]\nhash_without = ["b"]', r"\[A\]: hash_without or renamed names 'b', which is none of its fields"),
        ('[A]\nrenamed = { a = "b" }', r"\[A\]: hash_without or renamed names 'b', which is none of its fields"),
        (
            '[A]\nfields = { a = "str", b = "str" }\nrenamed = { a = "b" }',
            r"\[A\]: renamed says that 'a' is a former field, and fields has it",
        ),
        ("[A]\ndedup_window_s = -1", r"\[A\]: dedup_window_s = -1 must be 0 or more seconds"),
        ("[A]\ndedup_window_s = nan", r"\[A\]: dedup_window_s = nan must be 0 or more seconds"),
        ("[A]\ndedup_window_s = true", r"\[A\]: dedup_window_s = True must be 0 or more seconds"),
        ('[A]\ntyped_emitter = "emit a"', r"\[A\]: typed_emitter 'emit a' is no name of a function"),
        ('[A]\ntyped_emitter = "class"', r"\[A\]: typed_emitter 'class' is no name of a function"),
        ('[A]\npurpose = """a\nb"""', r"\[A\]: purpose and category must be one line each"),
        ('[A]\nalias = "b"\n[B]', r": name or alias b is used by more than one type"),
        ('[A]\ntyped_emitter = "emit_b"\n[B]', r": typed_emitter emit_b is used by more than one type"),
        ("[A", r" is no TOML: "),
        ("", r" holds no types; one is a table such as \[TRAINING_COMPLETED\]"),
    ],
)
def test_a_mistake_is_named_with_its_type_and_key(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^event catalogue .*types\.toml.*{complaint}"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read: No such file or directory$"):
        read_types(tmp_path / "none.toml")


def test_the_shipped_catalogue_has_352_types_and_18_critical_ones() -> None:
    assert len(TYPES) == 352
    assert sum(kind.critical for kind in TYPES) == 18
    assert [kind.name for kind in TYPES if not kind.purpose or not kind.category] == []


def test_the_shipped_catalogue_keeps_the_old_values_that_are_not_the_name_in_lower_case() -> None:
    assert {kind.alias: kind.name for kind in TYPES if kind.alias != kind.name.lower()} == {
        "new_games": "NEW_GAMES_AVAILABLE",
        "sync_started": "DATA_SYNC_STARTED",
        "sync_completed": "DATA_SYNC_COMPLETED",
        "sync_failed": "DATA_SYNC_FAILED",
        "training_threshold": "TRAINING_THRESHOLD_REACHED",
    }


def test_what_repeats_by_its_nature_has_no_window() -> None:
    beats = {kind.name for kind in TYPES if kind.name.endswith("_HEARTBEAT")}
    assert beats == {"TRAINING_HEARTBEAT", "TASK_HEARTBEAT", "COORDINATOR_HEARTBEAT"}
    assert {kind.dedup_window_s for kind in TYPES if kind.name in beats} == {0.0}


def test_a_field_has_one_type_wherever_that_is_a_matter_of_course() -> None:
    """What is left are words that mean different things in different types."""
    types = {field: Counter[str]() for kind in TYPES for field in kind.fields}
    for kind in TYPES:
        for field, type_ in kind.fields.items():
            types[field][type_] += 1
    assert {field for field, counted in types.items() if len(counted) > 1} == {
        *("priority", "threshold", "old_tier", "new_tier", "trigger_event", "last_success", "details"),
    }
