"""What was given out under colliding sequences enters once more, under the generation that is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.frame import decode
from node.reentry import give_up
from tests.node.workbench import Author, Bench, forwarded, values


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A node that has given out T 1..3, of which 2 and 3 in one batch, and U 1."""
    bench = Bench(tmp_path, "b")
    author = Author()
    bench.greet(author)
    for topic, *payloads in [("T", 1), ("T", 2, 3), ("U", 4)]:
        bench.turn(author.frame(topic, *payloads))
    return bench


def renewed(bench: Bench, first: int, generation: str = "00000002") -> None:
    """Let the node take a new generation, because what it has from a position on collides."""
    give_up(bench.state, first)
    assert bench.store.read_meta()["generation"] == ""
    bench.generation = generation
    bench.restart()


def entered(bench: Bench) -> list[tuple[str, int, list[int]]]:
    """topic, first sequence and payloads of what the log has of the present generation."""
    rows = [decode(row.frame) for row in bench.state.log.after(0, 1000)]
    return [(each.topic, each.sequence, values(each)) for each in rows if each.origin == bench.origin]


def test_what_collides_enters_again_in_its_order_whatever_is_known_of_its_content(bench: Bench) -> None:
    renewed(bench, 2)
    bench.turn()
    assert entered(bench) == [("T", 1, [2, 3]), ("U", 1, [4])]
    assert (bench.node._reentry.open, bench.node.counts["entered again"]) == (False, 3)


def test_a_batch_that_collides_in_part_enters_whole(bench: Bench) -> None:
    renewed(bench, 3)
    bench.turn()
    assert entered(bench) == [("T", 1, [2, 3]), ("U", 1, [4])]


def test_it_enters_once_also_where_the_node_is_killed_in_between_and_begins_again(bench: Bench) -> None:
    renewed(bench, 1)
    bench.restart()
    bench.turn()
    bench.restart()
    bench.turn()
    assert entered(bench) == [("T", 1, [1]), ("T", 2, [2, 3]), ("U", 1, [4])]


def test_much_of_it_enters_in_several_turns_and_nothing_of_other_origins(tmp_path: Path) -> None:
    bench, author = Bench(tmp_path, "b"), Author()
    bench.greet(author)
    for number in range(1, 101):
        bench.turn(author.frame("T", number))
    link, foreign = bench.peer("c"), Author("foreign").at(1, "T", 0)
    bench.turn(links=[(link, forwarded(foreign, "c.1", 1))])
    renewed(bench, 1)
    bench.turn()
    assert (len(entered(bench)), bench.node._reentry.open, bench.node.idle_ms(bench.now) <= 5) == (64, True, True)
    bench.turn()
    assert [payloads for _, _, payloads in entered(bench)] == [[number] for number in range(1, 101)]


def test_events_that_are_new_go_before_and_between_and_keep_their_own_place(bench: Bench) -> None:
    renewed(bench, 1)
    author = Author("other")
    bench.greet(author)
    bench.turn(author.frame("T", 9))
    assert entered(bench) == [("T", 1, [1]), ("T", 2, [2, 3]), ("U", 1, [4]), ("T", 4, [9])]


def test_of_two_generations_that_were_given_up_in_a_row_both_enter_again(bench: Bench) -> None:
    renewed(bench, 4)
    renewed(bench, 5, "00000003")
    bench.turn()
    bench.turn()
    assert (entered(bench), bench.node._reentry.open) == ([("U", 1, [4])], False)
