"""Acting on letters a slice at a time, against a node that is a list."""

from __future__ import annotations

import getpass
import os
import socket
import time
from typing import Any, cast

import pytest
import typer

from mesh.cli.dlq_acts import choose
from mesh.client import NodeClient
from mesh.letter_acts import SLICE_LETTERS, Choice, Pace, actor, slices


class ListOfLetters:
    """Answers as a node with these letters does; odd ids listed in `refusing` are refused."""

    def __init__(self, ids: list[int], refusing: tuple[int, ...] = ()) -> None:
        self.ids = ids
        self.refusing = refusing
        self.asked: list[dict[str, Any]] = []

    def request(self, do: str, **fields: Any) -> dict[str, Any]:
        """One request."""
        if do == "dlq.summary":
            return {"waiting": 1, "dead": len(self.ids) - 1}
        self.asked.append(fields)
        if "ids" in fields:
            chosen = fields["ids"]
        else:
            chosen = [id_ for id_ in self.ids if id_ > fields["after"]][: fields["limit"]]
        accepted = [id_ for id_ in chosen if id_ not in self.refusing]
        refused = [(id_, "no") for id_ in chosen if id_ in self.refusing]
        self.ids += [max(self.ids) + 1]  # another one comes in meanwhile
        return {"accepted": accepted, "attempts": [1] * len(accepted), "refused": refused}


def walk(node: ListOfLetters, choice: Choice, dry_run: bool = False, pace: Pace | None = None) -> list[list[int]]:
    replies = slices(cast(NodeClient, node), "dlq.retry", choice, dry_run, pace or Pace())
    return [reply["accepted"] for reply in replies]


def test_all_are_walked_in_slices_and_what_comes_in_meanwhile_is_left() -> None:
    node = ListOfLetters(list(range(1, 121)))
    assert walk(node, Choice(None)) == [list(range(1, 51)), list(range(51, 101)), list(range(101, 121))]


def test_a_bound_counts_the_letters_that_were_accepted() -> None:
    node = ListOfLetters(list(range(1, 11)), refusing=(1, 3))
    assert walk(node, Choice(None, most=3)) == [[2], [4, 5]]


def test_the_filters_go_to_the_node() -> None:
    node = ListOfLetters([1])
    walk(node, Choice(None, None, "gpu.*", "feedback", 60.0), dry_run=True)
    assert node.asked == [
        {
            "topic": "gpu.*",
            "consumer": "feedback",
            "older_than_s": 60.0,
            "after": 0,
            "limit": 1,
            "actor": actor(),
            "dry_run": True,
        }
    ]


def test_named_letters_are_asked_for_once_each_in_slices() -> None:
    node = ListOfLetters([1])
    assert walk(node, Choice([*range(60), 5])) == [list(range(SLICE_LETTERS)), list(range(SLICE_LETTERS, 60))]


def test_no_letters_make_no_request() -> None:
    node = ListOfLetters([])
    node.request = lambda do, **_: {"waiting": 0, "dead": 0}  # type: ignore[method-assign]
    assert walk(node, Choice(None)) == []


@pytest.mark.parametrize(("rate", "size"), [(None, 50), (0.5, 1), (7.9, 7), (1000.0, 50)])
def test_a_slice_holds_what_one_second_allows(rate: float | None, size: int) -> None:
    assert Pace(rate).size == size


@pytest.mark.alone
def test_a_pace_makes_the_next_slice_wait_and_not_the_first() -> None:
    pace = Pace(50.0)
    began = time.monotonic()
    pace.wait()
    assert time.monotonic() - began < 0.05
    pace.spent(10)
    pace.wait()
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    ("ids", "every", "most", "topic"),
    [(None, False, None, None), ([1], True, None, None), ([1], False, 5, None), ([1], False, None, "A")],
)
def test_ids_and_all_exclude_each_other_and_filters_go_with_all(
    ids: list[int] | None, every: bool, most: int | None, topic: str | None
) -> None:
    with pytest.raises(typer.BadParameter):
        choose(ids, every, most, topic, None)


def test_the_actor_is_user_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ops")
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-17")
    assert actor() == "ops@gpu-17"


def test_a_user_without_a_name_acts_under_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert actor() == f"uid-{os.getuid()}@{socket.gethostname()}"
