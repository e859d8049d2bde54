"""`mesh events`: the catalogue, and code made from one; no node is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.coordination.catalog import SHIPPED, default_catalog
from tests.mesh.cli.shell import Shell

KITCHEN = """
[OVEN_HOT]
alias = "hot"
category = "kitchen"
purpose = "bake now"
critical = true
subscribers = ["Baker"]
dedup_window_s = 600
hash_without = ["at"]
fields = { degrees = "float", at = "str" }
renamed = { temperature = "degrees" }
[BREAD_DONE]
category = "counter"
purpose = "take it out"
dedup_window_s = 0
"""

OVEN_HOT = {
    "name": "OVEN_HOT",
    "alias": "hot",
    "category": "kitchen",
    "purpose": "bake now",
    "critical": True,
    "fields": {"degrees": "float", "at": "str"},
    "emitters": [],
    "subscribers": ["Baker"],
    "dedup_window_s": 600.0,
    "hash_without": ["at"],
    "typed_emitter": "emit_oven_hot",
    "renamed": {"temperature": "degrees"},
}


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalogue of two types, which is the one of this process."""
    path = tmp_path / "kitchen.toml"
    path.write_text(KITCHEN)
    monkeypatch.setenv("MESH_EVENT_CATALOG", str(path))
    default_catalog.cache_clear()
    yield path
    default_catalog.cache_clear()


def test_the_list_has_the_types_by_category(bare_shell: Shell, kitchen: Path) -> None:
    said = bare_shell("events", "list")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "2 types, 1 critical (!)",
        "",
        "counter",
        "  BREAD_DONE  take it out",
        "",
        "kitchen",
        "  OVEN_HOT !  bake now",
    ]


def test_the_list_as_json_says_everything_about_each_type(bare_shell: Shell, kitchen: Path) -> None:
    said = bare_shell("events", "list", "--json")
    assert [row["name"] for row in said.json] == ["OVEN_HOT", "BREAD_DONE"]
    assert said.json[0] == OVEN_HOT


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--critical",), ["OVEN_HOT"]),
        (("--category", "counter"), ["BREAD_DONE"]),
        (("--category", "counter", "--critical"), []),
    ],
)
def test_the_list_is_narrowed(bare_shell: Shell, kitchen: Path, options: tuple[str, ...], names: list[str]) -> None:
    assert [row["name"] for row in bare_shell("events", "list", "--json", *options).json] == names


def test_a_category_that_no_type_has_is_wrong_usage_and_says_which_there_are(bare_shell: Shell, kitchen: Path) -> None:
    said = bare_shell("events", "list", "--category", "kitchn")
    assert (said.code, said.out) == (2, "")
    assert "no type has it; known are counter, kitchen" in said.err


def test_nothing_critical_in_a_category_is_said(bare_shell: Shell, kitchen: Path) -> None:
    assert bare_shell("events", "list", "--category", "counter", "--critical").out == "no types\n"


def test_every_shipped_type_is_one_line_of_the_list(bare_shell: Shell) -> None:
    lines = bare_shell("events", "list").out.splitlines()
    assert lines[0] == "352 types, 18 critical (!)"
    assert sorted(line.split()[0] for line in lines if line.startswith("  ")) == sorted(
        kind.name for kind in default_catalog()
    )


@pytest.mark.parametrize("spelling", ["OVEN_HOT", "hot", "Hot", "oven_hot"])
def test_a_type_is_shown_by_any_spelling(bare_shell: Shell, kitchen: Path, spelling: str) -> None:
    assert bare_shell("events", "show", spelling, "--json").json == OVEN_HOT


def test_a_type_for_people(bare_shell: Shell, kitchen: Path) -> None:
    assert bare_shell("events", "show", "hot").out.splitlines() == [
        "type           OVEN_HOT",
        "alias          hot",
        "category       kitchen",
        "purpose        bake now",
        "critical       yes",
        "emitter        emit_oven_hot",
        "handled by     Baker",
        "same within    600 s, if the node is told so",
        "same whatever  at",
        "",
        "payload",
        "  field   type  formerly",
        "  degrees float temperature",
        "  at      str",
    ]


def test_a_type_whose_payload_nobody_has_described(bare_shell: Shell, kitchen: Path) -> None:
    lines = bare_shell("events", "show", "bread_done").out.splitlines()
    assert "same within  never: every announcement counts" in lines
    assert lines[-3:] == ["", "payload", "  not described: any JSON object"]


def test_a_type_that_is_not_there_is_named_with_what_was_meant(bare_shell: Shell, kitchen: Path) -> None:
    said = bare_shell("events", "show", "OVEN_HOTT")
    assert (said.code, said.out) == (1, "")
    assert said.err == "mesh: event type 'OVEN_HOTT' is not in the catalogue; did you mean OVEN_HOT?\n"


def test_code_is_made_and_then_current(bare_shell: Shell, kitchen: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "here"
    files = [str(out / name) for name in ("event_types.py", "emitters.py", "dedup_windows.toml")]
    assert bare_shell("events", "codegen", kitchen, "--out", out, "--check", "--json").json == dict.fromkeys(
        files, False
    )
    assert not out.exists()
    assert bare_shell("events", "codegen", kitchen, "--out", out, "--json").json == files
    assert sorted(each.name for each in out.iterdir()) == ["dedup_windows.toml", "emitters.py", "event_types.py"]
    assert bare_shell("events", "codegen", kitchen, "--out", out, "--check").code == 0
    assert bare_shell("events", "codegen", kitchen, "--out", out, "--json").json == []


def test_check_names_the_file_that_is_not_current_and_leaves_it(
    bare_shell: Shell, kitchen: Path, tmp_path: Path
) -> None:
    bare_shell("events", "codegen", kitchen, "--out", tmp_path)
    (tmp_path / "emitters.py").write_text("old")
    said = bare_shell("events", "codegen", kitchen, "--out", tmp_path, "--check")
    assert said.code == 1
    assert said.out.splitlines() == [
        f"{tmp_path}/event_types.py: current",
        f"{tmp_path}/emitters.py: not current",
        f"{tmp_path}/dedup_windows.toml: current",
    ]
    assert (tmp_path / "emitters.py").read_text() == "old"
    said = bare_shell("events", "codegen", kitchen, "--out", tmp_path)
    assert (said.code, said.out.splitlines()[1]) == (0, f"{tmp_path}/emitters.py: written")


def test_the_code_of_the_package_is_current(bare_shell: Shell) -> None:
    assert bare_shell("events", "codegen", SHIPPED, "--out", SHIPPED.parent, "--check").code == 0


@pytest.mark.parametrize(
    ("file", "out", "complaint"),
    [
        ("none.toml", ".", "none.toml cannot be read: No such file or directory"),
        ("broken.toml", ".", "broken.toml, [A]: unknown key 'b'"),
        ("kitchen.toml", "kitchen.toml", "event_types.py cannot be written: "),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line_and_1(
    bare_shell: Shell, kitchen: Path, tmp_path: Path, file: str, out: str, complaint: str
) -> None:
    (tmp_path / "broken.toml").write_text("[A]\nb = 1")
    said = bare_shell("events", "codegen", tmp_path / file, "--out", tmp_path / out)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert complaint in said.err
