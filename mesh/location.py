"""Where a node is: the data directory a program looks into, and the endpoints it finds there.

    MESH_NODE, else the default ──▶ DIR/node.json ──▶ in, out, ctl      ipc://… or tcp://127.0.0.1:…
                                ──▶ tcp://HOST:PORT ──▶ the node is asked (`mesh.inquiry`)

A node writes `node.json` when it is ready and a program reads it anew at every attachment, so a node that comes back
on other endpoints is found without anybody telling.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_data_path

from mesh.errors import InvalidOption

NODE_FILE = "node.json"
NODE_VARIABLE = "MESH_NODE"
_ADDRESS = re.compile(r"(tcp://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5})|(ipc://.+)")


class Endpoints(NamedTuple):
    """The three addresses of a node's local sockets, as ZeroMQ spells them."""

    in_: str
    out: str
    ctl: str


def default_data_dir() -> Path:
    """The data directory of node and library when nobody names one: `meshbus` in the user's data directory."""
    return user_data_path("meshbus", appauthor=False)


def find_place(node: str | os.PathLike[str] | None) -> str:
    """What names the node: the argument, else MESH_NODE, else the default data directory.

    A data directory is returned with its `~` expanded, an address (`is_address`) as it is. Raises `InvalidOption` for
    an empty argument, and for an address that is none.
    """
    place = os.fspath(node) if node is not None else os.environ.get(NODE_VARIABLE) or str(default_data_dir())
    if not place:
        raise InvalidOption("'' names no node; write a data directory or tcp://HOST:PORT, or leave it out")
    if not is_address(place):
        return str(Path(place).expanduser())
    if not _ADDRESS.fullmatch(place):
        raise InvalidOption(f"{place!r} is no address; write a data directory or tcp://HOST:PORT")
    return place


def is_address(place: str) -> bool:
    """Whether a node is named by the address of its `ctl`, and not by its data directory."""
    return "://" in place


def read_node_file(data_dir: Path) -> dict[str, Any] | None:
    """What the node wrote about itself, or None when there is no readable `node.json`."""
    try:
        content = json.loads((data_dir / NODE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def read_endpoints(data_dir: Path) -> Endpoints | None:
    """The node's endpoints, or None when `node.json` is missing, half written or names none."""
    return endpoints_in(read_node_file(data_dir) or {})


def endpoints_in(content: dict[str, Any]) -> Endpoints | None:
    """The endpoints of a `node.json`, or of the answer that says the same; None when it does not name all three."""
    addresses = [content.get(key) for key in ("in", "out", "ctl")]
    return Endpoints(*map(str, addresses)) if all(addresses) else None
