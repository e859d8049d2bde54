"""Failures: whatever an exception is made of, what is told of it can be carried and has a bound."""

import sqlite3
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.event import Event
from mesh.failures import ERROR_BYTES_MAX, ERROR_TYPE_BYTES_MAX, failure_of, legible, timeout_failure
from mesh.jobs import Job
from mesh.limits import TRACEBACK_CHARS_MAX

HUGE = 5_000_000


def job() -> Job:
    event = Event("A")
    event.sequence, event.attempt = 7, 3
    return Job(event, ("n.1", "A"), None)


def failure(error: BaseException):
    """The failure of an exception that was raised, checked for what every failure must be."""
    try:
        raise error
    except BaseException as raised:
        found = failure_of(job(), raised)
    assert json_bytes(found["error_type"]) <= ERROR_TYPE_BYTES_MAX
    assert json_bytes(found["error"]) <= ERROR_BYTES_MAX
    assert json_bytes(found["traceback"]) <= TRACEBACK_CHARS_MAX
    assert orjson.loads(orjson.dumps(found)) == found
    return found


def json_bytes(text: str) -> int:
    return len(orjson.dumps(text)) - 2


def named(name: str, module: object = "m") -> BaseException:
    """An exception of a class with any name."""
    return type("Kind", (Exception,), {"__module__": module, "__qualname__": name})("no")


class Unspeakable(Exception):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


class Loud(str):
    """A string that is not what it seems."""

    def __getitem__(self, index):
        raise RuntimeError("never")

    def encode(self, *args):
        raise RuntimeError("never")


class Named(Exception):
    def __str__(self) -> str:
        return Loud("loud")


def test_a_failure_tells_which_event_which_attempt_and_what_happened():
    found = failure(KeyError("gpu"))
    assert (found["sequence"], found["attempt"], found["kind"]) == (7, 3, "error")
    assert (found["error_type"], found["error"]) == ("KeyError", "'gpu'")
    assert found["traceback"].endswith("KeyError: 'gpu'\n")
    assert "raise error\n" in found["traceback"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("plain", "plain"),
        ("größer ≤ 3 \U0001f600", "größer ≤ 3 \U0001f600"),
        ("two\n\tlines", "two\n\tlines"),
        ("nul \x00 inside", "nul \\x00 inside"),
        ("half \ud800 pair \udfff", "half \\ud800 pair \\udfff"),
        ("\x1b[31mred\x1b[0m\r\x9b", "\\x1b[31mred\\x1b[0m\\r\\x9b"),
    ],
)
def test_what_cannot_be_carried_is_spelled_out(message, told):
    found = failure(ValueError(message))
    assert found["error"] == told
    assert told in found["traceback"]


@pytest.mark.parametrize("text", ["x", "ü", "\x01", "\ud800", '"', "\U0001f600"])
def test_a_huge_message_is_cut_to_its_beginning_and_its_traceback_to_the_end(text):
    found = failure(ValueError("begin" + text * HUGE + "end"))
    assert found["error"].startswith("begin")
    assert found["error"].endswith("…")
    assert json_bytes(found["error"]) > ERROR_BYTES_MAX - 20
    assert found["traceback"].startswith("…")
    assert found["traceback"].endswith("end\n")


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), RecursionError()])
def test_a_message_that_raises_while_it_is_read_is_told_as_that(error):
    found = failure(Unspeakable(error))
    assert found["error"] == f"(its message could not be read: {type(error).__name__})"
    assert found["error_type"].endswith("Unspeakable")


def test_a_message_that_only_looks_like_a_string_is_read_as_one():
    assert failure(Named())["error"] == "loud"


def test_a_class_may_have_any_name():
    assert failure(named("Odd\udc80\x00"))["error_type"] == "m.Odd\\udc80\\x00"
    assert failure(named("Long" * 1000))["error_type"].startswith("m.LongLong")
    assert failure(named("X", None))["error_type"] == "None.X"


def test_a_deep_recursion_and_a_long_chain_of_causes_are_told_by_their_end():
    def deeper(n: int) -> None:
        deeper(n + 1)

    with pytest.raises(RecursionError) as caught:
        deeper(0)
    assert failure(caught.value)["error_type"] == "RecursionError"

    error: Exception = ValueError("first")
    for n in range(sys.getrecursionlimit() * 2):
        following = ValueError(f"number {n}")
        following.__cause__ = error
        error = following
    assert failure(error)["traceback"].endswith(f"number {n}\n")


def test_a_failure_can_be_kept_in_a_database_and_found_again():
    found = failure(named("A\x00B"))
    with sqlite3.connect(":memory:") as db:
        assert db.execute("SELECT ? || ': ' || ?", (found["error_type"], found["error"])).fetchone() == (
            "m.A\\x00B: no",
        )


def test_a_timeout_tells_where_the_handler_was():
    found = timeout_failure(job(), 0.5, "x\udc80" * HUGE + "here")
    assert (found["kind"], found["error_type"], found["error"]) == (
        "timeout",
        "TimeoutError",
        "the handler ran longer than 0.5 s",
    )
    assert found["traceback"].endswith("x\\udc80here")
    assert json_bytes(found["traceback"]) <= TRACEBACK_CHARS_MAX


@given(
    st.text(st.characters(), max_size=60) | st.text('\x00\n"\\ü\ud800a', max_size=60), st.integers(3, 50), st.booleans()
)
def test_any_text_fits_any_bound_and_is_whole_when_there_is_room(text, bytes_max, end):
    told = legible(text, bytes_max, end=end)
    assert json_bytes(told) <= bytes_max
    whole = legible(text, 10_000)
    if json_bytes(whole) <= bytes_max:
        assert told == whole
    else:
        assert whole.endswith(told[1:]) if end else whole.startswith(told[:-1])
        assert "…" in told
