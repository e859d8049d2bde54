"""`mesh-node` as a process: how it starts, what it says, how it refuses, how it ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from mesh.client import NodeClient
from node.__main__ import main
from node.store import Store
from tests.conditions import eventually

pytestmark = pytest.mark.processes
STOP_S = 5.0


class Running:
    """A `mesh-node` process."""

    def __init__(self, *flags: str, **variables: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MESH_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "node", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **variables},
        )

    def ready(self) -> dict[str, Any]:
        """The ready line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self, *signals: int) -> tuple[int, str]:
        """Send signals, wait; the exit code and what it said on standard error."""
        for number in signals:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


Start = Callable[..., Running]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Running] = []

    def run(*flags: object, **variables: str) -> Running:
        started.append(Running(*map(str, flags), **variables))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.communicate()


def place(path: Path, http: str = "") -> tuple[str, ...]:
    """Flags for a node in this directory, on a free port, without a page unless asked for."""
    return "--data-dir", str(path), "--listen", "tcp://127.0.0.1:0", "--http", http


# ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_node_says_that_it_is_ready_in_one_json_line_and_in_node_json(tmp_path: Path, start: Start) -> None:
    node = start(*place(tmp_path / "new"), "--name", "trainer")
    said = node.ready()
    file = tmp_path / "new" / "node.json"
    assert json.loads(file.read_text()) == said
    assert file.stat().st_mode & 0o777 == 0o600
    assert (said["ready"], said["name"], said["data_dir"]) == (True, "trainer", str(tmp_path / "new"))
    assert said["origin"].startswith("trainer.")
    assert not said["listen"].endswith(":0")
    assert {"in", "out", "ctl", "http", "pid"} <= set(said)
    assert said["pid"] == node.process.pid
    assert node.end(signal.SIGTERM) == (0, "")
    assert not file.exists()


def test_flags_override_variables_and_those_the_file(tmp_path: Path, start: Start) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f'name = "file"\ndata_dir = "{tmp_path}/file"\nlisten = "tcp://127.0.0.1:0"\nhttp = ""\n')
    said = start(
        "--config", file, "--name", "flag", MESH_NODE_NAME="variable", MESH_NODE_DATA_DIR=f"{tmp_path}/v"
    ).ready()
    assert (said["name"], said["data_dir"]) == ("flag", f"{tmp_path}/v")


def test_a_node_is_itself_again_after_it_was_killed(tmp_path: Path, start: Start) -> None:
    first = start(*place(tmp_path), "--name", "a")
    said = first.ready()
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    again = start(*place(tmp_path)).ready()
    assert again["origin"] == said["origin"]


def test_a_node_raises_the_number_of_files_it_may_open(tmp_path: Path, start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))  # a process inherits it
    try:
        node = start(*place(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    node.ready()
    assert resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE) == (min(65_536, hard), hard)


@pytest.mark.parametrize("files", [16, 20, 63])
def test_a_limit_of_files_that_is_too_low_is_named_with_what_is_needed(tmp_path: Path, files: int) -> None:
    command = f"ulimit -n {files}; exec {sys.executable} -m node --data-dir {tmp_path}/n"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"mesh-node: this process may open {files} files, and a node needs 64 ")


def test_with_as_many_as_it_needs_a_node_runs(tmp_path: Path) -> None:
    flags = " ".join(place(tmp_path / "n", "127.0.0.1:0")[:-1])
    command = f"ulimit -n 64; exec {sys.executable} -m node {flags} 127.0.0.1:0"
    with subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert json.loads(node.stdout.readline())["ready"]
        node.send_signal(signal.SIGTERM)
        assert node.wait(STOP_S) == 0


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert [
        flag for flag in ("--config", "--name", "--data-dir", "--listen", "--peer", "--http") if flag not in said
    ] == []


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"mesh-node {version('meshbus')}\n")


def test_the_command_is_called_mesh_node() -> None:
    (command,) = entry_points(group="console_scripts", name="mesh-node")
    assert command.load() is main


# ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM] * 3], ids=str)
def test_a_signal_ends_a_node_in_good_order_and_soon(tmp_path: Path, start: Start, signals: list[int]) -> None:
    node = start(*place(tmp_path))
    node.ready()
    began = monotonic()
    assert node.end(*signals) == (0, "")
    assert monotonic() - began < STOP_S
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lock", "mesh.db", "original", "progress"]
    store = Store(tmp_path / "mesh.db")
    assert store.read_meta()["stopped"] == "yes"
    store.close()


