"""Receipts: waited for by threads, awaited by coroutines, resolved once."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import EventRejected
from mesh.receipt import Answer, Answers, Receipt

NO = EventRejected("no")
ACCEPTED = Answer("accepted", "n.1/A/", 4)


def one() -> tuple[Answers, Receipt]:
    answers = Answers()
    return answers, Receipt(answers, 0)


def words(receipt: Receipt) -> tuple[object, ...]:
    return receipt.status, receipt.done, receipt.event_id, receipt.error


def test_a_new_receipt_is_pending_and_has_no_event_id():
    _, receipt = one()
    assert words(receipt) == ("pending", False, "", None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ACCEPTED, ("accepted", True, "n.1/A/4", None)),
        (Answer("accepted"), ("accepted", True, "", None)),
        (Answer("duplicate", "n.1/A/1"), ("duplicate", True, "n.1/A/1", None)),
        (Answer("rejected", error=NO), ("rejected", True, "", NO)),
    ],
)
def test_a_receipt_says_what_the_node_has_said(answer, said):
    answers, receipt = one()
    answers.say_all(answer)
    assert words(receipt) == said


def test_the_ids_of_a_run_that_was_accepted_count_on_from_the_first():
    answers = Answers()
    receipts = [Receipt(answers, index) for index in range(3)]
    answers.say_all(ACCEPTED)
    assert [receipt.event_id for receipt in receipts] == ["n.1/A/4", "n.1/A/5", "n.1/A/6"]


def test_an_answer_to_a_part_of_a_run_says_nothing_of_the_rest():
    answers = Answers()
    receipts = [Receipt(answers, index) for index in range(4)]
    assert answers.say(1, 3, ACCEPTED) == 2
    assert [receipt.event_id for receipt in receipts] == ["", "n.1/A/4", "n.1/A/5", ""]
    assert [receipt.done for receipt in receipts] == [False, True, True, False]


def test_what_follows_an_answer_by_some_events_is_an_answer_too():
    assert ACCEPTED.behind(3) == Answer("accepted", "n.1/A/", 7)
    assert Answer("duplicate", "n.1/A/1").behind(3) == Answer("duplicate", "n.1/A/1")


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8), st.integers(1, 99)), max_size=12))
def test_the_first_answer_to_an_event_stays_and_each_is_counted_once(said):
    answers, expected, news = Answers(), {}, 0
    for start, count, sequence in said:
        news += answers.say(start, start + count, Answer("accepted", "n.1/A/", sequence))
        for index in range(start, start + count):
            expected.setdefault(index, f"n.1/A/{sequence + index - start}")
    assert {index: Receipt(answers, index).event_id for index in expected} == expected
    assert news == len(expected)


def test_nothing_is_added_to_an_answer_for_all():
    answers, receipt = one()
    answers.say_all(ACCEPTED)
    assert answers.say(0, 1, Answer("rejected", error=NO)) == 0
    assert receipt.status == "accepted"


def test_waiting_returns_the_receipt_pending_when_the_time_is_over():
    _, receipt = one()
    assert receipt.wait(0.0) is receipt
    assert receipt.status == "pending"


def test_a_thread_that_waits_is_woken():
    answers, receipt = one()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(receipt.wait(10.0).event_id))
    thread.start()
    answers.say_all(ACCEPTED)
    thread.join(10.0)
    assert seen == ["n.1/A/4"]


def test_whoever_waits_for_one_event_of_a_run_is_told_of_that_one_only_and_once():
    answers, told = Answers(), []
    answers.wait(1, lambda: told.append("1"))
    answers.wait(0, lambda: told.append("0"))
    answers.say(1, 2, ACCEPTED)
    assert told == ["1"]
    answers.say(0, 3, ACCEPTED)
    assert told == ["1", "0"]


def test_whoever_waits_for_what_is_there_is_told_at_once():
    answers, told = Answers(), []
    answers.say_all(ACCEPTED)
    answers.wait(0, lambda: told.append("0"))
    assert told == ["0"]


def test_a_coroutine_that_awaits_is_woken_from_another_thread():
    async def scenario() -> str:
        answers, receipt = one()
        threading.Timer(0.01, answers.say_all, [Answer("duplicate", "n.1/A/1")]).start()
        return (await receipt).event_id

    assert asyncio.run(scenario()) == "n.1/A/1"


def test_awaiting_a_receipt_that_is_done_returns_at_once():
    async def scenario() -> Receipt:
        answers, receipt = one()
        answers.say_all(Answer("rejected", error=NO))
        return await receipt

    assert asyncio.run(scenario()).error is NO


def test_several_waiters_are_all_woken():
    async def scenario() -> list[str]:
        answers, receipt = one()
        waiters = [asyncio.ensure_future(_id_of(receipt)) for _ in range(3)]
        await asyncio.sleep(0)
        answers.say_all(ACCEPTED)
        return await asyncio.gather(*waiters)

    async def _id_of(receipt: Receipt) -> str:
        return (await receipt).event_id

    assert asyncio.run(scenario()) == ["n.1/A/4"] * 3


def test_resolving_after_the_loop_of_a_waiter_was_closed_is_harmless():
    answers, receipt = one()

    async def scenario() -> None:
        waiting = asyncio.ensure_future(_wait(receipt))
        await asyncio.sleep(0)
        waiting.cancel()

    async def _wait(receipt: Receipt) -> None:
        await receipt

    asyncio.run(scenario())
    answers.say_all(ACCEPTED)
    assert receipt.done
