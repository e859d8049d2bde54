"""Receipts: waited for by threads, awaited by coroutines, resolved once."""

import asyncio
import threading

from mesh.errors import EventRejected
from mesh.receipt import Receipt


def test_a_new_receipt_is_pending_and_has_no_event_id():
    receipt = Receipt()
    assert (receipt.status, receipt.done, receipt.event_id, receipt.error) == ("pending", False, "", None)


def test_waiting_returns_the_receipt_pending_when_the_time_is_over():
    receipt = Receipt()
    assert receipt.wait(0.0) is receipt
    assert receipt.status == "pending"


def test_a_thread_that_waits_is_woken():
    receipt = Receipt()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(receipt.wait(10.0).event_id))
    thread.start()
    receipt.accept("n.1/A/", 4)
    thread.join(10.0)
    assert seen == ["n.1/A/4"]


def test_a_coroutine_that_awaits_is_woken_from_another_thread():
    async def scenario() -> str:
        receipt = Receipt()
        threading.Timer(0.01, receipt.duplicate, ["n.1/A/1"]).start()
        return (await receipt).event_id

    assert asyncio.run(scenario()) == "n.1/A/1"


def test_awaiting_a_receipt_that_is_done_returns_at_once():
    async def scenario() -> Receipt:
        receipt = Receipt()
        receipt.reject(EventRejected("no"))
        return await receipt

    receipt = asyncio.run(scenario())
    assert receipt.status == "rejected"
    assert isinstance(receipt.error, EventRejected)


def test_several_waiters_are_all_woken():
    async def scenario() -> list[str]:
        receipt = Receipt()
        waiters = [asyncio.ensure_future(_id_of(receipt)) for _ in range(3)]
        await asyncio.sleep(0)
        receipt.accept("n.1/A/", 1)
        return await asyncio.gather(*waiters)

    async def _id_of(receipt: Receipt) -> str:
        return (await receipt).event_id

    assert asyncio.run(scenario()) == ["n.1/A/1"] * 3


def test_resolving_after_the_loop_of_a_waiter_was_closed_is_harmless():
    receipt = Receipt()

    async def scenario() -> None:
        waiting = asyncio.ensure_future(_wait(receipt))
        await asyncio.sleep(0)
        waiting.cancel()

    async def _wait(receipt: Receipt) -> None:
        await receipt

    asyncio.run(scenario())
    receipt.accept("n.1/A/", 1)
    assert receipt.done
