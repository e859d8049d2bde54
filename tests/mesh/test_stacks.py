"""The call stack of another thread."""

import gc
import subprocess
import sys
import threading

import pytest

from mesh.stacks import stack_of
from tests.conditions import eventually


def test_it_is_where_the_thread_is_and_nothing_of_one_that_has_ended():
    go_on = threading.Event()

    def standing_here():
        go_on.wait(10.0)

    thread = threading.Thread(target=standing_here)
    thread.start()
    assert thread.ident is not None
    try:
        eventually(lambda: "go_on.wait(10.0)" in stack_of(thread.ident))
        assert stack_of(thread.ident).index(", in run\n") < stack_of(thread.ident).index(", in standing_here\n")
    finally:
        go_on.set()
        thread.join()
    assert stack_of(thread.ident) == ""


@pytest.mark.parametrize("collecting", [True, False])
def test_whether_garbage_is_collected_is_afterwards_as_it_was(collecting):
    (gc.enable if collecting else gc.disable)()
    try:
        stack_of(threading.get_ident())
        assert gc.isenabled() is collecting
    finally:
        gc.enable()


PROGRAM = """
import gc, os, threading, time
from mesh.stacks import stack_of

wanted = threading.Event()

class Garbage:
    def __init__(self):
        self.itself = self

    def __del__(self):  # lets others run, and leaves more of its kind
        Garbage()
        wanted.set()
        time.sleep(0.01)

def begin():
    while True:
        wanted.wait()
        wanted.clear()
        threading.Thread(target=bool, daemon=True).start()

threading.Thread(target=begin, daemon=True).start()
Garbage()
gc.set_threshold(1)
for _ in range(5):
    stack_of(threading.get_ident())
print("through", flush=True)
os._exit(0)
"""


def test_threads_may_begin_and_end_and_garbage_may_be_collected_meanwhile():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "through\n", "")
