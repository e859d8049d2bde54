from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import InvalidOption
from mesh.retry import RetryPolicy
from mesh.topic import check_pattern
from node.changes import Books
from node.delivery import Consumer, Following, check_since, failed_again, new_letter
from node.streams import Stream
from tests.node.workbench import failure

POLICY = RetryPolicy(3, 1.0, 60.0)
NOW_US = 1_800_000_000_000_000
STREAM = Stream(1, "a.1", "A", 2, 20)


def following(pattern: str = "A", cursor: int | None = 5, durable: bool = False) -> Following:
    made = Following("c", check_pattern(pattern), durable, POLICY, 600.0, NOW_US)
    if cursor is not None:
        made.cursors[STREAM.id] = cursor
    return made


def move(first: int, last: int, failures: list[Any] | None = None, lost: list[Any] | None = None) -> dict[str, Any]:
    return {"from": first, "to": last, "failures": failures or [], "lost": lost or []}


# ── letters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("attempt", "draw", "state", "due_us"),
    [(1, 0.5, "waiting", NOW_US + 500_000), (2, 0.5, "waiting", NOW_US + 1_000_000), (3, 0.5, "dead", None)],
)
def test_a_new_letter_waits_for_its_backoff_or_is_dead(attempt: int, draw: float, state: str, due_us: int) -> None:
    letter = new_letter(following(), STREAM, failure(7, attempt), b"frame", "{}", NOW_US, draw)
    assert (letter.state, letter.attempts, letter.next_attempt_us) == (state, attempt, due_us)
    assert (letter.consumer, letter.origin, letter.topic, letter.sequence) == ("c", "a.1", "A", 7)
    assert (letter.kind, letter.error_type, letter.error, letter.traceback) == ("error", "ValueError", "no", "tb")
    assert (letter.first_failed_us, letter.last_failed_us, letter.retries) == (NOW_US, NOW_US, 0)


@pytest.mark.parametrize(("attempt", "state", "due_us"), [(2, "waiting", NOW_US + 1_000_000), (3, "dead", None)])
def test_a_letter_that_failed_again_waits_longer_or_is_dead(attempt: int, state: str, due_us: int) -> None:
    row = failed_again(POLICY, 11, attempt, failure(7, attempt, kind="timeout"), NOW_US, 0.5)
    assert row == (state, attempt, "timeout", "ValueError", "no", "tb", NOW_US, due_us, 11)


# ── since ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("since", "read"),
    [
        ("now", ("now", 0)),
        ("earliest", ("earliest", 0)),
        ({"time_us": 7}, ("time_us", 7)),
        ({"ago_us": 0}, ("ago_us", 0)),
    ],
)
def test_since_has_four_forms(since: object, read: tuple[str, int]) -> None:
    assert check_since(since) == read


@pytest.mark.parametrize("since", ["", "yesterday", None, 5, {}, {"at": 1}, {"time_us": 1, "ago_us": 1}])
def test_any_other_since_is_refused(since: object) -> None:
    with pytest.raises(InvalidOption, match="since is"):
        check_since(since)


@pytest.mark.parametrize("value", ["7", 1.5, True, None, 2**63, -(2**63)])
@pytest.mark.parametrize("kind", ["time_us", "ago_us"])
def test_a_moment_is_a_whole_number_of_a_sensible_size(kind: str, value: object) -> None:
    with pytest.raises(InvalidOption, match="since is"):
        check_since({kind: value})


# ── who follows ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_without_a_cursor_is_followed_from_its_base() -> None:
    assert following(cursor=None).cursor(STREAM) == 2


def test_in_flight_is_what_the_patterns_streams_hold_beyond_the_cursor() -> None:
    other, foreign = Stream(2, "b.1", "A", 0, 7), Stream(3, "a.1", "B", 0, 100)
    assert following("A").in_flight([STREAM, other, foreign]) == 15 + 7
    assert following("*").in_flight([STREAM, other, foreign]) == 15 + 7 + 100


def test_a_letter_goes_to_an_attached_following_of_its_topic() -> None:
    consumer = Consumer(Books("c", "A", False, "{}", 0, 0, 0, 0, 0, 0, NOW_US))
    assert (consumer.attached, consumer.attachment("A")) == (False, None)
    first, second, third = following("A"), following("*"), following("B")
    consumer.followings += [first, second, third]
    assert consumer.attachment("A") is None
    second.attachment, third.attachment = (b"s2", 1), (b"s3", 1)
    assert consumer.attachment("A") == (b"s2", 1)
    first.attachment = (b"s1", 1)
    assert consumer.attachment("A") == (b"s1", 1)
    assert consumer.attachment("A", prefer=b"s2") == (b"s2", 1)
    assert consumer.attachment("A", prefer=b"s9") == (b"s1", 1)
