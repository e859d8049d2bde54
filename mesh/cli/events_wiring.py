"""`mesh events orphans` and `mesh events check`: whether what is announced is heard, and the other way round.

    orphans   announced, and nobody subscribes to it
    check     that, and: subscribed and never announced; critical without an attached consumer; never seen (a note)

Both are made for CI: exit 1 when something is found that the allow-list does not accept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.asked import AsJson, Asked, Node, asked, complain, print_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.coordination.wiring import Verified
    from mesh.coordination.wiring_gaps import Gap, Kind

Allow = Annotated[
    Path | None,
    typer.Option(
        "--allow",
        metavar="FILE",
        help="Gaps that are accepted: a topic or pattern a line, with the kind of gap before it or for all kinds.",
        show_default=False,
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `mesh events`."""
    group.command()(orphans)
    group.command()(check)


def orphans(context: typer.Context, allow: Allow = None, node: Node = None, as_json: AsJson = False) -> None:
    """Events that are announced and that nobody subscribes to.

    Exits 1 when there are any.
    """
    ask = asked(context, node, as_json)
    verified = _verified(ask, allow)
    found = tuple(gap for gap in verified.gaps if gap.kind == "orphan")
    _tell(ask, replace(verified, gaps=found), list(found), "every announced event has a subscriber")


def check(
    context: typer.Context,
    allow: Allow = None,
    every: Annotated[bool, typer.Option("--all", help="Name the types that were never seen, too.")] = False,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Everything that is wrong with the wiring.

    Orphans, subscriptions that wait for what nobody announces, and critical events without an attached consumer. Types
    of the catalogue that were never seen are counted. Exits 1 when there is something to mend.
    """
    ask = asked(context, node, as_json)
    verified = _verified(ask, allow)
    shown = list(verified.gaps) if every or ask.json else verified.to_mend
    _tell(ask, verified, shown, "the wiring is complete")


def _verified(ask: Asked, allow: Path | None) -> Verified:
    from mesh.coordination.wiring import verify
    from mesh.coordination.wiring_gaps import read_allow_list

    allowed = None if allow is None else read_allow_list(_text(allow), str(allow))
    with ask.client() as client:
        return verify(client, allowed)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}", param_hint="--allow") from None


def _tell(ask: Asked, verified: Verified, shown: list[Gap], fine: str) -> None:
    """Print what was found, and exit by whether any of it is to be mended or a node did not answer."""
    if ask.json:
        nodes = {"nodes": verified.nodes, "silent": verified.silent}
        print_json({**nodes, "complete": verified.complete, "gaps": [gap._asdict() for gap in shown]})
    else:
        from mesh.cli import screen

        screen.show(*_parts(shown, verified, fine))
    if verified.silent:
        complain(f"no answer from {', '.join(verified.silent)}; what is heard there is not counted")
    raise typer.Exit(0 if verified.complete else 1)


def _parts(shown: list[Gap], verified: Verified, fine: str) -> list[RenderableType]:
    from rich.text import Text

    from mesh.cli import screen

    parts: list[Any] = []
    if shown:
        table = screen.table("kind", "topic", "node", "what")
        for gap in shown:
            table.add_row(gap.kind, screen.plain(gap.topic), ", ".join(gap.nodes), screen.one_line(gap.text))
        parts.append(table)
    counts: Counter[Kind] = Counter(gap.kind for gap in verified.gaps)
    found = len(verified.to_mend)
    said = [f"{found} found" if found else fine if verified.complete else "nothing found"]
    if counts["never-seen"]:
        said.append(f"{counts['never-seen']} types of the catalogue were never seen")
    asked_nodes = ", ".join(verified.nodes)
    return [*parts, Text(f"{'; '.join(said)} (asked: {asked_nodes})")]
