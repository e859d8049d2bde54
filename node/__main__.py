"""`mesh-node`: one node as a process. Reads the settings, runs the agent, stops on SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import resource
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mesh import timeslice
from mesh.errors import ConfigurationError, MeshError
from node.agent import Agent
from node.config import load_settings
from node.heap import give_back, keep_blocks

FILES_MAX = 65_536
FILES_MIN = 64
"""What a node opens for itself, and some links and pages. With fewer it fails wherever it happens to open one more."""
_GC_OBJECTS = 20_000
"""What a turn makes is gone at its end without the cyclic collector. Looking through it after every 700 objects, which
is Python's own setting, took a tenth of a busy node's time where frames hold single events."""


def main(argv: list[str] | None = None) -> int:
    """Run a node until it is told to stop. Returns 0 then, and 2 when it could not start."""
    flags = vars(parser().parse_args(argv))
    file: Path | None = flags.pop("config")
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        _raise_file_limit()
        settings = load_settings(file, given)
        logging.basicConfig(
            level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        keep_blocks()
        timeslice.shorten()
        agent = Agent(settings, give_back=give_back)
        gc.set_threshold(_GC_OBJECTS)
        gc.freeze()  # what there is by now stays; to look it through again and again took 5 % of a busy node's time
    except MeshError as error:
        print(f"mesh-node: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    try:
        agent.run(_say_ready)
    except ConfigurationError as error:
        print(f"mesh-node: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags. Everything else is set in the file or by MESH_NODE_* variables."""
    flags = argparse.ArgumentParser(
        prog="mesh-node",
        description="Run one meshbus node. Flags override MESH_NODE_* variables, those override the file.",
    )
    flags.add_argument("--version", action="version", version=f"mesh-node {version('meshbus')}")
    flags.add_argument("--config", type=Path, metavar="FILE", help="TOML file; configs/node.toml shows every key")
    flags.add_argument("--name", help="node name; default: the host name, kept in the data directory")
    flags.add_argument("--data-dir", metavar="DIR", help="where database, sockets and node.json live")
    flags.add_argument(
        "--listen", metavar="tcp://HOST:PORT", help="where peers may dial this node; port 0: any free one"
    )
    flags.add_argument(
        "--peer", action="append", dest="peers", metavar="tcp://HOST:PORT", help="a peer to dial; may be given again"
    )
    flags.add_argument(
        "--leaf", action="store_true", default=None, help="only dial: for a machine that nobody can reach, or may"
    )
    flags.add_argument(
        "--http", metavar="HOST:PORT", help="where /status, /healthz, /readyz and /metrics are; empty: nowhere"
    )
    return flags


def _raise_file_limit() -> None:
    """As many open files as the process may have: links and HTTP connections share them, and 1024 are soon used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < FILES_MIN:
        raise ConfigurationError(
            f"this process may open {most} files, and a node needs {FILES_MIN} and one for each link and program; "
            "raise the limit (ulimit -n, or LimitNOFILE= of its unit)"
        )


def _say_ready(description: dict[str, Any]) -> None:
    print(json.dumps(description), flush=True)


if __name__ == "__main__":
    sys.exit(main())
