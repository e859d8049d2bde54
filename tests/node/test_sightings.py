"""What the log says of who comes and goes."""

from __future__ import annotations

from typing import Any

import pytest

from node.sightings import Sightings


def row(name: str, state: str, reason: str = "") -> dict[str, Any]:
    return {"name": name, "origin": f"{name}.1", "state": state, "reason": reason}


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("alive",), ["linked with b"]),
        (("known", "known", "alive"), ["linked with b"]),
        (("alive", "alive", "alive"), ["linked with b"]),
        (("alive", "suspect"), ["linked with b", "suspected: b (why)"]),
        (("alive", "suspect", "dead"), ["linked with b", "suspected: b (why)", "taken for dead: b (why)"]),
        (("alive", "left", "left"), ["linked with b", "left: b"]),
        (("alive", "dead", "alive"), ["linked with b", "taken for dead: b (why)", "back: b"]),
        (("alive", "suspect", "alive"), ["linked with b", "suspected: b (why)", "back: b"]),
        (("alive", "left", "alive"), ["linked with b", "left: b", "back: b"]),
        (("known", "left", "known"), []),
        (("alive", "dead", "known", "alive"), ["linked with b", "taken for dead: b (why)", "back: b"]),
        (
            ("alive", "suspect", "known", "known", "alive"),
            ["linked with b", "suspected: b (why)", "no link any more: b (why)", "back: b"],
        ),
        (("alive", "known", "dead"), ["linked with b", "no link any more: b (why)", "taken for dead: b (why)"]),
        (("dead",), []),
    ],
)
def test_each_change_is_said_once(states: tuple[str, ...], said: list[str]) -> None:
    sightings = Sightings()
    assert [line for state in states for line in sightings.news([row("b", state, "why")])] == said


def test_many_at_once_are_one_line_with_a_bound() -> None:
    sightings = Sightings()
    names = [f"n{number}" for number in range(50)]
    assert sightings.news([row(name, "alive") for name in names]) == [f"linked with {', '.join(names[:8])} and 42 more"]
    assert sightings.news([row("n0", "dead"), *(row(name, "left") for name in names[1:4])]) == [
        "taken for dead: n0",
        "left: n1, n2, n3",
    ]


def address(at: str, reason: str) -> dict[str, Any]:
    return {"name": "", "origin": "", "state": "suspect", "address": at, "reason": reason}


def test_an_address_where_nobody_answers_is_said_once_and_not_before_it_had_time_to() -> None:
    sightings = Sightings()
    wrong = address("tcp://b:1", "nobody answers there")
    said = [sightings.news([wrong]) for _ in range(30)]
    assert said == [*([[]] * 9), ["no node at tcp://b:1 (nobody answers there)"], *([[]] * 20)]
    assert [sightings.news([address("tcp://b:1", "")]) for _ in range(10)] == [*([[]] * 9), ["no node at tcp://b:1"]]


def test_an_address_that_answers_in_time_is_not_spoken_of() -> None:
    sightings = Sightings()
    early, late = address("tcp://b:1", "nobody answers there"), address("tcp://c:1", "its name is not found")
    said = [sightings.news([early, late] if look < 9 else [row("b", "alive"), late]) for look in range(10)]
    assert said == [*([[]] * 9), ["linked with b", "no node at tcp://c:1 (its name is not found)"]]
