"""`mesh demo`: three real nodes, a few thousand events, a failing handler, a retry, and the books.

    a ══ b ══ c ══ a     every node linked with both others
    │    │    └─ archive      takes every event
    │    └────── curriculum   fails three times for some events, and for one event always
    └─────────── publisher    announces every tenth event twice within the dedup window

Everything is real: three `mesh-node` processes with their databases in a temporary directory, linked over loopback.
Nothing is left behind, also when it is interrupted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import mesh
from mesh.cli.interrupts import Free, interrupts
from mesh.client import NodeClient
from mesh.node_process import NodeProcess

EVENTS = 3000
REPEATED_EVERY = 10
STUBBORN_EVERY = 500
"""Events whose handler fails three times before it succeeds."""
BROKEN = 1234
"""The event whose handler fails until it is mended."""
WAIT_S = 45.0
_TOPICS = ("TRAINING_COMPLETED", "EVALUATION_COMPLETED", "MODEL_PROMOTED", "DATA_SYNC_COMPLETED", "NEW_GAMES_AVAILABLE")


@dataclass(frozen=True)
class Summary:
    """What `mesh demo --json` ends with."""

    nodes: int = 0
    published: int = 0
    delivered: int = 0
    duplicates_dropped: int = 0
    dead_lettered: int = 0
    retried: int = 0
    resolved: int = 0
    lost: int = 0
    balanced: bool = False


class DemoFailed(mesh.MeshError):
    """Something the demo waits for did not happen."""


class Curriculum:
    """A handler as they are: fails now and then, and for one event until somebody mends it."""

    def __init__(self) -> None:
        self.mended = False
        self.handled: set[int] = set()
        self._failures: Counter[int] = Counter()

    def __call__(self, event: mesh.Event) -> None:
        """Handle one event, or fail as the story wants it."""
        game = event.payload["game"]
        if game == BROKEN and not self.mended:
            raise KeyError(f"config_key of game {game}")
        if game % STUBBORN_EVERY == 0 and self._failures[game] < 3:
            self._failures[game] += 1
            raise ConnectionError(f"evaluation server is busy (game {game})")
        self.handled.add(game)


def demo(as_json: bool) -> int:
    """Run the whole story; returns the exit code."""
    console = Console(stderr=as_json)
    try:
        with interrupts() as free, _cluster(console, free) as nodes, free():
            summary = _story(nodes, console)
    except KeyboardInterrupt:
        console.print("interrupted; the nodes are stopped and their files removed")
        return 130
    if as_json:
        print(json.dumps(asdict(summary)))
    else:
        console.print(_table("the books", ("", ""), [(key, str(value)) for key, value in asdict(summary).items()]))
        console.print(f"lost: {summary.lost}, balanced: {json.dumps(summary.balanced)}")
    return 0 if summary.balanced and not summary.lost else 1


@contextmanager
def _cluster(console: Console, free: Free) -> Iterator[list[NodeProcess]]:
    """Three nodes in a full mesh; stopped and removed however this ends. Interruptible between two nodes, `free`."""
    root = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
    nodes: list[NodeProcess] = []
    try:
        for name in ("a", "b", "c"):
            node = NodeProcess(root / name, name, [each.listen for each in nodes])
            nodes.append(node)
            with free():
                pass
            node.start()
            console.print(f"node [bold]{name}[/] is ready: {node.origin} at {node.listen}")
        yield nodes
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(root, ignore_errors=True)


def _story(nodes: list[NodeProcess], console: Console) -> Summary:
    curriculum, archived = Curriculum(), set[int]()
    with (
        NodeClient(nodes[0].data_dir) as a,
        NodeClient(nodes[1].data_dir) as b,
        NodeClient(nodes[2].data_dir) as c,
        mesh.connect(nodes[0].data_dir, name="selfplay") as publisher,
        mesh.connect(nodes[1].data_dir, name="trainer") as trainer,
        mesh.connect(nodes[2].data_dir, name="archive") as archive,
    ):
        clients = (a, b, c)
        _until("the nodes to be linked", lambda: all(_links_up(client) == 2 for client in clients))
        for topic in _TOPICS:
            trainer.subscribe(topic, curriculum, name=f"curriculum {topic}", attempts=4, backoff=(0.05, 0.2))
            archive.subscribe(topic, lambda event: archived.add(event.payload["game"]), name=f"archive {topic}")
        statuses = _publish(publisher, console)
        done = EVENTS - 1
        _until("every event to be handled", lambda: len(curriculum.handled) == done and len(archived) == EVENTS)
        _until("one letter, and that dead", lambda: _letters(b) == (0, 1))
        _show_peers(a, console)
        dead = b.request("dlq.summary")["dead"]
        letter = _show_letter(b, console)
        curriculum.mended = True
        console.print("the handler is mended; [bold]mesh dlq retry[/] gives it that event again, and nobody else")
        before = b.request("dlq.summary")["resolved"]
        accepted = b.request("dlq.retry", ids=[letter["id"]], actor="mesh demo")["accepted"]
        _until("the retry to succeed", lambda: not b.request("dlq.list")["rows"])
        _until("all to be settled", lambda: all(_in_flight(client) == 0 for client in clients))
        summary = _balance(clients, statuses, len(curriculum.handled) + len(archived))
        resolved = b.request("dlq.summary")["resolved"] - before
        return replace(summary, dead_lettered=dead, retried=len(accepted), resolved=resolved)


def _publish(bus: mesh.EventBus, console: Console) -> Counter[str]:
    """Publish the events, every tenth one twice; returns how many receipts said what."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    receipts: list[mesh.Receipt] = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("publishing", total=EVENTS)
        for game in range(EVENTS):
            payload = {"game": game, "config_key": "hex8_2p", "moves": list(range(game % 30))}
            topic, times = _TOPICS[game % len(_TOPICS)], 1 + (game % REPEATED_EVERY == 0)
            receipts += [bus.publish(topic, payload, source="selfplay") for _ in range(times)]
            progress.advance(task)
        task = progress.add_task("receipted", total=len(receipts))
        for receipt in receipts:
            receipt.wait(WAIT_S)
            progress.advance(task)
    return Counter(receipt.status for receipt in receipts)


