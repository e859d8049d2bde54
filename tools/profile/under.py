"""A run whose three processes are started by another module: one that looks at them from inside."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tools.bench.child import Child
from tools.bench.figures import Run
from tools.bench.runner import Cell, Plan, Trial

END_S = 10.0
PROCESSES = ("publisher", "broker", "subscriber")


def run_under(module: str, cell: Cell, seconds: float, place: Path) -> Run:
    """Publish for so long, each process run as `python -m module DIR …`; what is found is in `place` / process."""
    plan, data_dir = Plan(), str(place / "data")
    flags = ["--data-dir", data_dir, "--name", "profiled", "--listen", "tcp://127.0.0.1:0", "--http", ""]
    with ExitStack() as stack:
        node = _child(module, place, "broker", "node", flags)
        stack.callback(_end_node, node)
        roles = {
            role: stack.enter_context(
                _child(
                    module, place, role, "tools.bench.roles", [role, cell.contender.name, cell.workload.name, data_dir]
                )
            )
            for role in ("subscriber", "publisher")
        }
        trial = Trial(roles["publisher"], [roles["subscriber"]], [node.pid], plan.quiet_s)
        return trial.part(0, seconds)


def _child(under: str, place: Path, process: str, module: str, arguments: Sequence[str]) -> Child:
    out = place / process
    out.mkdir()
    return Child(process, ["-m", under, str(out), module, *arguments], place / f"{process}.log")


def _end_node(node: Child) -> None:
    import psutil

    process = psutil.Process(node.pid)
    process.send_signal(signal.SIGTERM)
    psutil.wait_procs([process], END_S)
    node.kill()
