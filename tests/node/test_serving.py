"""Giving other nodes what they ask for from the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import REPLAYED, decode
from mesh.limits import REPLAY_BYTES_MAX
from node.changes import Changes
from node.serving import FETCHES_MAX, SERVED_BYTES_PER_S, Serving
from node.turn import Turn
from tests.node.workbench import Author, Bench, after, sent, values


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def serving(bench: Bench) -> Serving:
    return Serving(bench.state)


def served(bench: Bench, serving: Serving, link: str = "b") -> tuple[list[object], list[dict[str, object]]]:
    """One turn's piece: the values sent, and what is said behind them."""
    turn = Turn(bench.now)
    serving.serve(turn)
    frames = [decode(data) for key, data in turn.links if key == link]
    assert all(frame.flags & REPLAYED for frame in frames)
    return [value for frame in frames for value in values(frame)], sent(turn, link)


def publish(bench: Bench, *batches: tuple[str, ...]) -> None:
    author = Author()
    bench.greet(author)
    for batch in batches:
        bench.turn(author.frame("A", *batch))


def test_what_is_asked_for_is_sent_and_then_said_to_be(bench: Bench, serving: Serving) -> None:
    publish(bench, ("1", "2"), ("3",), ("4",))
    serving.want("b", 7, [[bench.origin, "A", 3, 4]])
    assert served(bench, serving) == (["3", "4"], [{"t": "served", "id": 7, "gone": [], "absent": []}])
    assert served(bench, serving) == ([], [])


def test_what_was_never_here_is_absent_and_not_gone(bench: Bench, serving: Serving) -> None:
    publish(bench, ("1", "2"))
    serving.want("b", 1, [[bench.origin, "A", 2, 9], ["x.1", "A", 1, 4]])
    said = {"t": "served", "id": 1, "gone": [], "absent": [[bench.origin, "A", 3, 9], ["x.1", "A", 1, 4]]}
    assert served(bench, serving) == (["1", "2"], [said])  # the batch that holds the second


def test_what_retention_has_deleted_is_gone(bench: Bench, serving: Serving) -> None:
    publish(bench, ("1", "2"), ("3",))
    bench.store.commit(Changes(trim_before=3))
    serving.want("b", 1, [[bench.origin, "A", 1, 3]])
    assert served(bench, serving) == (
        ["3"],
        [{"t": "served", "id": 1, "gone": [[bench.origin, "A", 1, 2]], "absent": []}],
    )


def test_a_new_question_of_a_link_takes_the_place_of_its_former_one(bench: Bench, serving: Serving) -> None:
    publish(bench, ("1",), ("2",))
    serving.want("b", 1, [[bench.origin, "A", 1, 1]])
    serving.want("b", 2, [[bench.origin, "A", 2, 2]])
    assert served(bench, serving)[0] == ["2"]


def test_a_question_on_behalf_of_another_stands_beside_the_links_own(bench: Bench, serving: Serving) -> None:
    publish(bench, ("1",), ("2",))
    serving.want("b", 1, [[bench.origin, "A", 1, 1]])
    serving.want("b", -1, [[bench.origin, "A", 2, 2]])
    serving.moved("b", "c")
    assert served(bench, serving, "c")[0] == ["1"]
    bench.now = after(bench.now, 1)
    assert served(bench, serving, "c")[0] == ["2"]
    serving.want("c", -2, [[bench.origin, "A", 2, 2]])
    serving.forget("c")
    assert served(bench, serving, "c") == ([], [])


def next_piece(bench: Bench, serving: Serving) -> list[object]:
    """What the next turn sends, a while later."""
    bench.now = after(bench.now, 1)
    return served(bench, serving)[0]


def test_questions_on_behalf_of_several_are_all_answered(bench: Bench, serving: Serving) -> None:
    publish(bench, ("1",), ("2",), ("3",))
    serving.want("b", -1, [[bench.origin, "A", 1, 1]])
    serving.want("b", -2, [[bench.origin, "A", 2, 2]])
    serving.want("b", -3, [[bench.origin, "A", 1, 1]])  # the first, asked again
    assert [next_piece(bench, serving) for _ in range(3)] == [["2"], ["1"], []]


def test_of_very_many_on_behalf_of_others_the_oldest_are_let_go(bench: Bench, serving: Serving) -> None:
    numbers = [str(number) for number in range(1, FETCHES_MAX + 3)]
    publish(bench, *((number,) for number in numbers))
    serving.want("c", -1, [[bench.origin, "A", 1, 1]])
    for number in map(int, numbers):
        serving.want("b", -number, [[bench.origin, "A", number, number]])
    bench.now = after(bench.now, 1)
    assert served(bench, serving, "c")[0] == ["1"]
    assert [next_piece(bench, serving) for _ in numbers] == [*([number] for number in numbers[2:]), [], []]


def test_pieces_are_bounded_and_together_below_a_rate(bench: Bench, serving: Serving) -> None:
    large = "x" * 300_000
    publish(bench, *[(f"{number}{large}",) for number in range(6)])
    for link in ("b", "c"):
        serving.want(link, 1, [[bench.origin, "A", 1, 6]])
    first, _ = served(bench, serving)
    assert 3 <= len(first) <= 4  # the one that reaches the bound is the last
    assert served(bench, serving, "c") == ([], [])  # not yet: the rate
    assert 0 < serving.idle_ms(bench.now, 500) < 500
    bench.now = after(bench.now, 2 * REPLAY_BYTES_MAX / SERVED_BYTES_PER_S)
    assert serving.idle_ms(bench.now, 500) == 0
    assert served(bench, serving, "c")[0] == first
    assert serving.idle_ms(bench.now, 500) == 500


@pytest.mark.parametrize("ranges", [[["a"]], [["a", "T", "x", 2]], [1]])
def test_nonsense_is_a_wrong_value_and_asks_for_nothing(serving: Serving, bench: Bench, ranges: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        serving.want("b", 1, ranges)  # type: ignore[arg-type]
    assert served(bench, serving) == ([], [])
