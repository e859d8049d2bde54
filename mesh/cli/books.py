"""`mesh consumers` and `mesh audit`: how far everybody is, and whether the books balance."""

from __future__ import annotations

from typing import Annotated

import typer

from mesh.cli.asked import AsJson, Node, asked, print_json


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback()(consumers)
    group.command()(forget)
    app.add_typer(group, name="consumers")
    app.command()(audit)


def consumers(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """Who consumes what, how far they are, and who is behind."""
    ask = context.obj = asked(context, node, as_json)
    if context.invoked_subcommand is not None:
        return
    rows = ask.request("consumers")["rows"]
    if ask.json:
        print_json(rows)
        return
    from mesh.cli import books_view, screen

    screen.show(books_view.consumers(rows))


def forget(
    context: typer.Context,
    consumer: Annotated[str, typer.Argument(metavar="NAME", help="The consumer, as `mesh consumers` names it.")],
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """End a consumer for good.

    What it has settled is forgotten, and nothing is kept for it any more.

    Not while a program is attached under that name, nor while it has letters.
    """
    ask = asked(context, node, as_json)
    ask.request("consumers.forget", consumer=consumer)
    if ask.json:
        print_json({"forgotten": consumer})
    else:
        typer.echo(f"{consumer} is forgotten")


def audit(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """Balance the books.

    For every consumer: published = settled + waiting + dead + expired + lost + in flight. Exits 1 when it is not so.
    """
    ask = asked(context, node, as_json)
    answer = ask.request("audit")
    if ask.json:
        print_json(answer)
    else:
        from mesh.cli import books_view, screen

        screen.show(books_view.audit(answer))
    raise typer.Exit(0 if answer["balanced"] else 1)
