from hypothesis import given
from hypothesis import strategies as st

from mesh.dedup import DedupWindow, Sighting
from mesh.limits import BATCH_EVENTS_MAX

KEEP_US = 100
EVENTS_MAX = 6
HASHES = [bytes([digit]) * 16 for digit in range(8)]

batches = st.tuples(st.just("remember"), st.integers(0, 40), st.lists(st.sampled_from(HASHES), min_size=1, max_size=4))
cleanings = st.tuples(st.just("forget"), st.integers(0, 120), st.lists(st.nothing(), max_size=0))


class NaiveWindow:
    """All there is to a window: a list of batches, searched from the end."""

    def __init__(self):
        self.batches = []

    def forget(self, now_us):
        while self.batches and (
            now_us - self.batches[0][0] >= KEEP_US or sum(len(hashes) for *_, hashes in self.batches) > EVENTS_MAX
        ):
            del self.batches[0]

    def find(self, hash_, now_us, window_us):
        for seen_us, sequence, hashes in reversed(self.batches):
            for index in reversed(range(len(hashes))):
                if hashes[index] == hash_:
                    fresh = now_us - seen_us < window_us
                    return Sighting("n.1", "A", sequence + index, seen_us) if fresh else None
        return None

    def distinct(self):
        return {hash_ for *_, hashes in self.batches for hash_ in hashes}


@given(st.lists(st.one_of(batches, cleanings), max_size=30), st.integers(0, KEEP_US))
def test_a_window_answers_as_a_naive_one(steps, window_us):
    window, naive, now_us, sequence = DedupWindow(KEEP_US, EVENTS_MAX), NaiveWindow(), 0, 1
    for step, passed_us, hashes in steps:
        now_us += passed_us
        if step == "remember":
            window.remember("n.1", "A", sequence, hashes, now_us)
            naive.batches.append((now_us, sequence, hashes))
            sequence += len(hashes)
        else:
            window.forget(now_us)
            naive.forget(now_us)
        for hash_ in HASHES:
            assert window.find(hash_, now_us, window_us) == naive.find(hash_, now_us, window_us)
            assert window.none_of([hash_]) is (hash_ not in naive.distinct())
        assert len(window) == len(naive.distinct())


def test_the_same_content_counts_until_the_window_has_passed_to_the_microsecond():
    window = DedupWindow(keep_us=1000)
    window.remember("n.1", "A", 41, HASHES[:3], now_us=5)
    assert window.find(HASHES[1], 5, 60) == Sighting("n.1", "A", 42, 5)
    assert window.find(HASHES[1], 64, 60) == Sighting("n.1", "A", 42, 5)
    assert window.find(HASHES[1], 65, 60) is None
    assert window.find(HASHES[1], 65, 1000) == Sighting("n.1", "A", 42, 5)
    assert window.find(HASHES[7], 5, 60) is None


def test_a_window_of_zero_finds_nothing():
    window = DedupWindow(keep_us=1000)
    window.remember("n.1", "A", 1, HASHES[:1], now_us=5)
    assert window.find(HASHES[0], 5, 0) is None


def test_forgetting_an_old_batch_keeps_what_a_later_one_announced_again():
    window = DedupWindow(keep_us=100)
    window.remember("n.1", "A", 1, HASHES[:2], now_us=0)
    window.remember("n.2", "A", 9, HASHES[1:3], now_us=50)
    window.forget(100)
    assert len(window) == 2
    assert window.find(HASHES[0], 100, 100) is None
    assert window.find(HASHES[1], 100, 100) == Sighting("n.2", "A", 9, 50)


def test_beyond_the_bound_the_oldest_batches_go_first():
    window = DedupWindow(keep_us=1_000_000, events_max=4)
    for batch in range(4):
        window.remember("n.1", "A", 2 * batch + 1, HASHES[2 * batch : 2 * batch + 2], now_us=batch)
    window.forget(4)
    assert [window.none_of([hash_]) for hash_ in HASHES] == [True] * 4 + [False] * 4


def test_content_repeated_for_ever_does_not_grow_past_the_bound():
    window = DedupWindow(keep_us=1_000_000, events_max=10)
    for sequence in range(1, 1000):
        window.remember("n.1", "A", sequence, HASHES[:1], now_us=sequence)
        window.forget(sequence)
    assert len(window._batches) == 10
    assert window.find(HASHES[0], 999, 1) == Sighting("n.1", "A", 999, 999)


def test_every_event_of_the_largest_batches_is_found_at_its_sequence():
    window = DedupWindow(keep_us=1000)
    hashes = [index.to_bytes(16, "big") for index in range(2 * BATCH_EVENTS_MAX)]
    window.remember("n.1", "A", 1, hashes[:BATCH_EVENTS_MAX], now_us=0)
    window.remember("n.1", "A", BATCH_EVENTS_MAX + 1, hashes[BATCH_EVENTS_MAX:], now_us=1)
    found = [window.find(hash_, 1, 1000) for hash_ in hashes]
    assert [sighting and sighting.sequence for sighting in found] == list(range(1, 2 * BATCH_EVENTS_MAX + 1))
