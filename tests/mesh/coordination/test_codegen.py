"""Code made from a catalogue: current, clean, the same every time, and working in another project."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.coordination.catalog import SHIPPED
from mesh.coordination.catalog_file import EventType, read_types
from mesh.coordination.codegen import dedup_windows_source, emitters_source, event_types_source, generate
from mesh.coordination.field_types import FIELD_TYPES
from node.config import NodeSettings
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.coordination.emitting import heard, run

ROOT = Path(__file__).parents[3]

KITCHEN = """\
[OVEN_HOT]
alias = "oven.hot"
category = "kitchen"
purpose = "the \\"big\\" oven is as hot as C:\\\\bake says"
critical = true
emitters = ["Oven"]
dedup_window_s = 600
hash_without = ["at"]
[OVEN_HOT.fields]
oven = "str"
degrees = "float"
at = "str"
[BREAD_DONE]
purpose = "take it out"
dedup_window_s = 0
"""


@pytest.fixture
def kitchen(tmp_path: Path) -> list[EventType]:
    path = tmp_path / "kitchen.toml"
    path.write_text(KITCHEN)
    return read_types(path)


@pytest.fixture
def local() -> Iterator[LocalMesh]:
    with LocalMesh() as mesh:
        yield mesh


def ruff(command: str, *arguments: str, source: str) -> tuple[int, str]:
    """Exit code and output of ruff, with this project's settings, for a file that begins as `source`."""
    said = subprocess.run(
        [sys.executable, "-m", "ruff", command, *arguments, "--stdin-filename", "mesh/coordination/made.py", "-"],
        input=source,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return said.returncode, said.stdout


@pytest.mark.parametrize("name", ["event_types.py", "emitters.py"])
def test_the_generated_files_are_current(name: str) -> None:
    current = "run `mesh events codegen mesh/coordination/catalog.toml --out mesh/coordination`"
    assert SHIPPED.with_name(name).read_text() == generate(read_types(SHIPPED))[name], current


def test_the_shipped_catalogue_asks_nothing_of_the_node() -> None:
    assert sorted(generate(read_types(SHIPPED))) == ["emitters.py", "event_types.py"]


names = st.from_regex(r"[A-Z][A-Z0-9_]{1,50}", fullmatch=True)
fields = st.from_regex(r"f_[a-z0-9_]{0,40}", fullmatch=True)
lines = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("äöüß"), max_size=300)


@st.composite
def event_types(draw: st.DrawFn) -> list[EventType]:
    return [
        EventType(
            name=name,
            alias=f"{name.lower()}.old" if draw(st.booleans()) else name.lower(),
            category=draw(lines),
            purpose=draw(lines),
            critical=draw(st.booleans()),
            fields=(held := draw(st.dictionaries(fields, st.sampled_from(list(FIELD_TYPES)), max_size=12))),
            emitters=tuple(draw(st.lists(lines, max_size=8))),
            subscribers=(),
            dedup_window_s=draw(st.sampled_from([None, 0.0, 2.5])),
            hash_without=tuple(list(held)[:2]),
            typed_emitter=f"emit_{name.lower()}",
            renamed={},
        )
        for name in draw(st.lists(names, min_size=1, max_size=3, unique_by=str.lower))
    ]


@settings(max_examples=10, deadline=None)  # every example starts four processes
@given(event_types())
def test_whatever_a_catalogue_says_the_code_is_clean(types: list[EventType]) -> None:
    for source in (event_types_source(types), emitters_source(types)):
        assert ruff("format", source=source) == (0, source)
        assert ruff("check", "--quiet", source=source) == (0, "")


@settings(max_examples=50, deadline=None)  # compiles
@given(event_types())
def test_whatever_a_catalogue_says_the_enum_reads_every_spelling(types: list[EventType]) -> None:
    made: dict[str, object] = {"__name__": "made"}
    exec(compile(event_types_source(types), "made", "exec"), made)
    enum = made["DataEventType"]
    assert [(member.name, member.value) for member in enum] == [(kind.name, kind.name) for kind in types]  # type: ignore[attr-defined]
    for kind in types:
        assert enum(kind.alias.title()) is enum(kind.name)  # type: ignore[operator]


def test_a_purpose_is_read_in_the_docstring_as_it_was_written_but_for_double_quotes(kitchen: list[EventType]) -> None:
    made = ast.parse(emitters_source(kitchen)).body
    assert [ast.get_docstring(each) for each in made if isinstance(each, ast.FunctionDef)] == [
        "Publish OVEN_HOT: the 'big' oven is as hot as C:\\bake says.\n\n"
        "Critical: the application does not work unless somebody handles it.\n"
        "Emitted by: Oven\n"
        "Same fact whatever: at",
        "Publish BREAD_DONE: take it out.\n\nEvery announcement counts, also one that looks like the one before.",
    ]


def test_windows_other_than_0_are_settings_that_a_node_takes(kitchen: list[EventType]) -> None:
    settings_ = NodeSettings(**tomllib.loads(dedup_windows_source(kitchen)))
    assert settings_.dedup_windows == {"OVEN_HOT": 600.0}


def test_another_projects_catalogue_gives_working_code(
    tmp_path: Path, kitchen: list[EventType], local: LocalMesh
) -> None:
    package = tmp_path / "bakery"
    package.mkdir()
    for name, text in generate(kitchen).items():
        (package / name).write_text(text)
    calls = [
        ("bakery.emitters", "emit_oven_hot", {"oven": "left", "degrees": 220.5, "at": "noon", "source": "Oven"}),
        ("bakery.emitters", "emit_oven_hot", {"oven": "left", "degrees": 220.5, "at": "one"}),
        ("bakery.emitters", "emit_bread_done", {"loaves": 12}),
        ("bakery.emitters", "emit_bread_done", {"loaves": 12}),
        ("mesh.coordination", "publish", {"topic": "oven.hot", "payload": {"oven": "right"}}),
        ("mesh.coordination", "publish", {"topic": "TRAINING_COMPLETED", "payload": {}}),
    ]
    with heard(local) as events:
        outcomes, _ = run(
            local,
            calls,
            PYTHONPATH=f"{tmp_path}:{ROOT}",
            MESH_EVENT_CATALOG=str(tmp_path / "kitchen.toml"),
            MESH_EVENT_VALIDATION_STRICT="true",
        )
        eventually(lambda: len(events) == 4, what="every event")
    assert outcomes[:5] == ["accepted", "duplicate", "accepted", "accepted", "accepted"]
    assert re.match(r"UnknownEventType: event type 'TRAINING_COMPLETED' is not in the catalogue; ", outcomes[5])
    assert [(event.topic, event.payload, event.source) for event in events] == [
        ("OVEN_HOT", {"oven": "left", "degrees": 220.5, "at": "noon"}, "Oven"),
        ("BREAD_DONE", {"loaves": 12}, ""),
        ("BREAD_DONE", {"loaves": 12}, ""),
        ("OVEN_HOT", {"oven": "right"}, ""),
    ]


@pytest.mark.slow
def test_another_projects_code_passes_a_strict_type_check(tmp_path: Path, kitchen: list[EventType]) -> None:
    for name, text in generate(kitchen).items():
        (tmp_path / name).write_text(text)
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", tmp_path / "event_types.py", tmp_path / "emitters.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert said.stdout == "Success: no issues found in 2 source files\n"
