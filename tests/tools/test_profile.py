import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bench.child import ROOT
from tools.profile.stages import read, stages

PROGRAM = """
import threading, mesh.frame as frame
def work():
    for _ in range(2000):
        frame.content_hash(b"A" + bytes(1), b"{}")
threading.Thread(target=work).start()
"""


def test_every_thread_is_profiled_and_what_is_built_in_belongs_to_its_caller(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "tools.profile.profiled", str(tmp_path), "program"]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": ""}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    found = {cost.name: cost for cost in stages(read(tmp_path), 10.0, 2000)}
    assert set(found) >= {"mesh/frame"}
    assert 0 < found["mesh/frame"].us <= sum(cost.us for cost in found.values()) == pytest.approx(10.0)
    assert found["mesh/frame"].calls >= 1.0


@pytest.mark.slow
@pytest.mark.processes
def test_a_tiny_profile_names_stages_of_all_three_processes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tools.profile", "--json", "--seconds", "0.3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = {"publisher": "mesh/outbox", "broker": "node/store", "subscriber": "mesh/dispatch"}
    assert set(found["processes"]) == set(found["memory"]) == set(expected)
    for process, stage in expected.items():
        by_stage, by_function = found["processes"][process]
        assert stage in [name for name, _, _ in by_stage]
        assert sum(us for _, us, _ in by_stage) == pytest.approx(found["cpu_us"][process])
        assert 0 < len(by_function) <= 12
        assert len(found["memory"][process]) >= 1
