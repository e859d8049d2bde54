"""`mesh dlq retry`, `discard` and `cleanup`: acts on letters, and what became of them.

    choose ─▶ slice ─▶ the node acts or refuses ─▶ (retry) look until every letter has its outcome ─▶ next slice ─▶ sum

Ctrl-C ends it after what the node has already taken; the sum so far is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.asked import AsJson, Asked, Node, asked, complain, print_json
from mesh.cli.times import parse_rate, parse_span
from mesh.letter_acts import Choice, Pace, follow, slices
from mesh.letter_outcomes import Outcome, Tally, Word

if TYPE_CHECKING:
    from mesh.client import NodeClient

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


def choose(ids: list[int] | None, every: bool, most: int | None, topic: str | None, consumer: str | None) -> Choice:
    """The letters the command line names. Raises `typer.BadParameter` when it names none, or both kinds."""
    if bool(ids) == every:
        raise typer.BadParameter("name letters by ID (see `mesh dlq list`), or give --all, one of the two")
    if ids and (most or topic or consumer):
        raise typer.BadParameter("--max, --topic and --consumer go with --all, not with IDs")
    return Choice(ids or None, most, topic, consumer)


def _parsed(parse: Any, text: str, option: str) -> float:
    try:
        return float(parse(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


# ── outcomes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _refused(reply: dict[str, Any]) -> list[Outcome]:
    return [Outcome(letter, "refused", reason) for letter, reason in reply["refused"]]


def _follow(ask: Asked, client: NodeClient, tally: Tally, attempts: dict[int, int], wait_s: float) -> None:
    """Tell what becomes of retried letters; those without an outcome when the time is over count as waiting."""
    try:
        for known in follow(client, attempts, wait_s):
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
