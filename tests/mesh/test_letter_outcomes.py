"""What became of letters that were retried."""

from __future__ import annotations

import pytest

from mesh.letter_outcomes import Outcome, Tally, Word, judge


def test_a_letter_that_is_gone_was_resolved() -> None:
    assert judge({7: 3}, {}) == [Outcome(7, "resolved")]


def test_a_letter_with_more_attempts_failed_again_with_its_new_error() -> None:
    row = {"attempts": 4, "error_type": "KeyError", "error": "'x'"}
    assert judge({7: 3}, {7: row}) == [Outcome(7, "failed", "KeyError: 'x'")]


def test_a_letter_with_as_many_attempts_has_no_outcome_yet() -> None:
    assert judge({7: 3}, {7: {"attempts": 3}}) == []


@pytest.mark.parametrize(
    ("words", "interrupted", "code"),
    [
        ((), False, 0),
        (("resolved", "waiting", "discarded", "accepted"), False, 0),
        (("resolved", "failed"), False, 1),
        (("resolved", "refused"), False, 1),
        (("resolved",), True, 1),
    ],
)
def test_the_exit_code_says_whether_all_went_well(words: tuple[Word, ...], interrupted: bool, code: int) -> None:
    tally = Tally([Outcome(number, word) for number, word in enumerate(words)], interrupted)
    assert tally.exit_code == code


def test_a_tally_for_programs_counts_the_words_and_names_every_letter() -> None:
    tally = Tally([Outcome(1, "resolved"), Outcome(2, "refused", "nobody is attached")])
    assert tally.as_json(("resolved", "failed", "refused"), dry_run=False) == {
        "resolved": 1,
        "failed": 0,
        "refused": 1,
        "dry_run": False,
        "interrupted": False,
        "letters": [
            {"id": 1, "outcome": "resolved", "text": ""},
            {"id": 2, "outcome": "refused", "text": "nobody is attached"},
        ],
    }
