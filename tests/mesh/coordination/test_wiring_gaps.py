"""Gaps in the wiring, as a table: rows of nodes in, findings out."""

import pytest

from mesh.coordination.wiring_gaps import AllowList, Known, find_gaps, read_allow_list
from mesh.errors import ConfigurationError


def row(node="n", emitted=(), subscribed=None, attached=None, critical=()):
    subscribed = subscribed or {}
    return {
        "node": node,
        "emitted": dict.fromkeys(emitted, 1.0),
        "subscribed": subscribed,
        "attached": subscribed if attached is None else attached,
        "critical": list(critical),
    }


def found(rows, catalog=(), allowed=None):
    return [(gap.kind, gap.topic) for gap in find_gaps(rows, catalog, allowed)]


@pytest.mark.parametrize(
    ("rows", "gaps"),
    [
        pytest.param([row(emitted="A", subscribed={"A": ["c"]})], [], id="announced and heard"),
        pytest.param([row(emitted="A")], [("orphan", "A")], id="announced, heard by nobody"),
        pytest.param([row(emitted=["A"]), row("m", subscribed={"A": ["c"]})], [], id="heard at another node"),
        pytest.param([row(emitted=["gpu.1"], subscribed={"gpu.*": ["c"]})], [], id="heard by a pattern"),
        pytest.param([row(emitted="A", subscribed={"*": ["archive"]})], [("orphan", "A")], id="only watched"),
        pytest.param([row(emitted="A", subscribed={"A": ["c"]}, attached={})], [], id="its consumer is away"),
        pytest.param([row(subscribed={"A": ["c"]})], [("no-emitter", "A")], id="waits for what nobody announces"),
        pytest.param([row(subscribed={"gpu.*": ["c"]})], [("no-emitter", "gpu.*")], id="a vain pattern"),
        pytest.param([row(subscribed={"*": ["c"]})], [], id="who takes everything waits for nothing"),
        pytest.param([row(critical=["A"])], [("critical", "A")], id="required, held by nobody"),
        pytest.param(
            [row(emitted="A", subscribed={"A": ["c"]}, attached={}, critical="A")],
            [("critical", "A")],
            id="required, and its consumer is away",
        ),
        pytest.param([row(emitted="A", critical="A"), row("m", subscribed={"A": ["c"]})], [], id="held elsewhere"),
        pytest.param(
            [row(emitted="A", subscribed={"*": ["c"]}, critical="A")],
            [("orphan", "A"), ("critical", "A")],
            id="a watcher holds nothing",
        ),
        pytest.param([row(emitted=["HANDLER_FAILED", "HANDLER_TIMEOUT"])], [], id="the node's own announcements"),
    ],
)
def test_what_is_found(rows, gaps):
    assert found(rows) == gaps


CATALOG = [Known("A", True), Known("B", False)]


def test_what_the_catalogue_marks_is_critical_only_where_it_is_in_use():
    assert found([row()], CATALOG) == [("never-seen", "A"), ("never-seen", "B")]
    assert found([row(emitted=["A"])], CATALOG) == [("orphan", "A"), ("critical", "A"), ("never-seen", "B")]
    assert found([row(emitted=["A"], subscribed={"A": ["c"]})], CATALOG) == [("never-seen", "B")]


def test_a_finding_says_where_and_who():
    rows = [row("n", ["A"], {"*": ["archive"]}), row("m", ["A"], {"B": ["c"]}, {}, ["B"])]
    assert [(gap.nodes, gap.text) for gap in find_gaps(rows, [])] == [
        (("m", "n"), "announced, and no consumer subscribes to it; only archive takes in everything"),
        (("m",), "c waits for it, and nobody has ever announced it"),
        (("m",), "critical (a program requires it), and c is not attached"),
    ]


def test_an_allow_list_accepts_by_kind_or_for_all_kinds():
    allowed = read_allow_list("orphan A  # people look at it\n\nno-emitter gpu.*\nOLD_*\n", "allow.txt")
    rows = [row(emitted=["A", "B", "OLD_1"], subscribed={"gpu.*": ["c"], "OLD_2": ["c"]}, critical=["A"])]
    assert found(rows, (), allowed) == [("orphan", "B"), ("critical", "A")]
    assert found(rows, (), AllowList()) == found(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "A\nsilly A",
            "allow.txt:2: 'silly A'; write a topic, or one of orphan, no-emitter, critical, never-seen",
        ),
        ("orphan A B", "allow.txt:1: 'orphan A B'; write a topic"),
        ("!A", "allow.txt:1: pattern '!A' starts with '!'"),
    ],
)
def test_a_line_that_is_none_is_named(text, message):
    with pytest.raises(ConfigurationError, match="^" + message.replace("*", r"\*")):
        read_allow_list(text, "allow.txt")


class Silent:
    """A node whose peer does not answer, and another that is too old for the question."""

    def request(self, do, **fields):
        row = {"node": "n0", "emitted": {}, "subscribed": {}, "attached": {}, "critical": []}
        old = {"ok": False, "code": "unknown", "message": "this node does not know 'wiring.view'"}
        return {"answers": {"n0": {"ok": True, "rows": [row]}, "old": old}, "silent": ["gone"]}


def test_nothing_is_complete_while_a_node_does_not_answer():
    from mesh.coordination.wiring import verify

    verified = verify(Silent())
    assert (verified.nodes, verified.silent, verified.to_mend, verified.complete) == (
        ("n0",),
        ("gone", "old"),
        [],
        False,
    )
