"""Where a node is: the data directory a program looks into, and the endpoints it finds there.

    MESH_NODE, else the default ──▶ DIR/node.json ──▶ in, out, ctl      ipc://… or tcp://127.0.0.1:…

A node writes `node.json` when it is ready and a program reads it anew at every attachment, so a node that comes back
on other endpoints is found without anybody telling.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_data_path

from mesh.errors import InvalidOption

NODE_FILE = "node.json"
NODE_VARIABLE = "MESH_NODE"


class Endpoints(NamedTuple):
    """The three addresses of a node's local sockets, as ZeroMQ spells them."""

    in_: str
    out: str
    ctl: str


def default_data_dir() -> Path:
    """The data directory of node and library when nobody names one: `meshbus` in the user's data directory."""
    return user_data_path("meshbus", appauthor=False)


def find_place(node: str | os.PathLike[str] | None) -> str:
    """What names the node: the argument, else MESH_NODE, else the default data directory."""
    return os.fspath(node) if node is not None else os.environ.get(NODE_VARIABLE) or str(default_data_dir())


def find_data_dir(node: str | os.PathLike[str] | None) -> Path:
    """The data directory of the node to attach to. Raises `InvalidOption` when the place is an address."""
    place = find_place(node)
    if "://" in place:
        raise InvalidOption(f"a program attaches to its own machine's node by data directory, not by {place!r}")
    return Path(place).expanduser()


def read_node_file(data_dir: Path) -> dict[str, Any] | None:
    """What the node wrote about itself, or None when there is no readable `node.json`."""
    try:
        content = json.loads((data_dir / NODE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def read_endpoints(data_dir: Path) -> Endpoints | None:
    """The node's endpoints, or None when `node.json` is missing, half written or names none."""
    content = read_node_file(data_dir) or {}
    addresses = [content.get(key) for key in ("in", "out", "ctl")]
    return Endpoints(*map(str, addresses)) if all(addresses) else None
