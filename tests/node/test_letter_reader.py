"""The dead letter queue's questions over a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.changes import Changes, LetterRow
from node.letter_reader import LetterFilter, LetterReader
from node.store import Store


def letter(consumer: str = "c", topic: str = "A", state: str = "waiting", **fields: object) -> LetterRow:
    usual = LetterRow(
        consumer, state, "a.1", topic, 1, b"f", "{}", 1, 0, "error", "ValueError", "no", "tb", 10, 10, None
    )
    return usual._replace(**fields)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "mesh.db")
    yield made
    made.close()


def ids(found: list[object]) -> list[int]:
    return [each.id for each in found]  # type: ignore[attr-defined]


def test_there_is_nothing_at_first(store: Store) -> None:
    letters = LetterReader(store)
    assert (letters.one(1), letters.some(LetterFilter(), 9)) == (None, [])
    assert list(letters.due("c", 10**18, 10**18, 9)) == []
    assert (letters.next_due_us("c", 0, 10**18), letters.counts(), letters.error_groups(), letters.losses()) == (
        None,
        [],
        [],
        [],
    )


def test_a_letter_is_read_as_it_was_written_and_ids_are_never_used_again(store: Store) -> None:
    letters = LetterReader(store)
    store.commit(Changes(letters=[letter(), letter(topic="B")]))
    found = letters.one(2)
    assert found is not None
    assert found[1:] == letter(topic="B")
    store.commit(Changes(letters_ended=[(2,)]))
    store.commit(Changes(letters=[letter(topic="C")]))
    assert ids(letters.some(LetterFilter(), 9)) == [1, 3]


def test_letters_are_chosen_by_state_topic_consumer_and_age(store: Store) -> None:
    rows = [
        letter("trainer", "gpu.1", first_failed_us=10),
        letter("trainer", "gpu.2", "dead", first_failed_us=20),
        letter("sync", "gpu.1", "dead", first_failed_us=30),
        letter("a[b]?", "x*y", first_failed_us=40),
    ]
    store.commit(Changes(letters=rows))
    letters = LetterReader(store)

    def chosen(**fields: object) -> list[int]:
        return ids(letters.some(LetterFilter(**fields), 9))  # type: ignore[arg-type]

    assert chosen() == [1, 2, 3, 4]
    assert chosen(state="dead") == [2, 3]
    assert chosen(topic="gpu.1") == [1, 3]
    assert chosen(topic="gpu.*") == [1, 2, 3]
    assert chosen(topic="gpu") == []
    assert chosen(consumer="t*", state="dead") == [2]
    assert chosen(consumer="a[b]?") == [4]
    assert chosen(consumer="ab?") == []
    assert chosen(failed_before_us=30) == [1, 2]
    assert ids(letters.some(LetterFilter(), 2, after=1)) == [2, 3]


def test_counts_are_per_consumer_topic_and_state_with_the_oldest_failure(store: Store) -> None:
    rows = [letter(first_failed_us=30), letter(first_failed_us=20), letter(state="dead"), letter("d")]
    store.commit(Changes(letters=rows))
    assert sorted(LetterReader(store).counts()) == [
        ("c", "A", "dead", 1, 10),
        ("c", "A", "waiting", 2, 20),
        ("d", "A", "waiting", 1, 10),
    ]


def test_error_groups_come_most_frequent_first(store: Store) -> None:
    rows = [letter(error_type="KeyError"), letter(first_failed_us=5), letter(last_failed_us=50)]
    store.commit(Changes(letters=rows))
    assert LetterReader(store).error_groups() == [
        ("ValueError", "tb", "A", "c", 2, 5, 50),
        ("KeyError", "tb", "A", "c", 1, 10, 10),
    ]


def test_losses_are_named_with_consumer_stream_range_reason_and_moment(store: Store) -> None:
    store.commit(Changes(losses=[("c", "a.1", "A", 3, 9, "gone from the log", 77)]))
    names = ("consumer", "origin", "topic", "first", "last", "reason", "at_us")
    assert LetterReader(store).losses() == [
        dict(zip(names, ("c", "a.1", "A", 3, 9, "gone from the log", 77), strict=True))
    ]


letters_of = st.lists(
    st.tuples(st.sampled_from("cd"), st.sampled_from(["waiting", "dead"]), st.integers(0, 9)), max_size=12
)


@given(letters_of, st.integers(-1, 10), st.integers(0, 10), st.integers(1, 5))
def test_what_is_due(plan: list[tuple[str, str, int]], now_us: int, longest_us: int, limit: int) -> None:
    store = Store(":memory:")
    rows = [letter(name, state=state, next_attempt_us=at if state == "waiting" else None) for name, state, at in plan]
    store.commit(Changes(letters=rows))
    letters = LetterReader(store)
    for name in "cd":
        waiting = [at for each, state, at in plan if each == name and state == "waiting"]
        latest_us = now_us + longest_us
        found = [each.next_attempt_us for each in letters.due(name, now_us, latest_us, limit)]
        too_late = sorted(at for at in waiting if at > latest_us)
        assert found == sorted(at for at in waiting if at <= now_us)[:limit] + too_late[:limit]
        later = [at for at in waiting if now_us < at <= latest_us]
        assert letters.next_due_us(name, now_us, latest_us) == min(later, default=None)
    store.close()


@given(letters_of, st.integers(0, 10), st.integers(0, 4), st.integers(1, 12))
def test_dead_letters_over_their_age_go_first_then_the_oldest_beyond_the_number(
    plan: list[tuple[str, str, int]], before_us: int, limit: int, step: int
) -> None:
    store = Store(":memory:")
    store.commit(Changes(letters=[letter(name, state=state, last_failed_us=at) for name, state, at in plan]))
    dead = sorted(at for _, state, at in plan if state == "dead")
    old = [at for at in dead if at < before_us]
    found = sorted(each.last_failed_us for each in LetterReader(store).over(before_us, limit, step))
    if old:
        assert len(found) == min(step, len(old))
        assert set(found) <= set(old)
    elif limit and len(dead) > limit:
        beyond = dead[: len(dead) - limit]
        assert found == beyond[max(0, len(beyond) - step) :]
    else:
        assert found == []
    store.close()
