"""Retrying, discarding and cleaning up letters against a real node."""

from __future__ import annotations

import signal
import sqlite3

import pytest

from mesh import letter_acts
from mesh.letter_acts import actor
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Said, Shell, Terminal, Trainer

RETRY_KEYS = {"resolved", "failed", "waiting", "refused", "dry_run", "interrupted", "letters"}


@pytest.fixture
def trainer(one_node: LocalMesh) -> Trainer:
    return Trainer(one_node)


def outcomes(said: Said) -> list[tuple[int, str]]:
    return [(each["id"], each["outcome"]) for each in said.json["letters"]]


def test_a_retry_that_succeeds_ends_the_letter_and_exits_0(shell: Shell, trainer: Trainer) -> None:
    (letter,) = trainer.fail(shell, 1)
    trainer.mended = True
    said = shell("dlq", "retry", letter)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"letter {letter}: resolved · its handler succeeded\n1 resolved\n"
    assert trainer.handled == [1]
    assert trainer.letters(shell) == []


def test_a_retry_that_fails_again_says_the_new_error_and_exits_1(shell: Shell, trainer: Trainer) -> None:
    (letter,) = trainer.fail(shell, 1)
    said = shell("dlq", "retry", letter)
    assert (said.code, said.err) == (1, "")
    assert said.out == f"letter {letter}: failed again · ValueError: no config 1\n1 failed again\n"


def test_a_retry_as_json_has_the_sum_and_every_letter(shell: Shell, trainer: Trainer) -> None:
    (letter,) = trainer.fail(shell, 1)
    trainer.mended = True
    said = shell("dlq", "retry", letter, 99, letter, "--json")
    assert said.code == 1
    assert set(said.json) == RETRY_KEYS
    assert [said.json[key] for key in ("resolved", "failed", "waiting", "refused")] == [1, 0, 0, 1]
    assert outcomes(said) == [(99, "refused"), (letter, "resolved")]
    assert said.json["letters"][0]["text"] == "there is no letter 99 at this node; it may have been resolved"


def test_a_retry_is_refused_when_nobody_is_attached(shell: Shell, trainer: Trainer) -> None:
    (letter,) = trainer.fail(shell, 1)
    trainer.subscription.close()
    eventually(lambda: shell("consumers", "--json").json[0]["state"] == "detached", what="it is detached")
    said = shell("dlq", "retry", letter)
    assert said.code == 1
    assert said.out == (
        f"letter {letter}: refused · no consumer 'feedback' is attached to this node; start its program, then retry\n"
        "1 refused\n"
    )


def test_a_retry_without_waiting_says_that_the_outcome_is_open(shell: Shell, trainer: Trainer) -> None:
    (letter,) = trainer.fail(shell, 1)
    said = shell("dlq", "retry", letter, "--wait", 0, "--json")
    assert said.code == 0
    assert outcomes(said) == [(letter, "waiting")]


def test_a_dry_run_names_the_letters_and_changes_nothing(shell: Shell, trainer: Trainer) -> None:
    first, second = trainer.fail(shell, 1, 2)
    trainer.mended = True
    said = shell("dlq", "retry", "--all", "--dry-run")
    assert said.code == 0
    assert said.out == (
        f"letter {first}: would be retried\nletter {second}: would be retried\n2 would be retried, 0 refused\n"
    )
    as_json = shell("dlq", "retry", "--all", "--dry-run", "--json").json
    assert [as_json[key] for key in ("accepted", "refused", "dry_run")] == [2, 0, True]
    assert trainer.letters(shell) == [first, second]
    assert trainer.handled == []


