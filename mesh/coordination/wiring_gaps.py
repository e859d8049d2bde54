"""Gaps in the wiring: what is announced and heard by nobody, and the like. Values in, values out.

    rows of all nodes ─┐                       ┌ orphan       announced, and no consumer takes it in
    the catalogue ─────┼─▶ find_gaps ─▶ Gap ───┤ no-emitter   a consumer waits for what nobody has ever announced
    the allow-list ────┘                       ├ critical     must be handled, and no consumer is attached
                                               └ never-seen   in the catalogue, announced nowhere, heard nowhere

A consumer of everything (`*`: an archive, a queue, `mesh sub '*'`) handles nothing in particular: it is named beside an
orphan and does not make it none. Any other pattern counts. `no-emitter` and `never-seen` speak of what the nodes have
seen since their logs began, so on a new mesh they say little.

Critical is what an attached program or a node's configuration requires, and what the catalogue marks if it is in use
here (announced or subscribed): a program that is not part of this mesh is not missed.

An allow-list has one exception a line, a topic or pattern, with the kind of gap before it or for all kinds:

    orphan      TRAINING_PROGRESS     # only looked at by people
    no-emitter  gpu.*
    LEGACY_*
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict, get_args

from mesh.errors import ConfigurationError, InvalidTopic
from mesh.topic import PatternSet, check_pattern

Kind = Literal["orphan", "no-emitter", "critical", "never-seen"]
KINDS: tuple[Kind, ...] = get_args(Kind)
EVERYTHING = "*"
FROM_THE_NODE = frozenset({"HANDLER_FAILED", "HANDLER_TIMEOUT"})
"""What nodes announce by themselves, listened to or not."""


class WiringRow(TypedDict):
    """One node's view. `emitted`: topic → when it was last seen, in seconds since 1970, or None if that is not known.

    `subscribed`: topic or pattern → consumers, attached or not; `attached`: those that are there now;
    `critical`: topics that must have an attached consumer.
    """

    node: str
    emitted: Mapping[str, float | None]
    subscribed: Mapping[str, Sequence[str]]
    attached: Mapping[str, Sequence[str]]
    critical: Sequence[str]


class Gap(NamedTuple):
    """One finding. `topic` may be a pattern where `kind` is no-emitter; `nodes`: where it shows; `text`: a sentence."""

    kind: Kind
    topic: str
    nodes: tuple[str, ...]
    text: str


class Known(NamedTuple):
    """What the catalogue says of a type: name, and whether it is critical."""

    name: str
    critical: bool


class AllowList:
    """Gaps that are known and accepted."""

    def __init__(self, patterns: Mapping[Kind, Iterable[str]] | None = None) -> None:
        self._patterns = {kind: PatternSet((patterns or {}).get(kind, ())) for kind in KINDS}

    def allows(self, gap: Gap) -> bool:
        """Whether a gap is accepted."""
        return self._patterns[gap.kind].matches(gap.topic)


def read_allow_list(text: str, place: str) -> AllowList:
    """Parse an allow-list (see the module). `place` names it in the `ConfigurationError` for a line that is none."""
    patterns: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        kinds = [kind for kind in KINDS if kind == words[0]] if len(words) == 2 else list(KINDS)
        if len(words) > 2 or not kinds:
            raise ConfigurationError(f"{place}:{number}: {line!r}; write a topic, or one of {', '.join(KINDS)} and one")
        try:
            check_pattern(words[-1])
        except InvalidTopic as error:
            raise ConfigurationError(f"{place}:{number}: {error}") from None
        for kind in kinds:
            patterns[kind].append(words[-1])
    return AllowList(patterns)


def find_gaps(rows: Sequence[WiringRow], catalog: Iterable[Known], allowed: AllowList | None = None) -> list[Gap]:
    """Every gap that is not allowed, in the order of `KINDS` and by topic."""
    types = list(catalog)
    view = _View(rows)
    gaps = [*_orphans(view), *_without_emitter(view), *_without_consumer(view, types), *_never_seen(view, types)]
    return [gap for gap in gaps if allowed is None or not allowed.allows(gap)]


class _View:
    """The rows of all nodes as one."""

    def __init__(self, rows: Sequence[WiringRow]) -> None:
        self._rows = rows
        self.emitted = {topic for row in rows for topic in row["emitted"]}
        self.subscribed = {pattern for row in rows for pattern in row["subscribed"]}
        self.attached = {pattern for row in rows for pattern in row["attached"]}
        self.critical = {topic for row in rows for topic in row["critical"]}
        self.heard = PatternSet(self.subscribed - {EVERYTHING})
        self.held = PatternSet(self.attached - {EVERYTHING})

    def nodes(self, column: Literal["emitted", "subscribed", "critical"], topic: str) -> tuple[str, ...]:
        """The nodes that have a topic in a column."""
        return tuple(sorted({row["node"] for row in self._rows if topic in row[column]}))

    def watchers(self) -> list[str]:
        """The consumers of everything."""
        return sorted({name for row in self._rows for name in row["subscribed"].get(EVERYTHING, ())})

    def consumers(self, pattern: str) -> list[str]:
        """The consumers subscribed to exactly this pattern."""
        return sorted({name for row in self._rows for name in row["subscribed"].get(pattern, ())})


def _orphans(view: _View) -> list[Gap]:
    watchers = f"; only {', '.join(view.watchers())} takes in everything" if view.watchers() else ""
    text = f"announced, and no consumer subscribes to it{watchers}"
    topics = sorted(topic for topic in view.emitted - FROM_THE_NODE if not view.heard.matches(topic))
    return [Gap("orphan", topic, view.nodes("emitted", topic), text) for topic in topics]


def _without_emitter(view: _View) -> list[Gap]:
    gaps = []
    for pattern in sorted(view.subscribed - FROM_THE_NODE - {EVERYTHING}):
        if not any(map(check_pattern(pattern).matches, view.emitted)):
            text = f"{', '.join(view.consumers(pattern))} waits for it, and nobody has ever announced it"
            gaps.append(Gap("no-emitter", pattern, view.nodes("subscribed", pattern), text))
    return gaps


def _without_consumer(view: _View, types: Collection[Known]) -> list[Gap]:
    marked = {each.name for each in types if each.critical}
    in_use = {topic for topic in marked if topic in view.emitted or view.heard.matches(topic)}
    gaps = []
    for topic in sorted(view.critical | in_use):
        if not view.held.matches(topic):
            why = "a program requires it" if topic in view.critical else "the catalogue marks it"
            away = view.consumers(topic)
            who = f"{', '.join(away)} is not attached" if away else "no consumer is attached"
            nodes = view.nodes("critical", topic) or view.nodes("subscribed", topic) or view.nodes("emitted", topic)
            gaps.append(Gap("critical", topic, nodes, f"critical ({why}), and {who}"))
    return gaps


def _never_seen(view: _View, types: Collection[Known]) -> list[Gap]:
    text = "in the catalogue; nobody has announced it and nobody waits for it"
    unseen = (each.name for each in types if each.name not in view.emitted and not view.heard.matches(each.name))
    return [Gap("never-seen", topic, (), text) for topic in sorted(set(unseen) - FROM_THE_NODE)]
