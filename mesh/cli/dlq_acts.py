"""`mesh dlq retry`, `discard` and `cleanup`: acts on letters, and what became of them.

    choose ─▶ slice ─▶ the node acts or refuses ─▶ (retry) look until every letter has its outcome ─▶ next slice ─▶ sum

Ctrl-C ends it after what the node has already taken; the sum so far is told.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.asked import AsJson, Asked, Node, asked, complain, print_json
from mesh.cli.outcomes import Outcome, Tally, Word, judge
from mesh.cli.slices import Choice, Pace, choose, slices
from mesh.cli.times import parse_rate, parse_span

if TYPE_CHECKING:
    from mesh.client import NodeClient

POLL_S = (0.02, 0.5)
"""First and longest pause between two looks for outcomes."""

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]", help="The letters' numbers.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All letters, or all that the filters let through.")]
Max = Annotated[int | None, typer.Option("--max", min=1, metavar="N", help="With --all: at most so many.")]
Topic = Annotated[str | None, typer.Option("--topic", metavar="P", help="With --all: only of this topic or pattern.")]
Consumer = Annotated[
    str | None, typer.Option("--consumer", metavar="C", help="With --all: only of this consumer; * is anything.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def register(group: typer.Typer) -> None:
    """Add the commands of this file to `mesh dlq`."""
    group.command()(retry)
    group.command()(discard)
    group.command()(cleanup)


def retry(
    context: typer.Context,
    *,
    ids: Ids = None,
    every: All = False,
    most: Max = None,
    topic: Topic = None,
    consumer: Consumer = None,
    dry_run: DryRun = False,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait for outcomes so long; 0: do not.")] = 10.0,
    rate: Annotated[
        str | None, typer.Option(metavar="N/s", help="Retry at most so many letters a second.", show_default=False)
    ] = None,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Try letters once more, at the consumer that failed.

    Says what became of each letter. Exits 1 if one is refused or fails again.
    """
    ask = asked(context, node, as_json)
    choice = choose(ids, every, most, topic, consumer)
    pace = Pace(None if rate is None else _parsed(parse_rate, rate, "--rate"))
    tally = Tally()
    try:
        with ask.client() as client:
            for reply in slices(client, "dlq.retry", choice, dry_run, pace):
                _take(ask, tally, _refused(reply))
                if dry_run:
                    _take(ask, tally, [Outcome(letter, "accepted") for letter in reply["accepted"]])
                else:
                    _follow(ask, client, tally, dict(zip(reply["accepted"], reply["attempts"], strict=True)), wait)
    except KeyboardInterrupt:
        tally.interrupted = True
    _finish(ask, tally, ("resolved", "failed", "waiting", "refused"), "retried", dry_run)


def discard(
    context: typer.Context,
    ids: Ids = None,
    every: All = False,
    most: Max = None,
    topic: Topic = None,
    consumer: Consumer = None,
    dry_run: DryRun = False,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """End letters for good, without their handler.

    The books count them as expired. Exits 1 if one is refused.
    """
    _discard(asked(context, node, as_json), choose(ids, every, most, topic, consumer), dry_run)


def cleanup(
    context: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="SPAN", help="Only letters that failed first so long ago, as in 24h.")
    ],
    topic: Annotated[str | None, typer.Option("--topic", metavar="P", help="Only of this topic or pattern.")] = None,
    consumer: Annotated[str | None, typer.Option("--consumer", metavar="C", help="Only of this consumer.")] = None,
    dry_run: DryRun = False,
    node: Node = None,
    as_json: AsJson = False,
) -> None:
    """Discard old letters, waiting or dead."""
    older_than_s = _parsed(parse_span, older_than, "--older-than")
    choice = Choice(None, None, topic, consumer, older_than_s)
    _discard(asked(context, node, as_json), choice, dry_run)


def _discard(ask: Asked, choice: Choice, dry_run: bool) -> None:
    tally = Tally()
    word: Word = "accepted" if dry_run else "discarded"
    try:
        with ask.client() as client:
            for reply in slices(client, "dlq.discard", choice, dry_run, Pace()):
                _take(ask, tally, _refused(reply))
                tally.outcomes += [Outcome(letter, word) for letter in reply["accepted"]]
    except KeyboardInterrupt:
        tally.interrupted = True
    _finish(ask, tally, ("discarded", "refused"), "discarded", dry_run)


def _parsed(parse: Any, text: str, option: str) -> float:
    try:
        return float(parse(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


# ── outcomes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _refused(reply: dict[str, Any]) -> list[Outcome]:
    return [Outcome(letter, "refused", reason) for letter, reason in reply["refused"]]


def _follow(ask: Asked, client: NodeClient, tally: Tally, attempts: dict[int, int], wait_s: float) -> None:
    """Look at retried letters until each has an outcome or the time is over; the rest counts as waiting."""
    deadline, (pause, longest) = time.monotonic() + wait_s, POLL_S
    try:
        while attempts and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(longest, pause * 1.5)
            rows = client.request("dlq.list", ids=list(attempts), payloads=False)["rows"]
            known = judge(attempts, {row["id"]: row for row in rows})
            for each in known:
                del attempts[each.letter]
            _take(ask, tally, known)
    finally:
        _take(ask, tally, [Outcome(letter, "waiting") for letter in attempts])


def _take(ask: Asked, tally: Tally, outcomes: list[Outcome]) -> None:
    """Count outcomes and, for people, say them at once."""
    tally.outcomes += outcomes
    if ask.json or not outcomes:
        return
    from mesh.cli import dlq_view, screen

    screen.say(*(dlq_view.outcome(each) for each in outcomes))


def _finish(ask: Asked, tally: Tally, words: tuple[Word, ...], done: str, dry_run: bool) -> None:
    """Say the sum and exit."""
    if ask.json:
        print_json(tally.as_json(("accepted", "refused") if dry_run else words, dry_run))
    else:
        from mesh.cli import dlq_view, screen

        screen.say(dlq_view.sum_of(tally, words, done, dry_run))
    if tally.interrupted:
        complain(f"interrupted; letters done: {len(tally.outcomes)}; run it again for the rest")
    raise typer.Exit(tally.exit_code)
