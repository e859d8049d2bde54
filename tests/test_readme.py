"""What the README shows is run: its programs, its shell lines, its links."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest

from mesh.client import NodeClient
from node.embedded import EmbeddedNode
from node.testing import LocalMesh
from tests.conditions import eventually

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def local():
    with LocalMesh(nodes=1) as found:
        yield found


def environment(data_dir):
    return {**os.environ, "MESH_NODE": str(data_dir), "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("program", blocks("python"))
def test_every_program_of_the_readme_runs(program, local):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(local.nodes[0].data_dir),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def repairable(local):
    """A node with one dead letter, whose handler has been mended since: its data directory."""
    mended = threading.Event()

    def handler(event):
        if not mended.is_set():
            raise ValueError("not yet")

    bus = local.connect()
    bus.subscribe("TRAINING_COMPLETED", handler, attempts=1)
    bus.publish("TRAINING_COMPLETED", {"config_key": "hex8_2p"}).wait(10)
    with NodeClient(local.nodes[0].data_dir) as client:
        eventually(lambda: client.request("dlq.summary")["dead"] == 1)
    mended.set()
    return local.nodes[0].data_dir


def run_to_the_last_letter(lines, data_dir):
    for line in lines:
        done = subprocess.run(
            shlex.split(line), env=environment(data_dir), capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
    with NodeClient(data_dir) as client:
        assert client.request("dlq.summary")["dead"] == 0


def test_the_operators_lines_work_on_a_dead_letter(repairable):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("mesh dlq")]
    assert [shlex.split(line)[:3] for line in lines] == [
        ["mesh", "dlq", "list"],
        ["mesh", "dlq", "show"],
        ["mesh", "dlq", "retry"],
    ]
    run_to_the_last_letter(lines, repairable)


def test_the_pages_of_the_readme_answer_what_it_asks_them(tmp_path):
    with EmbeddedNode(data_dir=tmp_path, http="127.0.0.1:0") as node:
        asked = re.findall(r"curl -s http://127\.0\.0\.1:7271(/\S*)(?: \| jq (\S+))?", README)
        assert {path for path, _ in asked} == {"/status", "/readyz"}
        for path, key in asked:
            with urlopen(f"http://{node.description['http']}{path}") as answer:
                said = json.load(answer)
            assert key.removeprefix(".") in {"", *said}


def test_every_step_of_the_troubleshooting_works_where_there_is_trouble(repairable):
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert [line for line in lines if not line.startswith("mesh ")] == []
    run_to_the_last_letter(lines, repairable)


@pytest.mark.processes
def test_the_two_nodes_of_the_readme_link(tmp_path):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("mesh-node")]
    assert len(lines) == 2
    started = []
    try:
        listen = start(lines[0].replace(":7270", ":0"), tmp_path / "left", started)["listen"]
        line = lines[1].replace("tcp://127.0.0.1:7270", listen).replace(":7280", ":0").replace("/tmp/right", "right")
        line = line.replace(":7281", ":0")
        start(line, tmp_path / "right", started)
        with NodeClient(tmp_path / "right" / "right") as client:
            eventually(lambda: [row["link"] for row in client.request("peers")["rows"]] == ["up"])
    finally:
        for process in started:
            process.terminate()
            process.wait(10)
            process.stdout.close()


def start(line, home, started):
    home.mkdir()
    environ = {
        **os.environ,
        "HOME": str(home),
        "MESH_NODE_HTTP": "",  # the first line takes the usual port, which may be in use here
        "XDG_DATA_HOME": str(home / "data"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    process = subprocess.Popen(shlex.split(line), env=environ, stdout=subprocess.PIPE, cwd=home)
    started.append(process)
    return json.loads(process.stdout.readline())


def test_every_file_the_readme_points_to_exists():
    assert [path for path in re.findall(r"\]\((?!http)([^)#]+)\)", README) if not (ROOT / path).exists()] == []


def test_ci_runs_the_readmes_set_up():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert blocks("sh")[1].strip().endswith("-m pytest")
