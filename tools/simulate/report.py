"""The report: what is printed of a seed that held, and of one that did not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.simulate.ledger import Violated
from tools.simulate.machine import Machine
from tools.simulate.simulation import Setting, Simulation

_AROUND_S = 2.0
_NOTES_MAX = 200


@dataclass(frozen=True, slots=True)
class Course:
    """A run that has ended, well or badly."""

    setting: Setting
    simulation: Simulation
    violated: Violated | None

    @classmethod
    def of(cls, setting: Setting, on_start: Callable[[Machine], object] | None = None) -> Course:
        """Run a seed to its end. `on_start` is told of every node that starts: tests break one there."""
        simulation = Simulation(setting)
        if on_start is not None:
            for machine in simulation.machines.values():
                machine.on_start.append(on_start)
        try:
            simulation.run()
        except Violated as violated:
            return cls(setting, simulation, violated)
        return cls(setting, simulation, None)


def command(setting: Setting) -> str:
    """What repeats a run."""
    faults = ",".join(setting.kinds) or "none"
    return (
        f"python -m tools.simulate --seed {setting.seed} --nodes {setting.nodes} "
        f"--for {setting.for_s:g}s --faults {faults}{' --forget' if setting.forget else ''}"
    )


def print_passed(course: Course) -> None:
    """One line for a seed that held."""
    simulation = course.simulation
    ledger = simulation.ledger
    calls = sum(len(each.calls) for each in ledger.consumers.values())
    print(
        f"seed {course.setting.seed}: {len(simulation.machines)} nodes, {simulation.world.now_s:.0f} s, "
        f"{len(simulation.faults)} faults, {len(ledger.publications)} events, {calls} handled; "
        f"every statement holds ({simulation.world.digest})"
    )


def print_violation(course: Course, trace: bool) -> None:
    """The seed, the statement, whom it is about, and how to see it again."""
    violated, simulation = course.violated, course.simulation
    assert violated is not None  # the caller has looked
    print(f"seed {course.setting.seed}: NOT TRUE that {violated.statement}")
    print(f"  {violated.detail}")
    if trace:
        _print_trace(simulation, violated)
    print(f"  at {simulation.world.now_s:.3f} s; again: {command(course.setting)}{'' if trace else ' --trace'}")


def _print_trace(simulation: Simulation, violated: Violated) -> None:
    print("  the schedule:")
    for fault in simulation.faults:
        print(f"    {fault}")
    print(f"  what was noted of {', '.join(violated.ids) or 'everybody'}:")
    notes = [note for note in simulation.world.notes if note[1] != "turn" and _about(note, violated.ids)]
    for at_us, *what in notes[-_NOTES_MAX:]:
        print(f"    {int(str(at_us)) / 1e6:9.3f} s  {' '.join(map(str, what))}")


def _about(note: tuple[object, ...], ids: tuple[str, ...]) -> bool:
    text = " ".join(map(str, note))
    return not ids or any(each in text for each in ids)
