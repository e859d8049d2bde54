import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InvalidTopic
from mesh.topic import Pattern, PatternSet, check_pattern, check_topic, topic_filter

few_letters = st.text("ab.", min_size=1, max_size=8)
few_letters_and_stars = st.text("ab.*", min_size=1, max_size=8)


def takes_in(glob: str, topic: str) -> bool:
    """What a glob means, by definition: a star takes in nothing, or one character and itself again."""
    if not glob:
        return not topic
    if glob[0] == "*":
        return takes_in(glob[1:], topic) or (topic != "" and takes_in(glob, topic[1:]))
    return topic[:1] == glob[0] and takes_in(glob[1:], topic[1:])


@pytest.mark.parametrize(
    ("topic", "wire"),
    [
        ("TRAINING_COMPLETED", b"TRAINING_COMPLETED\0"),
        ("gpu.health.gpu-17", b"gpu.health.gpu-17\0"),
        ("a/b", b"a/b\0"),
        ("a!@~", b"a!@~\0"),
        ("[a]?", b"[a]?\0"),
        ("größe", b"gr\xc3\xb6\xc3\x9fe\0"),
        ("x" * 200, b"x" * 200 + b"\0"),
        ("ö" * 100, b"\xc3\xb6" * 100 + b"\0"),
    ],
)
def test_a_topic_travels_as_its_utf8_and_a_closing_zero(topic, wire):
    assert check_topic(topic) == wire


BAD_NAMES = [
    ("", "not a non-empty string"),
    (None, "not a non-empty string"),
    (17, "not a non-empty string"),
    (b"A", "not a non-empty string"),
    ("!session", "starts with '!'"),
    ("@marker", "starts with '@'"),
    ("~heads", "starts with '~'"),
    ("a b", "white space or control"),
    ("a\tb", "white space or control"),
    ("a\n", "white space or control"),
    ("a\x00b", "white space or control"),
    ("a\x7f", "white space or control"),
    ("a\x85", "white space or control"),
    ("a\u00a0b", "white space or control"),
    ("a\u2028b", "white space or control"),
    ("a\ud800", "lone surrogates"),
    ("x" * 201, "has 201 bytes; at most 200"),
    ("ö" * 101, "has 202 bytes; at most 200"),
]


@pytest.mark.parametrize(("name", "reason"), BAD_NAMES)
def test_what_breaks_the_grammar_is_neither_topic_nor_pattern(name, reason):
    with pytest.raises(InvalidTopic, match=f"^topic .*{reason}"):
        check_topic(name)
    with pytest.raises(InvalidTopic, match=f"^pattern .*{reason}"):
        check_pattern(name)


@pytest.mark.parametrize("name", [[], {}, set()])
def test_a_pattern_that_cannot_even_be_hashed_is_refused_like_any_other(name):
    with pytest.raises(InvalidTopic, match="not a non-empty string"):
        check_pattern(name)


@pytest.mark.parametrize("topic", ["*", "a*", "a.*.b"])
def test_a_star_belongs_to_patterns_only(topic):
    with pytest.raises(InvalidTopic, match=r"holds '\*', which only patterns may"):
        check_topic(topic)
    assert check_pattern(topic).text == topic


@pytest.mark.parametrize("name", [" " * 1_000_000, "!" * 1_000_000, "\ud800" * 1_000_000, "x" * 1_000_000])
def test_the_message_about_a_huge_name_is_short(name):
    with pytest.raises(InvalidTopic) as caught:
        check_topic(name)
    assert len(str(caught.value)) < 500


@given(st.text(max_size=8))
def test_any_text_is_a_topic_or_invalid_and_nothing_else(text):
    try:
        assert check_topic(text) == text.encode() + b"\0"
    except InvalidTopic:
        pass


@pytest.mark.parametrize(
    ("pattern", "exact", "prefix"),
    [
        ("TRAINING_COMPLETED", True, b"TRAINING_COMPLETED\0"),
        ("gpu.health.*", False, b"gpu.health."),
        ("a*b*", False, b"a"),
        ("*", False, b""),
        ("*.done", False, b""),
        ("größe.*", False, b"gr\xc3\xb6\xc3\x9fe."),
    ],
)
def test_a_socket_subscribes_the_literal_prefix_and_a_whole_topic_with_its_zero(pattern, exact, prefix):
    compiled = check_pattern(pattern)
    assert (compiled.exact, compiled.prefix) == (exact, prefix)


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("A", "A", True),
        ("A", "AB", False),
        ("A*", "A", True),
        ("A*", "AB", True),
        ("A*", "BA", False),
        ("*", "anything.at.all", True),
        ("**", "A", True),
        ("gpu.*", "gpu.health.gpu-17", True),
        ("gpu.*", "gpu", False),
        ("gpu.*.up", "gpu.a.b.up", True),
        ("gpu.*.up", "gpu.up", False),
        ("*ab", "abab", True),
        ("a*a", "a", False),
        ("*aba*aba*", "ababa", False),
        ("a.b", "aXb", False),
        ("a.*", "aXb", False),
        ("[ab]*", "a", False),
        ("[ab]*", "[ab]c", True),
        ("a?*", "ab", False),
        (r"a\*", "a*", False),
        (r"a\*", r"a\b", True),
    ],
)
def test_a_star_stands_for_any_run_and_everything_else_for_itself(pattern, topic, matches):
    assert check_pattern(pattern).matches(topic) is matches
    assert PatternSet([pattern]).matches(topic) is matches


@given(few_letters_and_stars, few_letters)
def test_a_pattern_matches_what_a_naive_matcher_matches(glob, topic):
    assert Pattern(glob).matches(topic) is takes_in(glob, topic)


@given(few_letters_and_stars, few_letters)
def test_the_prefix_filter_lets_everything_through_that_the_pattern_takes_in(glob, topic):
    pattern = Pattern(glob)
    if pattern.matches(topic):
        assert check_topic(topic).startswith(pattern.prefix)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("glob", ["*a" * 99 + "*b", "a*" * 99 + "b", "*" * 199 + "b", "*aa" * 60 + "*b"])
def test_no_pattern_takes_long_to_answer(glob):
    assert not check_pattern(glob).matches("a" * 200)


@given(st.lists(few_letters_and_stars, max_size=5), st.lists(few_letters, max_size=5))
def test_a_set_matches_what_any_of_its_patterns_matches_also_when_asked_again(globs, topics):
    patterns = PatternSet(globs)
    for topic in topics + topics:
        assert patterns.matches(topic) is any(takes_in(glob, topic) for glob in globs)
    assert bool(patterns) is bool(globs)


def test_a_set_goes_on_answering_when_its_memory_is_full(monkeypatch):
    monkeypatch.setattr("mesh.topic._MATCH_CACHE_MAX", 2)
    patterns = PatternSet(["a*"])
    assert [patterns.matches(topic) for topic in ("a1", "b1", "a2", "b2", "a1", "b2")] == [True, False] * 3


def test_sets_of_the_same_patterns_are_equal_whatever_their_order():
    assert PatternSet(["b", "a*", "b"]) == PatternSet(["a*", "b"])
    assert hash(PatternSet(["b", "a*"])) == hash(PatternSet(["a*", "b"]))
    assert PatternSet(["b", "a*", "b"]).texts == ("a*", "b")
    assert PatternSet(["a"]) != PatternSet(["a*"])


def test_a_filter_without_patterns_lets_everything_pass():
    assert topic_filter([])("A")
    assert [topic_filter(["A", "b.*"])(topic) for topic in ("A", "b.c", "AB", "b")] == [True, True, False, False]
