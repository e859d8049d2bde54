"""The `mesh` command: what an operator asks a node, and publishing and listening from a shell.

    peers       status · peers                       pub_sub   pub · sub
    dlq         dlq · list · show · errors · watch   log       log stats · tail · show · replay
    dlq_acts    dlq retry · discard · cleanup        books     consumers · audit          demo   demo
    events      events list · show · codegen         events_wiring   events orphans · check

A command asks the node over its `ctl` socket, or uses the library like any program; no database is opened here. The
files named `…_view` make text of answers and are imported, with Rich and ZeroMQ, only by a command that prints, so
that `mesh --help` comes at once.

Exit codes: 0 fine · 1 the thing asked for failed, or a check found something · 2 usage · 3 no node answers. An error
is one line on standard error. A reader that goes away (`| head`) has seen enough: 0.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from mesh.cli import books, dlq, events, log, peers, pub_sub
from mesh.cli.asked import AsJson, Node, asked, complain, need_command
from mesh.errors import (
    InvalidOption,
    InvalidTopic,
    MeshError,
    NodeUnreachable,
    NotSerializable,
    PayloadTooLarge,
)

FAILED, USAGE, NO_NODE = 1, 2, 3
_USAGE_ERRORS = (InvalidOption, InvalidTopic, NotSerializable, PayloadTooLarge)
_COMPLETE = "_MESH_COMPLETE"


def make_app() -> typer.Typer:
    """All commands."""
    app = typer.Typer(rich_markup_mode=None, invoke_without_command=True, pretty_exceptions_enable=False)
    app.callback()(root)
    for group in (peers, pub_sub, dlq, log, books, events):
        group.register(app)
    app.command("demo")(run_demo)
    return app


def root(
    context: typer.Context,
    node: Node = None,
    as_json: AsJson = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Look after a meshbus node: peers, events, dead letters, the log, the books."""
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"mesh {version_of('meshbus')}")
        raise typer.Exit
    context.obj = asked(context, node, as_json)
    need_command(context)


def run_demo(context: typer.Context, as_json: AsJson = False) -> None:
    """See it work: three real nodes, events, a failing handler.

    The nodes run on loopback and leave nothing behind; it ends with a retry and the books balanced.
    """
    from mesh.cli.demo import demo

    raise typer.Exit(demo(asked(context, None, as_json).json))


def main(arguments: list[str] | None = None) -> int:
    """Run one command line (default: this process's); returns the exit code."""
    command = typer.main.get_command(make_app())
    if _COMPLETE in os.environ:
        command.main(prog_name="mesh")
    if sys.stdout is None:  # what is opened next would take its place
        complain("standard output is closed; send it to /dev/null if nobody is to read it")
        return FAILED
    _write_anything()
    try:
        with command.make_context("mesh", sys.argv[1:] if arguments is None else list(arguments)) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return _flushed(end.exit_code)
    except TyperException as error:
        complain(_usage(error))
        return error.exit_code
    except MeshError as error:
        complain(str(error))
        return exit_code(error)
    except KeyboardInterrupt:
        complain("interrupted")
        return FAILED
    except OSError as error:
        return _unwritten(error)
    return 0


def exit_code(error: MeshError) -> int:
    """The exit code that an error of the library stands for."""
    if isinstance(error, NodeUnreachable):
        return NO_NODE
    return USAGE if isinstance(error, _USAGE_ERRORS) else FAILED


def _usage(error: Any) -> str:
    """What typer says, and where to read how it is done."""
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context is not None else ""
    return str(error.format_message()).rstrip(".") + hint


def _write_anything() -> None:
    """No character that the terminal cannot show may end a command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return code


def _unwritten(error: OSError) -> int:
    """Standard output takes no more, and what is still buffered goes nowhere. Who has gone has read enough: 0."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    complain(f"cannot go on: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    return FAILED
