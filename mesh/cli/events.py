"""`mesh events`: the catalogue of event types, and the code made from one. No node is asked for these.

list · show TYPE          what there is to publish and to subscribe
codegen FILE --out DIR    the enum and the typed emitters of any catalogue; --check for CI
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.cli import events_wiring
from mesh.cli.asked import AsJson, Node, asked, need_command, print_json

if TYPE_CHECKING:
    from mesh.coordination.catalog import Catalog, EventType


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
    group.callback()(events)
    group.command("list")(list_types)
    group.command()(show)
    group.command()(codegen)
    events_wiring.register(group)
    app.add_typer(group, name="events")


def events(context: typer.Context, node: Node = None, as_json: AsJson = False) -> None:
    """Event types, and whether somebody handles what is announced."""
    context.obj = asked(context, node, as_json)
    need_command(context)


def list_types(
    context: typer.Context,
    category: Annotated[str | None, typer.Option(help="Only this category.", show_default=False)] = None,
    critical: Annotated[bool, typer.Option("--critical", help="Only types somebody must handle.")] = False,
    as_json: AsJson = False,
) -> None:
    """All types of the catalogue, by category.

    The catalogue is the file named by MESH_EVENT_CATALOG, else the one that comes with the package.
    """
    from mesh.coordination.catalog import default_catalog

    types = [each for each in default_catalog() if not critical or each.critical]
    if category is not None:
        _check_category(default_catalog(), category)
        types = [each for each in types if each.category == category]
    if asked(context, None, as_json).json:
        print_json(types)
        return
    from mesh.cli import events_view, screen

    screen.show(events_view.listed(types))


def show(
    context: typer.Context,
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="A name or an alias, in any case.")],
    as_json: AsJson = False,
) -> None:
    """One type in full, with its payload.

    Also its emitter, and who is known to announce and to handle it.
    """
    kind = _find(type_)
    if asked(context, None, as_json).json:
        print_json(kind)
        return
    from mesh.cli import events_view, screen

    screen.show(events_view.described(kind))


def codegen(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A catalogue in TOML.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")] = Path(),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when a file is not current.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make event_types.py and emitters.py from a catalogue.

    And dedup_windows.toml, lines for node.toml, when a type has a dedup window of its own other than 0. With --json:
    the files that were written, or with --check each file and whether it is current.
    """
    from mesh.coordination.catalog_file import read_types
    from mesh.coordination.codegen import generate

    made = {out / name: text for name, text in generate(read_types(file)).items()}
    stale = [path for path, text in made.items() if not _is_current(path, text)]
    if not check:
        _write({path: made[path] for path in stale})
    if asked(context, None, as_json).json:
        print_json({str(path): path not in stale for path in made} if check else [str(path) for path in stale])
    else:
        for path in made:
            print(f"{path}: {'current' if path not in stale else 'not current' if check else 'written'}")
    if check and stale:
        raise typer.Exit(1)


def _check_category(catalog: Catalog, category: str) -> None:
    known = sorted({each.category for each in catalog})
    if category not in known:
        raise typer.BadParameter(f"no type has it; known are {', '.join(known)}", param_hint="--category")


def _find(spelling: str) -> EventType:
    from mesh.coordination.catalog import default_catalog
    from mesh.coordination.validation import unknown_type

    catalog = default_catalog()
    kind = catalog.get(catalog.canonical(spelling))
    if kind is None:
        raise unknown_type(catalog, spelling)
    return kind


def _is_current(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False  # writing it says why


def _write(made: Mapping[Path, str]) -> None:
    from mesh.errors import ConfigurationError

    for path, text in made.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}; see --out") from None
