"""Answers that wait for the disk."""

from __future__ import annotations

from node.postponed import Postponed


def test_of_two_answers_to_one_announcement_the_first_waits() -> None:
    postponed = Postponed()
    postponed.keep("b", 7, {"heads": [40]})
    postponed.keep("b", 7, {"heads": [55]})
    assert postponed.take() == [("b", {"heads": [40]})]
    assert not postponed


def test_answers_are_taken_up_in_the_order_in_which_they_came() -> None:
    postponed = Postponed()
    postponed.keep("b", 7, {"version": 7})
    postponed.keep("b", 8, {"version": 8})
    assert [fields["version"] for _, fields in postponed.take()] == [7, 8]


def test_answers_of_a_turn_that_failed_are_put_back_in_front_the_last_one_first() -> None:
    postponed = Postponed()
    postponed.put_back("b", 8, {"version": 8})
    postponed.put_back("b", 7, {"version": 7, "heads": [55]})
    postponed.put_back("b", 7, {"version": 7, "heads": [40]})
    assert [fields for _, fields in postponed.take()] == [{"version": 7, "heads": [40]}, {"version": 8}]


def test_an_answer_goes_with_its_link_to_another_connection_and_ends_with_it() -> None:
    postponed = Postponed()
    postponed.keep("b", 7, {})
    postponed.moved("b", b"\x01")
    assert bool(postponed)
    postponed.forget(b"\x01")
    assert not postponed
