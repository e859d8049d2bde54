"""Reports without a node: one on its way at a time, bounded, by turns, repeated until it is answered."""

from itertools import pairwise
from types import SimpleNamespace

import orjson
import pytest

from mesh.failures import ERROR_BYTES_MAX, ERROR_TYPE_BYTES_MAX
from mesh.limits import CONTROL_BYTES_MAX, TOPIC_BYTES_MAX, TRACEBACK_CHARS_MAX
from mesh.refusals import AGAIN_AFTER_S, TRIES_MAX
from mesh.reports import REFUSED_AGAIN_S, REPORT_EVERY_S, REPORT_RELAXED_S, Reports
from mesh.requests import Failure
from mesh.settlement import FAULTS_MAX, MOVES_MAX, Settlement

KEY = ("n.1", "A")


class Course:
    """What reports know of a subscription."""

    def __init__(self, sub: int, state: str = "registered", pressing: bool = True) -> None:
        self.sub = sub
        self.state = state
        self.pressing = pressing
        self.settlement = Settlement()
        self.options = SimpleNamespace(consumer=f"c{sub}")


class Link:
    """Takes requests, and answers them when it is told to."""

    def __init__(self) -> None:
        self.asked: list[dict] = []

    def request(self, do, fields, on_reply, now) -> None:
        assert do == "report"
        self.asked.append(fields)
        self._on_reply = on_reply

    def answer(self, now: float, ok: bool = True) -> None:
        self._on_reply({"ok": ok, "code": "busy", "message": "not now"}, [], now)

    def refuse(self, now: float, *words: dict) -> None:
        """Refuse the last report because of these words."""
        self._on_reply({"ok": False, "code": "malformed", "message": "untrue", "refused": list(words)}, [], now)

    @property
    def said(self) -> list[list[tuple[int, int]]]:
        """Of every report: subscription, and up to where its stream is settled."""
        return [[(part["sub"], part["moves"][0][3]) for part in report["subs"]] for report in self.asked]


@pytest.fixture
def link():
    return Link()


@pytest.fixture
def reports():
    return Reports()


def failure(sequence: int, text: str = "") -> Failure:
    return Failure(
        sequence=sequence,
        attempt=1,
        kind="error",
        error_type=text[:ERROR_TYPE_BYTES_MAX],
        error=text[:ERROR_BYTES_MAX],
        traceback=text[:TRACEBACK_CHARS_MAX],
        elapsed_s=0.0,
    )


def finish(reports: Reports, course: Course, *sequences: int, bad: bool = False) -> None:
    for sequence in sequences:
        course.settlement.finish(KEY, sequence, failure(sequence) if bad else None)
    reports.note(course)


def test_nothing_is_due_without_anything_to_say(reports, link):
    reports.note(Course(1))
    assert reports.due_at is None
    reports.send(link, 5.0)
    assert link.asked == []


def test_what_finishes_while_a_report_is_on_its_way_is_the_next_one_and_not_at_once(reports, link):
    course = Course(1)
    finish(reports, course, 1)
    reports.send(link, 5.0)
    finish(reports, course, 2, 3)
    assert reports.due_at is None
    link.answer(5.001)
    assert reports.due_at == 5.0 + REPORT_EVERY_S
    reports.send(link, 5.001)
    assert link.said == [[(1, 1)]]
    reports.send(link, 5.0 + REPORT_EVERY_S)
    assert link.said == [[(1, 1)], [(1, 3)]]


def test_where_nothing_is_at_stake_a_report_takes_its_time_and_comes_along_with_a_pressing_one(reports, link):
    relaxed = Course(1, pressing=False)
    finish(reports, relaxed, 1)
    reports.send(link, 5.0)
    link.answer(5.001)
    finish(reports, relaxed, 2)
    assert reports.due_at == 5.0 + REPORT_RELAXED_S
    reports.send(link, 5.0 + REPORT_EVERY_S)
    assert link.said == [[(1, 1)]]
    finish(reports, Course(2), 1)
    assert reports.due_at == 5.0 + REPORT_EVERY_S
    reports.send(link, 5.0 + REPORT_EVERY_S)
    assert link.said == [[(1, 1)], [(1, 2), (2, 1)]]


def test_a_report_that_is_refused_is_repeated_after_a_while(reports, link):
    finish(reports, Course(1), 1)
    reports.send(link, 5.0)
    link.answer(5.5, ok=False)
    assert reports.due_at == 5.5 + REFUSED_AGAIN_S
    reports.send(link, 5.5 + REFUSED_AGAIN_S)
    assert link.said == [[(1, 1)], [(1, 1)]]


def test_a_report_whose_node_went_away_is_made_anew_at_once(reports, link):
    finish(reports, Course(1), 1)
    reports.send(link, 5.0)
    reports.detached()
    reports.send(link, 5.001)
    assert link.said == [[(1, 1)], [(1, 1)]]


def test_a_subscription_that_is_not_registered_has_to_wait(reports, link):
    course = Course(1, "registering")
    finish(reports, course, 1)
    assert reports.due_at is None
    course.state = "registered"
    assert reports.due_at == 0.0


def test_a_subscription_that_is_gone_is_not_spoken_of(reports, link):
    gone, there = Course(1), Course(2)
    finish(reports, gone, 1)
    finish(reports, there, 1)
    reports.forget(gone)
    reports.send(link, 5.0)
    assert link.said == [[(2, 1)]]


def test_a_subscription_that_fails_everything_does_not_silence_the_others(reports, link):
    bad, good = Course(1), Course(2)
    finish(reports, bad, *range(1, 5 * FAULTS_MAX + 1), bad=True)
    finish(reports, good, 1)
    for turn in range(3):
        reports.send(link, float(turn))
        link.answer(float(turn))
    assert link.said == [[(1, FAULTS_MAX)], [(2, 1), (1, 2 * FAULTS_MAX)], [(1, 3 * FAULTS_MAX)]]


