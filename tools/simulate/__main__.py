"""`python -m tools.simulate`: run seeds of a mesh under virtual time, and judge each.

    python -m tools.simulate --seed 7 --nodes 50 --for 10m            one seed, every kind of fault
    python -m tools.simulate --seeds 1000 --faults crash,stall        seeds from --seed on, these kinds only
    python -m tools.simulate --seed 7 --trace                         print what happened around a violation
    python -m tools.simulate --cost 5,15,50,200                       what meshes of these sizes send, and how it grows

Exit code 0: every statement held for every seed. 1: one did not; its seed, the statement and the command that repeats
it are printed, the other seeds are run, and the last line counts them.
"""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from tools.simulate.cost import WANTING, measure, print_costs
from tools.simulate.faults import KINDS, Kind
from tools.simulate.report import Course, print_passed, print_violation
from tools.simulate.simulation import Setting

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def simulate(
    seed: Annotated[int, typer.Option(help="The (first) seed.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, one after the other.")] = 1,
    nodes: Annotated[int, typer.Option(min=2, help="How many machines.")] = 10,
    for_: Annotated[str, typer.Option("--for", help="How long faults happen, in virtual time: 90s, 10m.")] = "60s",
    faults: Annotated[str, typer.Option(help=f"Kinds with commas between, or none. Known: {', '.join(KINDS)}.")] = "",
    forget: Annotated[bool, typer.Option("--forget", help="Go on until who is gone is forgotten.")] = False,
    cost: Annotated[str, typer.Option(help="Measure meshes of these sizes instead, with commas between.")] = "",
    trace: Annotated[bool, typer.Option("--trace", help="Print the schedule around a violation.")] = False,
) -> None:
    """Simulate a mesh from a seed and judge what came of it."""
    if cost:
        print_costs(measure(each, everybody) for each in _sizes(cost) for everybody in (False, True))
        return
    kinds, for_s = _kinds(faults), _seconds(for_)
    failed = [
        each for each in range(seed, seed + seeds) if not _holds(Setting(each, nodes, for_s, kinds, forget), trace)
    ]
    if seeds > 1:
        print(f"{seeds} seeds, {len(failed)} failed{': ' if failed else ''}{', '.join(map(str, failed))}")
    if failed:
        raise typer.Exit(1)


def _holds(setting: Setting, trace: bool) -> bool:
    """Run one seed and print what came of it.

    Its garbage is collected at its end: to look through all that hundreds of nodes hold takes seconds each time.
    """
    gc.disable()
    course = Course.of(setting)
    if course.violated is not None:
        print_violation(course, trace)
    else:
        print_passed(course)
    held = course.violated is None
    del course
    gc.collect()
    return held


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(each) for each in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no sizes; write 5,15,50") from None
    if min(sizes) <= WANTING:
        raise typer.BadParameter(f"{min(sizes)} nodes are too few; a mesh is measured from {WANTING + 1} on")
    return sizes


def _kinds(text: str) -> tuple[Kind, ...]:
    if not text:
        return KINDS
    asked = [] if text == "none" else text.split(",")
    unknown = [each for each in asked if each not in KINDS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no kind of fault; known are {', '.join(KINDS)}, and none")
    return tuple(kind for kind in KINDS if kind in asked)


def _seconds(text: str) -> float:
    try:
        found = float(text[:-1]) * _UNITS[text[-1:]] if text[-1:] in _UNITS else float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 10m or 1h")
    return found


if __name__ == "__main__":
    typer.run(simulate)
