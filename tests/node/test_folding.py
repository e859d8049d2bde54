"""Folding: somebody who does it beside the turns, when asked."""

import threading

from node.folding import Folding


def test_it_folds_in_a_thread_of_its_own_once_for_each_time_it_is_asked() -> None:
    folded: list[int] = []
    done = threading.Semaphore(0)

    def fold() -> None:
        folded.append(threading.get_ident())
        done.release()

    folding = Folding(fold)
    for _ in range(3):
        folding.ask()
        assert done.acquire(timeout=10)
    folding.end()
    assert len(folded) == 3
    assert set(folded) & {threading.get_ident()} == set()


def test_asked_again_while_it_folds_it_folds_once_more_however_often_it_was() -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def fold() -> None:
        begun.release()
        assert go_on.acquire(timeout=10)

    folding = Folding(fold)
    folding.ask()
    assert begun.acquire(timeout=10)
    for _ in range(5):
        folding.ask()
    go_on.release(2)
    assert begun.acquire(timeout=10)
    folding.end()
    assert not begun.acquire(blocking=False)


def test_its_thread_is_gone_when_it_has_ended() -> None:
    before = threading.active_count()
    folding = Folding(lambda: None)
    assert threading.active_count() == before + 1
    folding.end()
    assert threading.active_count() == before
