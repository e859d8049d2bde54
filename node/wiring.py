"""Wiring: what the programs here say of their subscriptions, and which critical topics nobody holds.

    configuration  critical = ["A"]           ┐
    a program      wiring critical ["B"]      ├──▶ required A, B, C ──each held?──▶ missing C: "no consumer is attached"
    a program that has gone   critical ["C"]  ┘

A topic is required while the configuration names it, while an attached program declares it, and also after that program
has gone, however it went: the subscription of a process that has died is exactly what readiness is asked about, and an
orchestrator that ended on an exception says goodbye like one that was told to stop. So the last word of a program
counts until a program of the same name reports anew (a new version may declare less), or the node starts anew. A
program is known by its bus's name; processes of one name are one program.

A required topic is held by a program with a subscription in force that takes it in. Whoever subscribes to everything
(`mesh sub '*'`, a log shipper) processes nothing in particular and holds nothing, unless it reports the topic as
subscribed, as a router does. Where an attached program declares a topic critical and reports it as failed, the topic is
missing whoever else listens: it is that program's handler which is critical.

Everything here lives in memory and is bounded; a program sends its report again whenever it attaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from mesh.errors import InvalidOption
from mesh.topic import check_topic
from node.delivery import Following

GROUPS_MAX = 200
TOPICS_MAX = 5000
"""Topics in all groups of one report; a catalogue of 352 types in a dozen groups is far below."""
CRITICAL_MAX = 1000
REASON_CHARS_MAX = 500
PROGRAMS_KEPT_MAX = 1000
"""Programs that have gone and whose critical topics stay required; beyond that the one that went first is forgotten."""

SUBSCRIBED = "subscribed"
CONFIGURATION = "configuration"
EVERYTHING = "*"

Row = dict[str, Any]


class Report(NamedTuple):
    """What one session says. `groups`: group → topic → "subscribed" or "failed: reason"."""

    program: str
    pid: int
    groups: dict[str, dict[str, str]]
    critical: tuple[str, ...]

    def states(self, topic: str) -> list[str]:
        """What it says of one topic, in any group."""
        return [topics[topic] for topics in self.groups.values() if topic in topics]


def read_report(program: str, pid: int, fields: Mapping[str, Any]) -> Report:
    """Take a report as it travels (`mesh.requests`). Raises `InvalidTopic`, `InvalidOption`, or one of `NONSENSE`."""
    groups = {str(name): _states(group["topics"]) for name, group in fields["groups"].items()}
    critical = tuple(dict.fromkeys(fields["critical"]))
    for what, count, most in (
        ("groups", len(groups), GROUPS_MAX),
        ("topics", sum(map(len, groups.values())), TOPICS_MAX),
        ("critical topics", len(critical), CRITICAL_MAX),
    ):
        if count > most:
            raise InvalidOption(f"the report of {program!r} has {count} {what}; at most {most} are kept")
    for topic in chain(critical, *groups.values()):
        check_topic(topic)
    return Report(program, pid, groups, critical)


def _states(topics: Mapping[str, Any]) -> dict[str, str]:
    return {topic: str(state)[:REASON_CHARS_MAX] for topic, state in topics.items()}


class Wiring:
    """The reports of the attached sessions, and what is required. `critical` are the topics of the configuration."""

    def __init__(self, critical: Iterable[str] = ()) -> None:
        self._configured = tuple(critical)
        self._reports: dict[bytes, Report] = {}
        self._gone: dict[str, tuple[str, ...]] = {}

    def report(self, session: bytes, report: Report) -> None:
        """An attached program says how it is wired, in place of what it or its predecessor said."""
        self._reports[session] = report
        self._gone.pop(report.program, None)

    def leave(self, session: bytes) -> None:
        """A session ends: its report goes, what it declared critical stays required."""
        report = self._reports.pop(session, None)
        if report is None or not report.critical:
            return
        before = self._gone.pop(report.program, ())
        self._gone[report.program] = tuple(dict.fromkeys(before + report.critical))[-CRITICAL_MAX:]
        while len(self._gone) > PROGRAMS_KEPT_MAX:
            del self._gone[next(iter(self._gone))]

    def required(self) -> dict[str, list[str]]:
        """Every required topic, and who requires it: the configuration, or programs by name."""
        found: dict[str, dict[str, None]] = {}
        attached = ((each.program, each.critical) for each in self._reports.values())
        for who, topics in chain([(CONFIGURATION, self._configured)], attached, self._gone.items()):
            for topic in topics:
                found.setdefault(topic, {})[who] = None
        return {topic: list(who) for topic, who in sorted(found.items())}

    def status(self, attached: Iterable[tuple[bytes, Following]]) -> Row:
        """Groups, critical topics and what is missing. `attached`: every session's subscriptions in force."""
        held = _Held(attached, self._reports)
        critical = [self._critical(topic, who, held) for topic, who in self.required().items()]
        missing = [row["topic"] for row in critical if row["missing"]]
        return {"ready": not missing, "missing": missing, "critical": critical, "groups": self._groups()}

    def _critical(self, topic: str, who: list[str], held: _Held) -> Row:
        consumers, failed = held.by(topic), self._failed(topic)
        reason = failed or ("" if consumers else "no consumer is attached")
        return {
            "topic": topic,
            "required_by": who,
            "attached": bool(consumers),
            "consumers": consumers,
            "missing": reason or None,
        }

    def _failed(self, topic: str) -> str:
        """What the first program that needs the topic and could not subscribe it says."""
        for report in self._reports.values():
            if topic in report.critical:
                for state in report.states(topic):
                    if state != SUBSCRIBED:
                        return f"{report.program} (pid {report.pid}): {state}"
        return ""

    def _groups(self) -> list[Row]:
        return [
            {"program": each.program, "pid": each.pid, "group": name, "topics": topics}
            for each in self._reports.values()
            for name, topics in each.groups.items()
        ]


class _Held:
    """The subscriptions in force, asked which of them hold a topic: exact ones by name, the few globs one by one."""

    def __init__(self, attached: Iterable[tuple[bytes, Following]], reports: Mapping[bytes, Report]) -> None:
        self._reports = reports
        self._exact: dict[str, list[str]] = {}
        self._globs: list[tuple[bytes, Following]] = []
        for session, following in attached:
            if following.pattern.exact:
                self._exact.setdefault(following.pattern.text, []).append(following.consumer)
            else:
                self._globs.append((session, following))

    def by(self, topic: str) -> list[str]:
        """The consumers that hold a topic, by name."""
        globs = (each.consumer for session, each in self._globs if self._holds(session, each, topic))
        return sorted({*self._exact.get(topic, ()), *globs})

    def _holds(self, session: bytes, following: Following, topic: str) -> bool:
        if following.pattern.text != EVERYTHING:
            return following.pattern.matches(topic)
        report = self._reports.get(session)
        return report is not None and SUBSCRIBED in report.states(topic)
