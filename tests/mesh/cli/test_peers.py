"""`mesh status` and `mesh peers` against real nodes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.cli import peers_view, screen
from node.embedded import EmbeddedNode
from node.testing import LocalMesh
from tests.conditions import eventually
from tests.mesh.cli.shell import Shell, Terminal

PEER_KEYS = [
    *("name", "state", "role", "address", "link", "rtt_ms", "last_seen_s", "clock_skew_ms"),
    *("sent", "received", "dropped", "repaired", "version", "via", "reason", "origin", "incarnation"),
]


@pytest.fixture
def two_nodes() -> Iterator[LocalMesh]:
    with LocalMesh(2) as mesh:
        yield mesh


@pytest.fixture
def pair(two_nodes: LocalMesh, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(two_nodes.nodes[0].data_dir, capsys, monkeypatch)


def test_peers_as_json_is_a_list_of_rows(pair: Shell) -> None:
    said = pair("peers", "--json")
    assert (said.code, said.err) == (0, "")
    assert [list(row) for row in said.json] == [PEER_KEYS]
    assert {key: said.json[0][key] for key in ("name", "state", "link")} == {
        "name": "n1",
        "state": "alive",
        "link": "up",
    }


def test_peers_for_people_is_a_table_of_80_columns(pair: Shell) -> None:
    said = pair("peers")
    header, row = said.out.splitlines()
    assert header.split() == ["peer", "state", "link", "rtt", "seen", "sent", "received", "dropped", "address"]
    assert row.split()[:3] == ["n1", "alive", "up"]
    assert max(len(header), len(row)) <= 80


def test_every_column_is_explained_in_the_help(pair: Shell) -> None:
    columns = pair("peers").out.splitlines()[0].split()
    explained = set(pair("peers", "--help").out.replace(",", " ").split("Options:")[0].split())
    assert [column for column in columns if column not in explained] == []


@pytest.mark.parametrize("width", [1, 20, 40, 60])
def test_the_name_of_a_peer_is_never_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    usual = dict.fromkeys(PEER_KEYS) | {"state": "alive", "link": "up", "rtt_ms": 1.0, "dropped": 0}
    names = ["trainer-gpu-0017-frankfurt", "n1"]
    monkeypatch.setenv("COLUMNS", str(width))
    screen.show(peers_view.peers([{**usual, "name": name, "address": "tcp://10.0.0.17:7270"} for name in names], 2))
    assert [word for word in capsys.readouterr().out.split() if word in names] == names


def test_peers_with_issues_only_leaves_out_who_is_well(pair: Shell) -> None:
    assert pair("peers", "--issues-only", "--json").json == []
    said = pair("peers", "--issues-only")
    assert (said.code, said.out) == (0, "no issues; peers: 1\n")


@pytest.mark.parametrize(
    ("reason", "below"),
    [("left", []), ("nobody answers there", ["n1: nobody answers there"]), ("", [])],
)
def test_below_the_table_stands_why_a_link_is_not_up_unless_its_state_says_it(
    capsys: pytest.CaptureFixture[str], reason: str, below: list[str]
) -> None:
    row = dict.fromkeys(PEER_KEYS) | {"name": "n1", "state": "left", "link": "down", "dropped": 0, "reason": reason}
    screen.show(peers_view.peers([row], 1))
    assert capsys.readouterr().out.splitlines()[2:] == below


def test_a_peer_that_left_is_an_issue(pair: Shell, two_nodes: LocalMesh) -> None:
    two_nodes.nodes[1].stop()
    rows = eventually(lambda: pair("peers", "--issues-only", "--json").json, what="an issue")
    assert [row["name"] for row in rows] == ["n1"]
    assert pair("peers", "--issues-only", "--json").code == 1
    said = pair("peers", "--issues-only")
    assert said.code == 1
    assert said.out.splitlines()[1].split()[0] == "n1"


def test_a_leaf_that_has_links_enough_has_no_issue_with_the_peers_it_does_not_dial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalMesh(4) as mesh, EmbeddedNode(tmp_path, "leaf", "", [mesh.nodes[0].listen], leaf=True):
        shell = Shell(tmp_path, capsys, monkeypatch)
        enough = ["down", "up", "up", "up"]
        eventually(lambda: sorted(row["link"] for row in shell("peers", "--json").json) == enough, what="three links")
        said = shell("peers", "--issues-only")
        assert (said.code, said.out) == (0, "no issues; peers: 4\n")


def test_a_node_without_peers_says_how_to_get_some(shell: Shell) -> None:
    assert shell("peers").out == "no peers: give this node some with --peer\n"


def test_status_as_json_has_every_part(shell: Shell) -> None:
    said = shell("status", "--json")
    assert said.code == 0
    parts = {"node", "peers", "sessions", "consumers", "dlq", "dedup", "log", "counts", "interest", "balanced"}
    assert parts <= set(said.json)
    assert {"name", "origin", "version", "uptime_s", "trouble"} <= set(said.json["node"])


def test_status_for_people_begins_with_the_node(pair: Shell, two_nodes: LocalMesh) -> None:
    two_nodes.connect(name="trainer").subscribe("A", print, name="feedback")
    said = pair("status")
    lines = said.out.splitlines()
    assert lines[0].startswith("node      n0 (n0.")
    assert [line.split()[0] for line in lines[:7]] == [
        *("node", "version", "trouble", "programs", "log", "letters", "books"),
    ]
    assert "programs  trainer" in lines
    assert [line for line in lines if line in ("peers", "consumers")] == ["peers", "consumers"]
    assert max(map(len, lines)) <= 80
    knobs = "beat 1s, suspect after 5s, dead after 10s, forgotten after 1h00m"
    assert any(line.split(maxsplit=1) == ["members", knobs] for line in said.out.splitlines())


@pytest.mark.parametrize("arguments", [("peers", "--watch", "--interval", "0.1", "--json"), ("peers", "--watch")])
def test_watching_peers_ends_with_ctrl_c_and_0(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    process = terminal.start(*arguments)
    process.wait_lines(1)
    process.signal(signal.SIGINT)
    said = process.end()
    assert (said.code, said.err) == (0, "")
    nobody = "[]" if "--json" in arguments else "no peers: give this node some with --peer"
    assert set(said.out.splitlines()) == {nobody}


def test_all_shows_who_sees_whom_and_exits_0_when_nobody_is_missing(pair: Shell) -> None:
    said = pair("peers", "--all")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "      1 2",
        "1 n0  . +",
        "2 n1  + .",
        "+ linked  ~ no link  x dead  - left  ? unknown  . itself",
    ]


def test_all_tells_who_did_not_answer_from_whom_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "b", "state": "alive", "link": "up"}, {"name": "c", "state": "known", "link": "down"}]
    screen.show(peers_view.matrix({"a": rows}, ["b"]))
    assert capsys.readouterr().out.splitlines()[1:4] == [
        "1 a  . + ~",
        "2 b  no answer",
        "3 c  not asked, no link from here",
    ]


def test_all_as_json_holds_the_views_and_who_is_missing(pair: Shell) -> None:
    said = pair("peers", "--all", "--json")
    assert {viewer: [row["name"] for row in rows] for viewer, rows in said.json["views"].items()} == {
        "n0": ["n1"],
        "n1": ["n0"],
    }
    assert (said.json["silent"], said.json["missing"]) == ([], [])


def test_all_stands_alone(pair: Shell) -> None:
    said = pair("peers", "--all", "--watch")
    assert (said.code, said.err) == (2, "mesh: --all stands alone; leave out --watch and --issues-only\n")
