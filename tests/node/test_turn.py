"""What a turn makes of what is to be said."""

from __future__ import annotations

import pytest

from mesh.limits import CONTROL_BYTES_MAX, TOPIC_BYTES_MAX
from node.turn import ROWS_MAX, Turn
from tests.node.workbench import START, sent


@pytest.mark.parametrize("count", [0, 1, ROWS_MAX, ROWS_MAX + 1, 3 * ROWS_MAX])
def test_heads_go_in_as_few_pieces_as_the_far_end_takes(count: int) -> None:
    turn, rows = Turn(START), [("b.1", f"T.{number}", number) for number in range(count)]
    turn.heads_after("b", "heads", rows)
    pieces = sent(turn, "b")
    assert [tuple(row) for each in pieces for row in each["heads"]] == rows
    assert [each["t"] for each in pieces] == ["heads"] * -(-count // ROWS_MAX)


def test_a_piece_of_the_longest_names_is_taken_by_the_far_end() -> None:
    turn = Turn(START)
    turn.heads_after("b", "heads", [('"' * 300, '"' * TOPIC_BYTES_MAX, 1 << 62)] * ROWS_MAX)
    ((_, data),) = turn.closing_links
    assert len(data) < CONTROL_BYTES_MAX
