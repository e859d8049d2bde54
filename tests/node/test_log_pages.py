"""Pages of the log, over a log that is a list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.frame import Frame, content_hash, encode, pack_record
from mesh.topic import check_pattern, check_topic
from node import log_pages
from node.changes import LogRow
from node.log_pages import Page, page_after, page_before, position_before, start_of
from node.log_reader import LogReader
from tests.node.workbench import Author, Bench

PUBLISHER = b"publishe"
NOW_US = 1_000_000


def batch(position: int, topic: str, count: int = 1, text: str = "") -> LogRow:
    """A batch as it stands in the log, taken in at its position in microseconds."""
    body = b'{"text":"' + text.encode() + b'"}'
    events = pack_record(7, content_hash(check_topic(topic), body), b"", body) * count
    frame = Frame(topic, 0, 0, PUBLISHER, position, position, count, "n0.1", events)
    return LogRow(position, 1, position, count, position, PUBLISHER, position, encode(frame))


class ListOfBatches:
    """Answers as `LogReader` does."""

    def __init__(self, *batches: LogRow) -> None:
        self.batches = list(batches)

    def tail(self, before: int, limit: int) -> Iterator[LogRow]:
        return iter([each for each in reversed(self.batches) if each.position < before][:limit])

    def after(self, position: int, limit: int) -> Iterator[LogRow]:
        return iter([each for each in self.batches if each.position + each.count > position][:limit])

    def next_position(self) -> int:
        return self.batches[-1].position + self.batches[-1].count if self.batches else 1

    def position_at(self, appended_us: int) -> int:
        return next((each.position for each in self.batches if each.appended_us >= appended_us), self.next_position())


def log(*topics_and_counts: tuple[str, int]) -> LogReader:
    batches, position = [], 1
    for topic, count in topics_and_counts:
        batches.append(batch(position, topic, count))
        position += count
    return cast(LogReader, ListOfBatches(*batches))


def positions(page: Page) -> list[int]:
    return [row["position"] for row in page.rows]


def test_an_empty_log_has_an_empty_page_both_ways() -> None:
    assert page_before(log(), check_pattern("*"), 1, 10) == Page([], 1, 0, False)
    assert page_after(log(), check_pattern("*"), 0, 10) == Page([], 1, 0, False)


def test_the_page_before_a_position_has_the_last_matches_and_says_how_far_it_looked() -> None:
    page = page_before(log(("A", 3), ("B", 2), ("A", 3)), check_pattern("A"), 9, 4)
    assert (positions(page), page.first, page.last, page.more) == ([3, 6, 7, 8], 3, 8, True)


def test_the_page_after_a_position_may_begin_and_end_inside_a_batch() -> None:
    page = page_after(log(("A", 5), ("B", 2)), check_pattern("*"), 1, 2)
    assert (positions(page), page.first, page.last, page.more) == ([2, 3], 2, 3, True)
    page = page_after(log(("A", 5), ("B", 2)), check_pattern("*"), page.last, 10)
    assert (positions(page), page.first, page.last, page.more) == ([4, 5, 6, 7], 4, 7, False)


def test_a_page_is_bounded_in_batches_also_when_nothing_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_pages, "PAGE_BATCHES_MAX", 2)
    page = page_before(log(*[("A", 1)] * 5), check_pattern("B"), 6, 10)
    assert (positions(page), page.first, page.more) == ([], 4, True)
    page = page_after(log(*[("A", 1)] * 5), check_pattern("B"), 0, 10)
    assert (positions(page), page.last, page.more) == ([], 2, True)


def test_a_page_is_bounded_in_bytes_but_holds_one_batch_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_pages, "REPLAY_BYTES_MAX", 1000)
    large = cast(LogReader, ListOfBatches(*(batch(n, "A", text="x" * 2000) for n in (1, 2))))
    assert positions(page_after(large, check_pattern("*"), 0, 10)) == [1]
    assert positions(page_before(large, check_pattern("*"), 3, 10)) == [2]
    small = cast(LogReader, ListOfBatches(*(batch(n, "A") for n in (1, 2, 3))))
    assert positions(page_after(small, check_pattern("*"), 0, 10)) == [1, 2]


@pytest.mark.parametrize("depth", [1, 250, 251, 253])
def test_a_payload_that_is_nested_too_deep_for_an_answer_is_shown_as_text(tmp_path: Path, depth: int) -> None:
    bench, author = Bench(tmp_path), Author()
    bench.greet(author)
    lists: object = 1
    for _ in range(depth):
        lists = [lists]
    bench.turn(author.frame("A", lists, "next"))
    whole = {"v": lists}  # one level more
    text = '{"v":' + "[" * depth + "1" + "]" * depth + "}"
    shown = [row["payload"] for row in bench.ask("log.tail", count=2)["rows"]]
    assert shown == [whole if depth <= 250 else text, {"v": "next"}]


def test_a_damaged_row_is_passed_over() -> None:
    good, bad = batch(1, "A"), batch(2, "A")
    damaged = bad._replace(frame=bad.frame[:-1] + b"!")
    page = page_after(cast(LogReader, ListOfBatches(good, damaged, batch(3, "A"))), check_pattern("*"), 0, 10)
    assert (positions(page), page.last, page.more) == ([1, 3], 3, False)


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 5)), max_size=12),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from("A*"),
)
def test_pages_put_together_are_every_match_once_in_order_both_ways(
    batches: list[tuple[str, int]], limit: int, page_batches: int, pattern: str
) -> None:
    reader, chosen = log(*batches), check_pattern(pattern)
    expected, position = [], 1
    for topic, count in batches:
        expected += [each for each in range(position, position + count) if chosen.matches(topic)]
        position += count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_pages, "PAGE_BATCHES_MAX", page_batches)
        forwards = [page_after(reader, chosen, 0, limit)]
        while forwards[-1].more:
            forwards.append(page_after(reader, chosen, forwards[-1].last, limit))
        backwards = [page_before(reader, chosen, position, limit)]
        while backwards[-1].more:
            backwards.append(page_before(reader, chosen, backwards[-1].first, limit))
    assert [each for page in forwards for each in positions(page)] == expected
    assert [each for page in reversed(backwards) for each in positions(page)] == expected


@pytest.mark.parametrize(
    ("since", "position"),
    [("earliest", 0), ("now", 3), ({"time_us": 2}, 1), ({"ago_us": NOW_US - 3}, 2), ({"time_us": 99}, 3)],
)
def test_since_names_the_position_before_the_first_batch_wanted(since: object, position: int) -> None:
    assert position_before(log(("A", 1), ("A", 1), ("A", 1)), since, NOW_US) == position


def test_a_request_reads_on_after_a_position_or_a_time_and_backwards_without_either() -> None:
    reader = log(("A", 1), ("A", 1))
    assert start_of(reader, {"after": 0}, NOW_US) == 0
    assert start_of(reader, {"since": "now", "after": 0}, NOW_US) == 2
    assert start_of(reader, {"before": 2}, NOW_US) is None
