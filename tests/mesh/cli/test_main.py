"""The command as a whole: help, global options, exit codes, errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from mesh import errors
from mesh.cli import exit_code, main, make_app
from mesh.client import NodeClient
from node.testing import LocalMesh
from tests.mesh.cli.shell import Said, Shell, Terminal

COMMANDS = [
    ("status",),
    ("peers",),
    ("pub",),
    ("sub",),
    ("consumers",),
    ("consumers", "forget"),
    ("audit",),
    ("demo",),
    ("dlq",),
    *(("dlq", name) for name in ("list", "show", "errors", "retry", "discard", "cleanup", "watch")),
    ("log",),
    *(("log", name) for name in ("stats", "tail", "show", "replay")),
    ("events",),
    *(("events", name) for name in ("list", "show", "codegen", "orphans", "check")),
]
ASK_NO_NODE = [("demo",), *(("events", name) for name in ("list", "show", "codegen"))]
DATA = [
    *(("status",), ("peers",), ("consumers",), ("audit",), ("dlq",), ("dlq", "list"), ("dlq", "errors")),
    *(("log", "stats"), ("log", "tail")),
]


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below this one, with its path."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


ALL = dict(commands(typer.main.get_command(make_app())))


def test_the_commands_are_these_and_no_others() -> None:
    assert set(ALL) == {(), *COMMANDS}


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_every_command_and_every_option_is_documented(path: tuple[str, ...]) -> None:
    assert ALL[path].help
    assert [each.name for each in ALL[path].params if not each.help] == []


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_is_readable_at_80_columns(bare_shell: Shell, path: tuple[str, ...]) -> None:
    said = bare_shell(*path, "--help")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Usage: {' '.join(('mesh', *path))} ")
    assert max(map(len, said.out.splitlines())) <= 80
    assert "..." not in "".join(said.out.partition("Commands:")[2])


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in ASK_NO_NODE], ids=" ".join)
def test_every_command_takes_node_and_json(path: tuple[str, ...]) -> None:
    options = {name for each in ALL[path].params for name in each.opts}
    assert {"--node", "--json"} <= options


def test_it_says_its_version(bare_shell: Shell) -> None:
    assert bare_shell("--version") == Said(0, f"mesh {version('meshbus')}\n", "")


def test_help_imports_neither_sockets_nor_tables() -> None:
    script = (
        "import sys; from mesh.cli import main; code = main(['--help']); "
        "heavy = {'zmq', 'rich', 'asyncio', 'orjson', 'apsw', 'platformdirs'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("path", [(), ("log",)])
def test_a_group_without_a_command_shows_its_help_on_standard_error_and_exits_2(
    bare_shell: Shell, path: tuple[str, ...]
) -> None:
    said = bare_shell(*path)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Usage: {' '.join(('mesh', *path))} ")


@pytest.mark.parametrize("path", DATA, ids=" ".join)
def test_the_node_and_json_may_stand_before_or_after_the_command(
    bare_shell: Shell, one_node: LocalMesh, path: tuple[str, ...]
) -> None:
    place = ("--node", one_node.nodes[0].data_dir)
    for arguments in ((*place, *path, "--json"), (*path, *place, "--json"), (*place, "--json", *path)):
        said = bare_shell(*arguments)
        assert (said.code, said.err) == (0, "")
        assert said.rows == [] if path == ("log", "tail") else isinstance(said.json, list | dict)


def test_options_of_a_group_hold_for_its_commands(bare_shell: Shell, one_node: LocalMesh) -> None:
    assert bare_shell("dlq", "--node", one_node.nodes[0].data_dir, "--json", "list").json == []


def test_the_node_nearest_to_the_command_counts(bare_shell: Shell, one_node: LocalMesh) -> None:
    there = one_node.nodes[0].data_dir
    assert bare_shell("--node", "/nowhere", "peers", "--node", there, "--json").json == []
    assert bare_shell("--node", there, "peers", "--node", "/nowhere").code == 3


def test_a_node_is_asked_by_address_too(bare_shell: Shell) -> None:
    with LocalMesh(local_tcp="tcp://127.0.0.1:0") as mesh:
        address = mesh.nodes[0].description["ctl"]
        assert address.startswith("tcp://")
        assert bare_shell("peers", "--node", address, "--json").json == []


@pytest.mark.parametrize("path", DATA, ids=" ".join)
def test_no_node_exits_3_with_one_line_that_says_how_to_start_one(bare_shell: Shell, path: tuple[str, ...]) -> None:
    said = bare_shell(*path)
    place = os.environ["MESH_NODE"]
    assert (said.code, said.out) == (3, "")
    assert said.err == f"mesh: no node has written {place}/node.json; start one with mesh-node --data-dir {place}\n"


@pytest.mark.parametrize("content", ["garbage", "{}", "[]"])
def test_a_node_file_that_cannot_be_read_is_not_taken_for_none(bare_shell: Shell, content: str) -> None:
    file = Path(os.environ["MESH_NODE"]) / "node.json"
    file.write_text(content)
    said = bare_shell("peers")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"mesh: {file} is there and names no node; restart the node")


def test_the_port_for_peers_is_named_where_it_is_taken_for_the_one_for_commands(bare_shell: Shell) -> None:
    with LocalMesh() as mesh:
        address = mesh.nodes[0].listen
        said = bare_shell("peers", "--node", address)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"mesh: {address} is the port for peers; programs and commands go to")


def test_a_node_that_does_not_answer_exits_3(bare_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NodeClient.__init__, "__defaults__", (None, 0.1))
    said = bare_shell("peers", "--node", "tcp://127.0.0.1:1")
    assert said.code == 3
    assert said.err == "mesh: no node answers at tcp://127.0.0.1:1 within 0.1 s; is mesh-node running there?\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nix",), "No such command 'nix'; see `mesh --help`"),
        (("peers", "--nix"), "No such option: --nix; see `mesh peers --help`"),
        (("dlq", "nix"), "No such command 'nix'; see `mesh dlq --help`"),
        (("peers", "--interval", "0"), "see `mesh peers --help`"),
        (("peers", "--node", "tcp://nonsense"), "'tcp://nonsense' is no address"),
    ],
)
def test_wrong_usage_exits_2_with_one_line_that_says_where_to_read(
    bare_shell: Shell, arguments: tuple[str, ...], error: str
) -> None:
    said = bare_shell(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("mesh: ")
    assert said.err.count("\n") == 1
    assert error in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidTopic("x"), 2),
        (errors.InvalidOption("x"), 2),
        (errors.NotSerializable("x"), 2),
        (errors.PayloadTooLarge("x"), 2),
        (errors.NodeUnreachable("x"), 3),
        (errors.RequestRefused("held", "x"), 1),
        (errors.EventRejected("x"), 1),
        (errors.MalformedFrame("control", "x"), 1),
        (errors.MeshError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: errors.MeshError, code: int) -> None:
    assert exit_code(error) == code


def test_ctrl_c_is_one_line_and_1(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NodeClient, "request", interrupt)
    said = shell("peers")
    assert (said.code, said.out, said.err) == (1, "", "mesh: interrupted\n")


def test_a_refusal_is_one_line_and_1(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise errors.RequestRefused("disk", "the database refused (Full): disk full")

    monkeypatch.setattr(NodeClient, "request", refuse)
    said = shell("audit", "--json")
    assert (said.code, said.out, said.err) == (1, "", "mesh: the database refused (Full): disk full\n")


@pytest.mark.parametrize("arguments", [("log", "replay", "*", "--since", "earliest"), ("dlq", "--json"), ("status",)])
def test_a_reader_that_goes_away_has_seen_enough(
    one_node: LocalMesh, terminal: Terminal, arguments: tuple[str, ...]
) -> None:
    bus = one_node.connect(name="publisher")
    for number in range(3000):
        bus.publish("A", {"n": number, "text": "x" * 100})
    assert bus.flush(20)
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "mesh.cli", *arguments],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            env=terminal.environment,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_terminal_cannot_show_does_not_end_a_command(shell: Shell, terminal: Terminal) -> None:
    shell("pub", "A", '{"text": "✓ ü"}')
    terminal.environment |= {"PYTHONIOENCODING": "ascii"}
    said = terminal.run("log", "tail")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith('{"text":"\\u2713 \\xfc"}')
    assert terminal.run("audit").code == 0


def test_the_shell_may_ask_for_completions(terminal: Terminal) -> None:
    terminal.environment |= {"_MESH_COMPLETE": "complete_bash", "COMP_WORDS": "mesh dlq re", "COMP_CWORD": "2"}
    said = terminal.run()
    assert (said.code, said.out) == (0, "retry")


@pytest.mark.parametrize(
    ("flags", "as_json"), [(("demo",), False), (("demo", "--json"), True), (("--json", "demo"), True)]
)
def test_the_demo_is_imported_when_it_is_run(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], as_json: bool
) -> None:
    asked: list[bool] = []

    def demo(as_json: bool) -> int:
        asked.append(as_json)
        return 1

    monkeypatch.setattr("mesh.cli.demo.demo", demo)
    assert bare_shell(*flags).code == 1
    assert asked == [as_json]


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mesh.cli", "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("Usage: mesh ")


def test_main_takes_the_arguments_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mesh", "--help"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("Usage: mesh ")


# ── standard output that takes nothing ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["events list", "status", "dlq list"])
def test_a_full_disk_behind_standard_output_is_one_line(one_node: LocalMesh, command: str) -> None:
    line = f"{sys.executable} -m mesh.cli {command} >/dev/full"
    environ = {**os.environ, "MESH_NODE": str(one_node.nodes[0].data_dir)}
    done = subprocess.run(["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "mesh: cannot go on: No space left on device\n")


def test_a_closed_standard_output_is_one_line_and_nothing_is_done() -> None:
    line = f"{sys.executable} -m mesh.cli peers >&-"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("mesh: standard output is closed")


@pytest.mark.parametrize("command", [("peers", "--watch"), ("dlq", "watch")])
@pytest.mark.parametrize("seconds", ["1e10", "1e999", "nan", "0", "-1"])
def test_nobody_waits_for_ever_between_refreshes(bare_shell: Shell, command: tuple[str, ...], seconds: str) -> None:
    said = bare_shell(*command, "--interval", seconds)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "--interval" in said.err
