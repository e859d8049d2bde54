"""Digests: two linked nodes find out whether one is behind, by comparing a few numbers. Pure functions.

    streams both care about ─▶ 16 buckets by name ─▶ one number a bucket: the sum of a hash of every (stream, head)
    here  [8f.., 00.., 31.., …]
    there [8f.., 00.., 77.., …]      bucket 2 differs ─▶ its heads are sent, and whoever is behind asks

A sum does not depend on order, and two equal sums of 64 bits over different heads are not to be expected in the life of
a cluster. Whoever is behind is found out by the other's next digest where the beacon that would have said it was lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from blake3 import blake3

BUCKETS = 16
_MASK = (1 << 64) - 1

Head = tuple[str, str, int]
"""origin, topic, head"""


@lru_cache(maxsize=65_536)
def bucket_of(origin: str, topic: str) -> int:
    """The bucket a stream belongs to."""
    return blake3(f"{origin}\0{topic}".encode()).digest(1)[0] % BUCKETS


@lru_cache(maxsize=65_536)
def _mark(origin: str, topic: str, head: int) -> int:
    return int.from_bytes(blake3(f"{origin}\0{topic}\0{head}".encode()).digest(8))


def digest(heads: Iterable[Head]) -> list[int]:
    """One number a bucket. A stream without an event (head 0) does not count: the other may not know it."""
    sums = [0] * BUCKETS
    for origin, topic, head in heads:
        if head:
            bucket = bucket_of(origin, topic)
            sums[bucket] = (sums[bucket] + _mark(origin, topic, head)) & _MASK
    return sums


def differing(mine: list[int], theirs: list[int]) -> set[int]:
    """The buckets that are not the same."""
    return {bucket for bucket, (one, other) in enumerate(zip(mine, theirs, strict=True)) if one != other}