def _balance(clients: tuple[NodeClient, ...], statuses: Counter[str], delivered: int) -> Summary:
    audits = [client.request("audit") for client in clients]
    books = [row for audit in audits for row in audit["consumers"]]
    return Summary(
        nodes=len(clients),
        published=statuses["accepted"],
        delivered=delivered,
        duplicates_dropped=statuses["duplicate"],
        lost=sum(row["lost"] for row in books),
        balanced=all(audit["balanced"] for audit in audits) and all(not row["in_flight"] for row in books),
    )


def _show_peers(client: NodeClient, console: Console) -> None:
    rows = [
        (row["name"], row["state"], row["link"], row["address"], str(row["sent"]), str(row["received"]))
        for row in client.request("peers")["rows"]
    ]
    console.print(_table("peers of a", ("name", "state", "link", "address", "sent", "received"), rows))


def _show_letter(client: NodeClient, console: Console) -> dict[str, Any]:
    letter: dict[str, Any] = client.request("dlq.list", state="dead")["rows"][0]
    error = f"{letter['error_type']}: {letter['error']}"
    console.print("\n[italic]the dead letter of b[/]")
    for name, value in (*((key, letter[key]) for key in ("event_id", "consumer", "attempts")), ("error", error)):
        console.print(f"  {name:<10}{value}", soft_wrap=True, markup=False, highlight=False)
    console.print()
    return letter


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _links_up(client: NodeClient) -> int:
    return sum(row["link"] == "up" for row in client.request("peers")["rows"])


def _letters(client: NodeClient) -> tuple[int, int]:
    """How many are waiting, how many are dead."""
    answer = client.request("dlq.summary")
    return answer["waiting"], answer["dead"]


def _in_flight(client: NodeClient) -> int:
    return sum(row["in_flight"] + row["waiting"] for row in client.request("audit")["consumers"])


def _until(what: str, reached: Callable[[], bool]) -> None:
    """Wait for a condition; raises `DemoFailed` when it does not come about."""
    deadline, pause = time.monotonic() + WAIT_S, threading.Event()
    while not reached():
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {WAIT_S:g} s for {what}, in vain; see `mesh --help`, and report this")
        pause.wait(0.02)