def test_a_node_whose_proxy_was_never_there_says_so_and_stops_in_good_order(tmp_path: Path, start: Start) -> None:
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{kept.getsockname()[1]}"
        node = start(*place(tmp_path / "n"), "--peer", "tcp://10.0.0.7:7270", MESH_NODE_SOCKS5=proxy)
        node.ready()

        def reason() -> str:
            with NodeClient(tmp_path / "n") as client:
                return str(client.request("status")["peers"][0]["reason"])

        eventually(lambda: reason() == f"the proxy {proxy} does not answer: Connection refused")
        assert node.end(signal.SIGTERM) == (0, "")


def test_a_linked_peer_learns_that_a_node_left(tmp_path: Path, start: Start) -> None:
    first = start(*place(tmp_path / "a"), "--name", "a")
    address = first.ready()["listen"]
    second = start(*place(tmp_path / "b"), "--name", "b", "--peer", address)
    second.ready()
    assert second.process.stderr is not None
    with NodeClient(tmp_path / "b") as client:
        eventually(lambda: [row["link"] for row in client.request("peers")["rows"]] == ["up"])
        assert second.process.stderr.readline().endswith(" INFO node.agent: linked with a\n")
        assert first.end(signal.SIGTERM)[0] == 0
        eventually(lambda: [row["state"] for row in client.request("peers")["rows"]] == ["left"])
        assert second.process.stderr.readline().endswith(" INFO node.agent: left: a\n")
    began = monotonic()
    assert second.end(signal.SIGTERM) == (0, "")
    assert monotonic() - began < STOP_S


# ── refusing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(node: Running) -> str:
    """A process that could not start: exit code 2, nothing on standard output, one line on standard error."""
    out, said = node.process.communicate(timeout=20)
    assert (node.process.returncode, out) == (2, ""), said
    assert said.startswith("mesh-node: ")
    assert said.endswith("\n")
    assert said.count("\n") == 1
    return said


def test_a_second_node_on_the_same_directory_is_refused_and_the_first_goes_on(tmp_path: Path, start: Start) -> None:
    first = start(*place(tmp_path))
    said = first.ready()
    assert f"another node runs on {tmp_path}" in refused(start(*place(tmp_path)))
    assert json.loads((tmp_path / "node.json").read_text()) == said
    assert first.end(signal.SIGTERM) == (0, "")


def test_a_node_whose_port_is_taken_is_refused_and_its_directory_stays_usable(tmp_path: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert f"cannot listen at {address}" in refused(start("--data-dir", tmp_path, "--listen", address))
    assert not (tmp_path / "node.json").exists()
    assert start(*place(tmp_path)).ready()["ready"]


def test_a_node_whose_http_port_is_taken_is_refused_and_its_directory_stays_usable(
    tmp_path: Path, start: Start
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"cannot listen at {address} for HTTP: Address already in use" in refused(
            start(*place(tmp_path, address))
        )
    assert not (tmp_path / "node.json").exists()
    assert start(*place(tmp_path, address)).ready()["http"] == address


def test_a_directory_of_a_node_of_another_name_is_refused(tmp_path: Path, start: Start) -> None:
    first = start(*place(tmp_path), "--name", "a")
    first.ready()
    first.end(signal.SIGTERM)
    assert "belongs to node 'a', not 'b'" in refused(start(*place(tmp_path), "--name", "b"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--name", "two words"], "'two words' is no node name"),
        (["--listen", "here"], "'here' is no address"),
        (["--peer", "tcp://b"], "'tcp://b' is no address"),
        (["--peer", "tcp://b:0"], "cannot be dialled"),
        (["--peer", "tcp://-:1"], "cannot dial tcp://-:1"),
        (["--http", "8080"], "'8080' is no address of a page"),
        (["--config", "/no/such/node.toml"], "/no/such/node.toml cannot be read"),
        (["--data-dir", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(
    tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*place(tmp_path), *flags]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("mesh-node: ")
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("content", [b"no database " * 100, b"SQLite format 3\0" + bytes(50)])
def test_a_file_that_is_no_database_is_refused_and_kept(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mesh.db").write_bytes(content)
    assert main([*place(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "mesh.db" in said
    assert said.count("\n") == 1
    assert (tmp_path / "mesh.db").read_bytes() == content


def test_a_wrong_variable_is_one_line_and_exit_code_2(tmp_path: Path, start: Start) -> None:
    assert "MESH_NODE_NMAE is not known" in refused(start(*place(tmp_path), MESH_NODE_NMAE="a"))
    assert "heartbeat_s" in refused(start(*place(tmp_path), MESH_NODE_HEARTBEAT_S="often"))


def test_an_unknown_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--nmae", "a"])
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "mesh-node: error: unrecognized arguments: --nmae a"
