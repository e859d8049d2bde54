"""For which origins each link speaks, and which links speak for an origin."""

from __future__ import annotations

from node.voices import Voices


def voices_of(**said: set[str]) -> Voices:
    voices = Voices()
    for link, origins in said.items():
        voices.put(link, origins)
    return voices


def test_an_origin_is_brought_by_every_link_that_speaks_for_it() -> None:
    voices = voices_of(q={"q.1", "leaf.4"}, p={"p.1", "leaf.4"})
    assert voices.ways("leaf.4") == ["p", "q"]
    assert voices.ways("q.1") == ["q"]
    assert voices.ways("nobody.1") == []


def test_the_last_word_of_a_link_counts_alone() -> None:
    voices = voices_of(p={"p.1", "leaf.4"})
    voices.put("p", {"p.1"})
    assert voices.of("p") == {"p.1"}
    assert voices.ways("leaf.4") == []


def test_beyond_some_links_is_what_others_speak_for_too() -> None:
    voices = voices_of(p={"p.1", "leaf.4"}, q={"q.1", "leaf.4"}, r={"r.1"})
    assert voices.beyond({"p"}, "r") == {"q.1", "leaf.4"}
    assert voices.beyond({"p", "q"}, "p") == {"r.1"}
    assert voices.alone(["p", "q"], "q") == {"p.1", "leaf.4"}


def test_a_link_that_moves_goes_on_speaking_and_one_that_is_gone_does_not() -> None:
    voices = voices_of(p={"p.1"}, q={"q.1"})
    voices.moved("p", "other p")
    voices.moved("q", "q")
    assert (voices.of("p"), voices.ways("p.1"), voices.ways("q.1")) == (frozenset(), ["other p"], ["q"])
    voices.forget("other p")
    assert voices.beyond((), "") == {"q.1"}


def test_what_takes_a_detour_to_this_node_is_brought_like_the_rest_and_spoken_of_to_leaves_alone() -> None:
    voices = voices_of(p={"p.1", "far.1"})
    voices.put("p", {"p.1", "far.1"}, detoured={"far.1", "gone.1"})
    assert (voices.detoured("p"), voices.ways("far.1")) == ({"far.1"}, ["p"])
    assert (voices.alone(["p"], ""), voices.beyond((), "")) == ({"p.1"}, {"p.1", "far.1"})
    voices.moved("p", "other p")
    assert (voices.detoured("p"), voices.detoured("other p")) == (frozenset(), {"far.1"})
    voices.put("other p", {"p.1", "far.1"})
    assert voices.detoured("other p") == frozenset()
