"""What every command may be asked: which node, and whether people or programs read the answer.

    mesh --node DIR --json peers   ==   mesh peers --node DIR --json         the nearest --node to the command counts

Declared once here, so that every command says it in the same words.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mesh.client import NodeClient

Node = Annotated[
    str | None,
    typer.Option(
        "--node",
        metavar="DIR|tcp://HOST:PORT",
        help="The node to ask, by data directory or address. Default: MESH_NODE, else this user's node.",
        show_default=False,
    ),
]
SECONDS_MAX = 86400.0
"""No command waits longer than a day for anything."""


def _number(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is no number of seconds")
    return seconds


Interval = Annotated[float, typer.Option(min=0.1, max=SECONDS_MAX, callback=_number, help="Seconds between refreshes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@dataclass(frozen=True)
class Asked:
    """The node as the user named it (None: the default), and whether to print JSON."""

    node: str | None = None
    json: bool = False

    @property
    def place(self) -> str:
        """The node's data directory or address."""
        from mesh.location import find_place

        return find_place(self.node)

    def client(self) -> NodeClient:
        """A client of the node, to be used in a `with`. Raises `InvalidOption` when the place names none."""
        from mesh.client import NodeClient

        return NodeClient(self.place)

    def request(self, do: str, **fields: Any) -> dict[str, Any]:
        """The node's answer to one question, without the envelope."""
        with self.client() as client:
            answer = client.request(do, **fields)
        return {key: value for key, value in answer.items() if key not in ("id", "ok")}


def asked(context: typer.Context, node: str | None, as_json: bool) -> Asked:
    """Put together what stands after the command and what stands before it."""
    outer = context.obj if isinstance(context.obj, Asked) else Asked()
    return Asked(node if node is not None else outer.node, as_json or outer.json)


def need_command(context: typer.Context) -> None:
    """A group was called: without a command, say on standard error which there are, and exit as for wrong usage."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def print_json(value: object) -> None:
    """One JSON document, indented."""
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())


def print_row(value: object) -> None:
    """One JSON document on one line, at once."""
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode(), flush=True)


def complain(text: str) -> None:
    """One line on standard error, if there is one."""
    if sys.stderr is not None:
        print(f"mesh: {text}", file=sys.stderr, flush=True)
