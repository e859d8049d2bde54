from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.interest import Interest

PATTERNS = ("A", "B", "gpu.*", "gpu.1", "*")
TOPICS = ("A", "B", "C", "gpu.1", "gpu.2.x")


def test_nothing_is_wanted_at_first() -> None:
    interest: Interest[str] = Interest()
    assert (interest.version, interest.patterns) == (0, ())
    assert not interest.wanted_here("A")
    assert interest.links_wanting("A") == ()


def test_a_pattern_wanted_twice_is_announced_once_and_leaves_with_the_last() -> None:
    interest: Interest[str] = Interest()
    interest.want("A")
    interest.want("A")
    assert (interest.version, interest.patterns) == (1, ("A",))
    interest.unwant("A")
    assert (interest.version, interest.patterns) == (1, ("A",))
    interest.unwant("A")
    assert (interest.version, interest.patterns) == (2, ())
    assert not interest.wanted_here("A")


def test_an_announcement_replaces_the_one_before() -> None:
    interest: Interest[str] = Interest()
    interest.announced("b", {"b": ("A", "gpu.*")})
    interest.announced("c", {"c": ("A",)})
    assert interest.links_wanting("A") == ("b", "c")
    assert interest.links_wanting("gpu.7") == ("b",)
    interest.announced("b", {"b": ("B",)})
    assert interest.of("b") == {"b": ("B",)}
    assert interest.links_wanting("A") == ("c",)
    assert interest.links_wanting("gpu.7") == ()


def test_lists_that_changed_replace_those_of_the_same_members_and_an_empty_one_ends_them() -> None:
    interest: Interest[str] = Interest()
    interest.announced("b", {"b": ("A",), "leaf": ("B",)})
    interest.announced("b", {"leaf": ("C",)}, whole=False)
    assert interest.of("b") == {"b": ("A",), "leaf": ("C",)}
    interest.announced("b", {"b": ()}, whole=False)
    assert interest.of("b") == {"leaf": ("C",)}
    assert interest.patterns_of("b").texts == ("C",)


def test_what_only_the_origin_itself_wants_is_not_sent_towards_it() -> None:
    interest: Interest[str] = Interest()
    interest.announced("b", {"leaf": ("A",)})
    interest.announced("c", {"c": ("A",), "leaf": ("A",)})
    assert interest.links_wanting("A", "leaf") == ("c",)
    assert interest.links_wanting("A", "other") == ("b", "c")


def test_a_link_that_goes_takes_its_interest_along() -> None:
    interest: Interest[str] = Interest()
    interest.announced("b", {"b": ("*",)})
    assert interest.links_wanting("A") == ("b",)
    interest.forget("b")
    interest.forget("b")
    assert interest.links_wanting("A") == ()
    assert interest.of("b") == {}


def test_what_peers_want_is_not_wanted_here() -> None:
    interest: Interest[str] = Interest()
    interest.announced("b", {"b": ("A",)})
    assert not interest.wanted_here("A")
    assert interest.patterns == ()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(PATTERNS)), max_size=30))
def test_what_is_announced_is_what_was_wanted_more_often_than_not(steps: list[tuple[bool, str]]) -> None:
    interest: Interest[str] = Interest()
    counts = dict.fromkeys(PATTERNS, 0)
    for more, pattern in steps:
        before = interest.version, interest.patterns
        if more:
            interest.want(pattern)
            counts[pattern] += 1
        elif counts[pattern]:
            interest.unwant(pattern)
            counts[pattern] -= 1
        assert interest.patterns == tuple(sorted(pattern for pattern, count in counts.items() if count))
        assert (interest.version > before[0]) == (interest.patterns != before[1])


@given(st.dictionaries(st.sampled_from("bcd"), st.lists(st.sampled_from(PATTERNS), max_size=3)))
def test_a_topic_goes_to_the_links_with_a_pattern_for_it_and_no_others(announced: dict[str, list[str]]) -> None:
    interest: Interest[str] = Interest()
    for link, patterns in announced.items():
        interest.announced(link, {link: tuple(patterns)})

    def wants(patterns: list[str], topic: str) -> bool:
        return any(
            pattern == topic or (pattern.endswith("*") and topic.startswith(pattern[:-1])) for pattern in patterns
        )

    for topic in TOPICS:
        wanted = {link for link, patterns in announced.items() if wants(patterns, topic)}
        assert set(interest.links_wanting(topic)) == wanted


def test_what_is_wanted_beyond_a_link_is_what_others_want_for_others():
    interest: Interest[str] = Interest()
    interest.announced("p", {"p": ("A",), "leaf": ("L",)})
    interest.announced("q", {"q": ("A", "Q"), "leaf": ("L",)})
    interest.announced("leaf", {"leaf": ("L", "A")})
    assert interest.wanted_beyond("leaf", "leaf") == {"A", "Q"}
    assert interest.wanted_beyond("q", "q") == {"A", "L"}
    interest.moved("q", "other q")
    interest.forget("p")
    assert interest.wanted_beyond("leaf", "leaf") == {"A", "Q"}
    interest.forget("other q")
    assert interest.wanted_beyond("leaf", "leaf") == set()
    assert interest.wanted_beyond("", "") == {"A", "L"}


def test_a_link_takes_what_somebody_wants_whom_it_speaks_for_and_who_counts() -> None:
    interest: Interest[str] = Interest()
    interest.announced("b", {"b": ("A",), "far": ("gpu.*",)})
    assert (interest.takes("b", "gpu.1", ()), interest.takes("b", "gpu.1", {"far"})) == (True, False)
    assert (interest.takes("b", "A", {"far"}), interest.takes("c", "A", ())) == (True, False)