def test_all_letters_are_retried_in_slices(shell: Shell, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = trainer.fail(shell, *range(5))
    trainer.mended = True
    said = shell("dlq", "retry", "--all", "--rate", "100/s", "--json")
    assert said.code == 0
    assert sorted(outcomes(said)) == [(id_, "resolved") for id_ in ids]
    assert sorted(trainer.handled) == list(range(5))


def test_all_is_bounded_and_filtered(shell: Shell, one_node: LocalMesh, trainer: Trainer) -> None:
    trainer.fail(shell, 1, 2, 3)
    trainer.fail(shell, 4, 5, topic="TRAINING_FAILED")
    trainer.mended = True
    assert shell("dlq", "retry", "--all", "--max", 2).code == 0
    assert sorted(trainer.handled) == [1, 2]
    assert shell("dlq", "retry", "--all", "--topic", "*_FAILED").code == 0
    assert sorted(trainer.handled) == [1, 2, 4, 5]
    assert shell("dlq", "retry", "--all", "--consumer", "nobody").out == "no letters to act on\n"
    assert sorted(trainer.handled) == [1, 2, 4, 5]


def test_nothing_to_retry_is_fine(shell: Shell) -> None:
    said = shell("dlq", "retry", "--all")
    assert (said.code, said.out) == (0, "no letters to act on\n")


def test_ctrl_c_ends_a_long_retry_and_says_how_many_were_done(
    shell: Shell, trainer: Trainer, terminal: Terminal
) -> None:
    trainer.fail(shell, *range(5))
    trainer.mended = True
    process = terminal.start("dlq", "retry", "--all", "--rate", "0.01")
    (line,) = process.wait_lines(1)
    process.signal(signal.SIGINT)
    said = process.end()
    assert said.code == 1
    assert said.out.splitlines() == [line, "1 resolved"]
    assert said.err == "mesh: interrupted; letters done: 1; run it again for the rest"
    assert len(trainer.letters(shell)) == 4


def test_ctrl_c_while_waiting_for_outcomes_counts_what_is_open_as_waiting(
    shell: Shell, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (letter,) = trainer.fail(shell, 1)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(letter_acts, "judge", interrupt)
    said = shell("dlq", "retry", letter, "--json")
    assert said.code == 1
    assert (outcomes(said), said.json["interrupted"]) == ([(letter, "waiting")], True)


def test_every_act_is_written_down_with_who_did_it(shell: Shell, trainer: Trainer, one_node: LocalMesh) -> None:
    first, second = trainer.fail(shell, 1, 2)
    shell("dlq", "retry", first)
    shell("dlq", "discard", second)
    (database,) = one_node.nodes[0].data_dir.glob("*.db")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT actor, action, letter FROM actions ORDER BY id").fetchall()
    finally:
        connection.close()
    assert rows == [(actor(), "retry", first), (actor(), "discard", second)]


def test_discarding_ends_letters_and_the_books_still_balance(shell: Shell, trainer: Trainer) -> None:
    first, second = trainer.fail(shell, 1, 2)
    said = shell("dlq", "discard", first)
    assert (said.code, said.out) == (0, "1 discarded\n")
    assert trainer.letters(shell) == [second]
    said = shell("dlq", "discard", first, "--json")
    assert said.code == 1
    assert set(said.json) == {"discarded", "refused", "dry_run", "interrupted", "letters"}
    assert shell("dlq", "discard", "--all", "--dry-run").out == "1 would be discarded, 0 refused\n"
    assert shell("dlq", "discard", "--all").out == "1 discarded\n"
    audit = shell("audit", "--json")
    assert (audit.code, audit.json["consumers"][0]["expired"]) == (0, 2)


def test_cleaning_up_ends_only_old_letters(shell: Shell, trainer: Trainer) -> None:
    (old,) = trainer.fail(shell, 1)
    assert shell("dlq", "cleanup", "--older-than", "24h").out == "no letters to act on\n"
    eventually(lambda: shell("dlq", "--json").json["oldest_age_s"] > 3, what="the letter is old")
    _, young = trainer.fail(shell, 2)
    assert shell("dlq", "cleanup", "--older-than", "3s", "--topic", "gpu.*").out == "no letters to act on\n"
    said = shell("dlq", "cleanup", "--older-than", "3s", "--topic", "TRAINING_*", "--json")
    assert said.code == 0
    assert outcomes(said) == [(old, "discarded")]
    assert trainer.letters(shell) == [young]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("retry",), "name letters by ID (see `mesh dlq list`), or give --all, one of the two"),
        (("retry", "1", "--all"), "name letters by ID (see `mesh dlq list`), or give --all, one of the two"),
        (("discard",), "name letters by ID (see `mesh dlq list`), or give --all, one of the two"),
        (("discard", "1", "--max", "2"), "--max, --topic and --consumer go with --all, not with IDs"),
        (("retry", "--all", "--rate", "fast"), "'fast' is no rate"),
        (("retry", "one"), "should be a valid integer"),
        (("cleanup",), "Missing option '--older-than'"),
        (("cleanup", "--older-than", "old"), "'old' is no span of time"),
        (("show",), "Missing argument"),
        (("list", "--state", "lost"), "--state"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(bare_shell: Shell, arguments: tuple[str, ...], error: str) -> None:
    said = bare_shell("dlq", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("mesh: ")
    assert said.err.count("\n") == 1
    assert error in said.err
