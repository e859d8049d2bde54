from __future__ import annotations

from typing import Any

from mesh.cli.views import mark, missing, names


def row(name: str, state: str = "alive", link: str = "up", address: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "link": link, "address": address}


PARTED = {
    "a": [row("b"), row("c", "dead", "down"), row("d", "suspect", "down")],
    "b": [row("a"), row("c", "dead", "down"), row("d", "left", "down")],
}


def test_all_that_anybody_knows_are_named() -> None:
    assert names(PARTED, ["z"]) == ["a", "b", "c", "d", "z"]


def test_a_mark_says_how_one_node_sees_another() -> None:
    marks = {name: mark("a", name, PARTED["a"]) for name in ("a", "b", "c", "d", "e")}
    assert marks == {"a": ".", "b": "+", "c": "x", "d": "~", "e": "?"}
    assert mark("b", "d", PARTED["b"]) == "-"


def test_the_former_self_of_a_linked_member_does_not_hide_it() -> None:
    assert mark("a", "b", [row("b", "dead", "down"), row("b")]) == "+"


def test_missing_are_the_dead_the_silent_and_the_addresses_where_nobody_is() -> None:
    views = {"b": [*PARTED["b"], row("", "suspect", "connecting", "tcp://h:1")], "a": PARTED["a"]}
    assert missing(views, ["z"]) == [
        "z (no answer)",
        "c (dead at a, b)",
        "tcp://h:1 (a peer of b, never reached)",
    ]


def test_who_left_is_not_missing_nor_is_who_somebody_is_linked_with() -> None:
    views = {"a": [row("b"), row("c", "dead", "down"), row("d", "left", "down")], "b": [row("a"), row("c")]}
    assert missing(views, []) == []