@pytest.mark.parametrize("subs", [1, 9])
def test_a_report_at_its_very_largest_fits_into_a_message(reports, link, subs):
    text, topic = '"' * (TRACEBACK_CHARS_MAX // 2), "ü" * ((TOPIC_BYTES_MAX - 10) // 2)
    for sub in range(subs):
        course = Course(sub)
        for stream in range(MOVES_MAX // 8):
            course.settlement.finish(("n" * 96, f"{topic}{stream}"), 1, failure(1, text))
        course.settlement.finish_letter((2**60, 2**30, failure(2**60, text)))
        for stream in range(MOVES_MAX):
            course.settlement.finish(("m" * 96, f"{topic}{stream}"), 1)
        reports.note(course)
    while course.settlement.unreported and len(link.asked) < 20:
        reports.send(link, 1.0 + len(link.asked))
        link.answer(1.0)
    assert len(link.asked) > 1
    assert max(len(orjson.dumps(report)) for report in link.asked) < CONTROL_BYTES_MAX - 1000


def test_a_report_whose_answer_was_lost_is_not_made_again_when_the_node_has_it(reports, link):
    finish(reports, Course(1), 1)
    reports.send(link, 5.0)
    reports.detached()
    reports.attached(link.asked[0]["serial"])
    assert reports.due_at is None


def test_a_process_that_has_its_predecessors_session_counts_on_from_its_reports(reports, link):
    reports.attached(17)
    finish(reports, Course(1), 1)
    reports.send(link, 5.0)
    reports.detached()
    reports.attached(17)
    reports.send(link, 6.0)
    assert [report["serial"] for report in link.asked] == [18, 19]
    assert link.said == [[(1, 1)], [(1, 1)]]


# ── words that are refused ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_stands_beside_a_refused_move_is_said_again_at_once(reports, link):
    for sub in (1, 2, 3):
        finish(reports, Course(sub), 1)
    reports.send(link, 5.0)
    link.refuse(5.001, {"sub": 2, "move": 0, "why": "no"})
    assert reports.due_at == 5.0 + REPORT_EVERY_S
    reports.send(link, 5.0 + REPORT_EVERY_S)
    assert link.said == [[(1, 1), (2, 1), (3, 1)], [(1, 1), (3, 1)]]


def test_a_refused_move_is_said_again_at_longer_and_longer_intervals_and_then_no_more(reports, link):
    course = Course(1)
    finish(reports, course, 1)
    at = [5.0]
    reports.send(link, at[0])
    link.refuse(at[0], {"sub": 1, "move": 0, "why": "no"})
    while reports.due_at is not None:
        at.append(reports.due_at)
        reports.send(link, at[-1])
        link.refuse(at[-1], {"sub": 1, "move": 0, "why": "no"})
    assert [later - sooner for sooner, later in pairwise(at)] == [AGAIN_AFTER_S * 2**n for n in range(TRIES_MAX)]
    finish(reports, course, 2)
    assert reports.due_at is None


def test_the_next_node_is_told_what_the_last_one_has_refused(reports, link):
    course = Course(1)
    finish(reports, course, 1)
    reports.send(link, 5.0)
    link.refuse(5.0, {"sub": 1, "move": 0, "why": "no"})
    reports.detached()
    reports.attached(0)
    reports.note(course)
    reports.send(link, 5.5)
    assert link.said == [[(1, 1)], [(1, 1)]]


def test_what_is_taken_in_at_last_is_forgotten_as_a_refusal(reports, link):
    course = Course(1)
    finish(reports, course, 1)
    reports.send(link, 5.0)
    link.refuse(5.0, {"sub": 1, "move": 0, "why": "not yet"})
    reports.send(link, 5.0 + AGAIN_AFTER_S)
    link.answer(6.0)
    assert reports.due_at is None
    finish(reports, course, 2)
    reports.send(link, 7.0)
    link.refuse(7.0, {"sub": 1, "move": 0, "why": "not yet"})
    assert reports.due_at == 7.0 + AGAIN_AFTER_S


def test_each_refused_word_is_told_once(reports, link, caplog):
    course = Course(1)
    finish(reports, course, 1)
    course.settlement.finish_letter((7, 2, None))
    words = [{"sub": 1, "letter": 0, "why": "no such letter"}, {"sub": 1, "move": 0, "why": "beyond", "head": 0}]
    reports.send(link, 5.0)
    link.refuse(5.0, *words)
    reports.send(link, 5.0 + AGAIN_AFTER_S)
    link.refuse(6.0, words[1])
    assert [record.getMessage() for record in caplog.records] == [
        "subscription c1: the node does not take in what is reported of stream n.1/A: beyond",
        "subscription c1: the node does not take in what is reported of letter 7: no such letter",
    ]


def test_a_refusal_that_names_no_word_of_the_report_is_repeated_as_a_whole_and_told_once(reports, link, caplog):
    finish(reports, Course(1), 1)
    now = 5.0
    for _ in range(3):
        reports.send(link, now)
        link.refuse(now, {"sub": 9, "move": 0, "why": "no"})
        now += REFUSED_AGAIN_S
        assert reports.due_at == now
    assert link.said == [[(1, 1)]] * 3
    assert len(caplog.records) == 1


def test_a_subscription_that_is_gone_says_nothing_again(reports, link):
    course = Course(1)
    finish(reports, course, 1)
    reports.send(link, 5.0)
    link.refuse(5.0, {"sub": 1, "move": 0, "why": "no"})
    reports.forget(course)
    reports.send(link, 5.0 + AGAIN_AFTER_S)
    assert (len(link.asked), reports.due_at) == (1, None)
