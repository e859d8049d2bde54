"""Two nodes compare how far they are by a few numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.digests import BUCKETS, bucket_of, differing, digest

STREAMS = st.dictionaries(
    st.tuples(st.sampled_from(("a.1", "b.2")), st.sampled_from(tuple("STUVW"))), st.integers(1, 1 << 40), max_size=10
)


def rows(streams: dict[tuple[str, str], int]) -> list[tuple[str, str, int]]:
    return [(*key, head) for key, head in streams.items()]


@given(STREAMS)
def test_the_order_of_the_streams_does_not_count(streams: dict[tuple[str, str], int]) -> None:
    assert digest(rows(streams)) == digest(reversed(rows(streams)))


@given(STREAMS, STREAMS)
def test_exactly_the_buckets_of_what_differs_differ(
    mine: dict[tuple[str, str], int], theirs: dict[tuple[str, str], int]
) -> None:
    apart = {bucket_of(*key) for key in {*mine, *theirs} if mine.get(key) != theirs.get(key)}
    assert differing(digest(rows(mine)), digest(rows(theirs))) == apart


def test_a_stream_without_an_event_is_the_same_as_none() -> None:
    assert digest([("a.1", "T", 0)]) == digest([]) == [0] * BUCKETS
