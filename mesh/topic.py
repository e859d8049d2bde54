"""Topics and patterns: what may be a name, and which names a pattern takes in.

    topic     TRAINING_COMPLETED      gpu.health.gpu-17      1..200 bytes of UTF-8
    pattern   TRAINING_COMPLETED      gpu.health.*           a topic, or a glob with `*`
                                      └────┬────┘└┬┘
                             literal prefix       rest: `*` stands for any run of characters, dots included

A socket filters by the literal prefix only, so that the work is done where the event is, not where it arrives. An
exact topic is subscribed with its closing 0x00: `A` then does not take in `AB`. The rest of a glob is matched by the
receiver with `Pattern.matches`.

Topics that start with `!`, `@` or `~` are the system's own (directed messages, subscription markers, beacons).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from mesh.errors import InvalidTopic
from mesh.limits import TOPIC_BYTES_MAX

SYSTEM_PREFIXES = ("!", "@", "~")
_FORBIDDEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_MATCH_CACHE_MAX = 10_000


@lru_cache(maxsize=4096)
def check_topic(topic: str) -> bytes:
    """Return the topic's wire form, closing 0x00 included; raise `InvalidTopic` if it is no topic."""
    wire = _check_name(topic, "topic")
    if "*" in topic:
        raise InvalidTopic(f"topic {topic!r} holds '*', which only patterns may; publish to one exact topic")
    return wire + b"\x00"


def check_pattern(pattern: str) -> Pattern:
    """Return the compiled pattern; raise `InvalidTopic` if it is none."""
    try:
        return _compiled(pattern)
    except TypeError:  # it cannot be hashed, so it is no string
        _check_name(pattern, "pattern")
        raise


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Pattern:
    _check_name(pattern, "pattern")
    return Pattern(pattern)


def _check_name(name: object, what: str) -> bytes:
    if not isinstance(name, str) or not name:
        raise InvalidTopic(f"{what} {name!r} is not a non-empty string; use a name such as TRAINING_COMPLETED")
    try:
        wire = name.encode()
    except UnicodeEncodeError:
        raise InvalidTopic(f"{what} {name[:40]!r} is not valid Unicode; remove the lone surrogates") from None
    if len(wire) > TOPIC_BYTES_MAX:
        raise InvalidTopic(f"{what} {name[:40]!r}… has {len(wire)} bytes; at most {TOPIC_BYTES_MAX} are allowed")
    if name.startswith(SYSTEM_PREFIXES):
        raise InvalidTopic(f"{what} {name!r} starts with {name[0]!r}, which is the system's own; start with a letter")
    if _FORBIDDEN.search(name):
        raise InvalidTopic(f"{what} {name!r} has white space or control characters; use dots or underscores")
    return wire


class Pattern:
    """A compiled pattern. `text` is what the user wrote, `exact` says that it names one topic."""

    __slots__ = ("_regex", "exact", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.exact = "*" not in text
        self._regex = re.compile(_expression(text), re.DOTALL)

    def matches(self, topic: str) -> bool:
        """Whether the pattern takes in `topic`."""
        return topic == self.text if self.exact else self._regex.fullmatch(topic) is not None

    @property
    def prefix(self) -> bytes:
        """What a socket subscribes: the whole topic with its 0x00, or the bytes before the first `*`."""
        return self.text.encode() + b"\x00" if self.exact else self.text.partition("*")[0].encode()

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _expression(glob: str) -> str:
    """The glob as a regular expression, for a full match.

    Every piece between two stars is taken where it first occurs and never looked for again (an atomic group), which is
    enough for a glob: the work stays below pattern length times topic length, where plain `.*` would be exponential.
    """
    head, *pieces = map(re.escape, glob.split("*"))
    if not pieces:
        return head
    *middle, tail = pieces
    return head + "".join(f"(?>.*?{piece})" for piece in middle if piece) + ".*" + tail


class PatternSet:
    """Many patterns asked one question, often, about few topics: does any of them take this topic in?

    Answers are remembered per topic (bounded); a set is immutable, so nothing needs to be forgotten.
    """

    __slots__ = ("_answers", "_exact", "_globs", "texts")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.texts = tuple(sorted(set(patterns)))
        self._exact = frozenset(text for text in self.texts if "*" not in text)
        self._globs = [check_pattern(text) for text in self.texts if "*" in text]
        self._answers: dict[str, bool] = {}

    def matches(self, topic: str) -> bool:
        """Whether any pattern of the set takes in `topic`."""
        answer = self._answers.get(topic)
        if answer is None:
            answer = topic in self._exact or any(glob.matches(topic) for glob in self._globs)
            if len(self._answers) < _MATCH_CACHE_MAX:
                self._answers[topic] = answer
        return answer

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PatternSet) and self.texts == other.texts

    def __hash__(self) -> int:
        return hash(self.texts)


def topic_filter(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A predicate over topics; no patterns at all let every topic pass."""
    chosen = PatternSet(patterns)
    return chosen.matches if chosen else lambda topic: True
