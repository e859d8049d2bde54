"""Settlement: cursors that move without gaps, and reports that merge."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.requests import Failure
from mesh.settlement import FAULTS_MAX, Settlement
from mesh.streams import Range

KEY = ("n.1", "A")


def failure(sequence: int) -> Failure:
    return Failure(
        sequence=sequence, attempt=1, kind="error", error_type="ValueError", error="", traceback="", elapsed_s=0.0
    )


def test_a_report_is_json():
    settlement = begun()
    settlement.skip(KEY, 1, 2, Range(1, 2))
    settlement.finish(KEY, 3, failure(3))
    assert orjson.loads(orjson.dumps(settlement.report()))["moves"][0][5] == [[1, 2]]


def begun(settled: int = 0) -> Settlement:
    settlement = Settlement()
    settlement.begin(KEY, settled)
    return settlement


def moves(settlement: Settlement) -> list[tuple[int, int]]:
    return [(move[2], move[3]) for move in settlement.report()["moves"]]


def test_events_in_order_move_the_cursor():
    settlement = begun(4)
    settlement.finish(KEY, 5)
    settlement.finish(KEY, 6)
    assert settlement.report() == {"moves": [("n.1", "A", 4, 6, [], [])], "letters": []}


def test_an_event_that_still_runs_holds_the_cursor_back():
    settlement = begun()
    for sequence in (2, 3, 5):
        settlement.finish(KEY, sequence)
    assert not settlement.unreported
    settlement.finish(KEY, 1)
    assert moves(settlement) == [(0, 3)]


def test_a_failure_is_reported_when_the_cursor_passes_it():
    settlement = begun()
    settlement.finish(KEY, 2, failure(2))
    assert settlement.report()["moves"] == []
    settlement.finish(KEY, 1)
    assert settlement.report()["moves"] == [("n.1", "A", 0, 2, [failure(2)], [])]


def test_a_settlement_is_faulty_from_a_failure_that_the_cursor_passes_until_it_is_confirmed():
    settlement = begun()
    settlement.finish(KEY, 2, failure(2))
    assert not settlement.faulty
    settlement.finish(KEY, 1)
    assert settlement.faulty
    settlement.report()
    settlement.confirmed()
    settlement.finish(KEY, 3)
    assert not settlement.faulty


def test_a_settlement_is_faulty_while_it_has_lost_ranges_or_outcomes_of_redeliveries_to_tell():
    settlement = begun()
    settlement.skip(KEY, 1, 2, Range(1, 2))
    assert settlement.faulty
    settlement.report()
    settlement.finish_letter((1, 2, None))
    settlement.confirmed()
    assert settlement.faulty
    settlement.report()
    settlement.confirmed()
    assert not settlement.faulty


def test_a_lost_range_waits_for_what_is_before_it():
    settlement = begun()
    settlement.skip(KEY, 2, 4, Range(2, 4))
    settlement.finish(KEY, 5)
    settlement.finish(KEY, 1)
    assert settlement.report()["moves"] == [("n.1", "A", 0, 5, [], [(2, 4)])]


def test_a_skipped_range_that_was_never_owed_is_no_loss():
    settlement = Settlement()
    settlement.skip(KEY, 1, 6, None)
    settlement.finish(KEY, 7)
    assert settlement.report()["moves"] == [("n.1", "A", 0, 7, [], [])]


def test_a_buried_event_is_passed_when_the_cursor_reaches_it_and_nothing_is_said_of_it():
    settlement = begun()
    settlement.bury(KEY, 3)
    assert not settlement.unreported
    settlement.finish(KEY, 1)
    settlement.finish(KEY, 2)
    assert settlement.report()["moves"] == [("n.1", "A", 0, 3, [], [])]


def test_a_buried_event_next_to_the_cursor_moves_it_at_once():
    settlement = begun(4)
    settlement.bury(KEY, 5)
    assert settlement.report()["moves"] == [("n.1", "A", 4, 5, [], [])]
    settlement.confirmed()
    settlement.bury(KEY, 5)
    assert not settlement.unreported


def test_a_lost_range_does_not_count_the_buried_events_in_it():
    settlement = begun()
    settlement.bury(KEY, 3)
    settlement.skip(KEY, 1, 5, Range(1, 5))
    assert settlement.report()["moves"] == [("n.1", "A", 0, 5, [], [(1, 2), (4, 5)])]


def test_what_was_to_be_said_of_an_event_is_not_said_once_it_is_buried():
    settlement = begun()
    settlement.finish(KEY, 2, failure(2))
    settlement.skip(KEY, 3, 4, Range(3, 4))
    for sequence in (2, 3):
        settlement.bury(KEY, sequence)
    settlement.finish(KEY, 2, failure(2))
    settlement.finish(KEY, 1)
    assert settlement.report()["moves"] == [("n.1", "A", 0, 4, [], [(4, 4)])]


def test_a_confirmed_report_is_not_made_again():
    settlement = begun()
    settlement.finish(KEY, 1, failure(1))
    settlement.finish_letter((9, 2, None))
    settlement.report()
    settlement.confirmed()
    assert not settlement.unreported
    assert settlement.report() == {"moves": [], "letters": []}


def test_what_finishes_while_a_report_is_under_way_is_in_the_next_one():
    settlement = begun()
    settlement.finish(KEY, 1)
    settlement.finish_letter((1, 2, None))
    settlement.report()
    settlement.finish(KEY, 2)
    settlement.finish_letter((2, 2, None))
    settlement.confirmed()
    assert settlement.report() == {"moves": [("n.1", "A", 1, 2, [], [])], "letters": [(2, 2, None)]}


def test_a_report_without_answer_is_contained_in_the_next_one():
    settlement = begun()
    settlement.finish(KEY, 1, failure(1))
    settlement.finish_letter((1, 2, None))
    settlement.report()
    settlement.finish(KEY, 2)
    assert settlement.report() == {
        "moves": [("n.1", "A", 0, 2, [failure(1)], [])],
        "letters": [(1, 2, None)],
    }


def test_a_report_stops_before_the_failure_that_is_one_too_many():
    settlement = begun()
    for sequence in range(1, FAULTS_MAX + 11):
        settlement.finish(KEY, sequence, failure(sequence))
    (move,) = settlement.report()["moves"]
    assert (move[3], len(move[4])) == (FAULTS_MAX, FAULTS_MAX)
    settlement.confirmed()
    (move,) = settlement.report()["moves"]
    assert (move[2], move[3], len(move[4])) == (FAULTS_MAX, FAULTS_MAX + 10, 10)


def test_lost_ranges_and_redeliveries_count_against_the_bound_of_failures():
    settlement = begun()
    settlement.finish_letter((9, 2, None))
    settlement.skip(KEY, 1, 2, Range(1, 2))
    settlement.finish(KEY, 3, failure(3))
    settlement.skip(KEY, 4, 9, Range(4, 9))
    assert settlement.report(3) == {
        "moves": [("n.1", "A", 0, 3, [failure(3)], [(1, 2)])],
        "letters": [(9, 2, None)],
    }
    settlement.confirmed()
    assert settlement.report(3)["moves"] == [("n.1", "A", 3, 9, [], [(4, 9)])]


def test_of_many_streams_as_many_are_reported_as_one_report_holds():
    settlement = begun()
    for topic in "ABC":
        settlement.finish(("n.1", topic), 1)
    reported = []
    while settlement.unreported:
        reported.append([move[1] for move in settlement.report(moves_max=2)["moves"]])
        settlement.confirmed()
    assert reported == [["A", "B"], ["C"]]


def test_what_a_node_has_forgotten_again_is_reported_to_it_once_more():
    settlement = begun()
    settlement.pass_(KEY, 1, 5)
    settlement.report()
    settlement.confirmed()
    settlement.stands(KEY, 3)
    assert settlement.report()["moves"] == [(*KEY, 3, 5, [], [])]
    settlement.confirmed()
    settlement.stands(KEY, 5)
    assert not settlement.unreported


def test_a_stream_that_begins_anew_has_nothing_to_report():
    settlement = begun()
    settlement.pass_(KEY, 1, 5)
    settlement.begin(KEY, 2)
    assert not settlement.unreported
    assert settlement.resume() == [(*KEY, 2)]


def test_resume_lists_every_stream_that_was_begun():
    settlement = begun(3)
    settlement.finish(KEY, 4)
    settlement.report()
    settlement.confirmed()
    settlement.finish(KEY, 5)
    settlement.begin(("n.1", "B"), 0)
    assert settlement.resume() == [("n.1", "A", 4), ("n.1", "B", 0)]  # 5 is not reported yet


@given(
    st.permutations(range(1, 12)), st.sets(st.integers(1, 11)), st.sets(st.integers(0, 10)), st.sets(st.integers(0, 10))
)
def test_in_any_order_every_event_is_reported_once_and_every_failure_with_it(order, bad, reported_after, lost_reports):
    settlement, cursor, failed = begun(), 0, []

    def report(lost: bool) -> None:
        nonlocal cursor
        for _, _, from_, to, failures, _ in settlement.report()["moves"]:
            assert from_ == cursor < to
            if not lost:
                cursor = to
                failed.extend(each["sequence"] for each in failures)
        if not lost:
            settlement.confirmed()

    for index, sequence in enumerate(order):
        settlement.finish(KEY, sequence, failure(sequence) if sequence in bad else None)
        if index in reported_after:
            report(lost=index in lost_reports)
    report(lost=False)
    assert cursor == 11
    assert failed == sorted(bad)
    assert not settlement.unreported


# ── what the node refuses ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_move_is_not_said_again_and_the_others_are():
    settlement = begun()
    settlement.begin(("n.1", "B"), 0)
    settlement.finish(KEY, 1)
    settlement.finish(("n.1", "B"), 1)
    settlement.report()
    assert settlement.refused({0: None}, []) == ["stream n.1/A"]
    assert settlement.report()["moves"] == [("n.1", "B", 0, 1, [], [])]
    settlement.confirmed()
    settlement.finish(KEY, 2)
    assert (settlement.unreported, settlement.holding) == (False, True)
    settlement.say_again()
    assert (moves(settlement), settlement.holding) == ([(0, 2)], False)


def test_a_move_beyond_what_the_node_has_is_made_up_to_there():
    settlement = begun(2)
    settlement.finish(KEY, 3, failure(3))
    for sequence in (4, 5, 6):
        settlement.finish(KEY, sequence, failure(sequence) if sequence == 5 else None)
    settlement.report()
    settlement.refused({0: 4}, [])
    assert settlement.report()["moves"] == [("n.1", "A", 2, 4, [failure(3)], [])]
    settlement.confirmed()
    assert (settlement.unreported, settlement.faulty) == (False, False)
    settlement.say_again()
    assert settlement.report()["moves"] == [("n.1", "A", 4, 6, [failure(5)], [])]
    settlement.confirmed()
    assert not settlement.unreported


def test_where_all_that_was_finished_ends_at_the_nodes_head_nothing_is_held():
    settlement = begun()
    settlement.finish(KEY, 1)
    settlement.finish(KEY, 2)
    settlement.report()
    settlement.refused({0: 1}, [])
    settlement.stands(KEY, 0)
    settlement.report()
    settlement.confirmed()
    settlement.say_again()
    settlement.report()
    settlement.confirmed()
    settlement.finish(KEY, 3)
    assert moves(settlement) == [(2, 3)]


@pytest.mark.parametrize("head", [0, 1, 2, 3, 99])
def test_whatever_end_the_node_names_each_refusal_shortens_the_move(head):
    settlement = begun()
    for sequence in (1, 2, 3):
        settlement.finish(KEY, sequence)
    said = []
    while (made := moves(settlement)) and len(said) < 10:
        said += made
        settlement.refused({0: head}, [])
    assert [to for _, to in said] == sorted({to for _, to in said}, reverse=True)
    assert not settlement.unreported


def test_a_refused_outcome_is_dropped_and_the_others_are_said():
    settlement = begun()
    for letter in (7, 8, 9):
        settlement.finish_letter((letter, 2, None))
    settlement.report()
    assert settlement.refused({}, [1]) == ["letter 8"]
    assert settlement.report()["letters"] == [(7, 2, None), (9, 2, None)]
    settlement.confirmed()
    assert not settlement.unreported


def test_a_stream_that_begins_anew_is_not_held():
    settlement = begun()
    settlement.finish(KEY, 1)
    settlement.report()
    settlement.refused({0: None}, [])
    settlement.begin(KEY, 0)
    settlement.finish(KEY, 1)
    assert moves(settlement) == [(0, 1)]
