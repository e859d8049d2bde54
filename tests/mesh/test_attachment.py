"""An attachment's phases: what is due when, and how the waits between attempts grow."""

import pytest

from mesh.attachment import BACKOFF_S, CONNECT_S, HELLO_S, Attachment


def after(*phases: str) -> Attachment:
    """An attachment that went through phases at second 10."""
    attachment = Attachment()
    for phase in phases:
        getattr(attachment, phase)(10.0)
    return attachment


@pytest.mark.parametrize(
    ("phases", "now", "step"),
    [
        ((), 0.0, "connect"),
        (("connecting",), 10.0 + CONNECT_S - 0.01, None),
        (("connecting",), 10.0 + CONNECT_S, "give up"),
        (("connecting", "greeting"), 10.0 + HELLO_S - 0.01, None),
        (("connecting", "greeting"), 10.0 + HELLO_S, "give up"),
        (("connecting", "greeting", "attached"), 10_000.0, None),
        (("away",), 10.0 + BACKOFF_S[0] - 0.001, None),
        (("away",), 10.0 + BACKOFF_S[0], "connect"),
    ],
)
def test_each_phase_has_its_time(phases, now, step):
    assert after(*phases).step(now) == step


def test_the_waits_between_attempts_grow_to_the_longest():
    attachment, waits = Attachment(), []
    for _ in range(7):
        attachment.connecting(10.0)
        attachment.away(10.0)
        waits.append(round(attachment.deadline - 10.0, 3))
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(("held_s", "wait_s"), [(0.0, 0.4), (BACKOFF_S[1], 0.4), (BACKOFF_S[1] + 0.1, BACKOFF_S[0])])
def test_only_an_attachment_that_held_begins_the_waits_anew(held_s, wait_s):
    attachment = after("away", "away", "away", "connecting", "greeting", "attached")
    attachment.away(10.0 + held_s)
    assert attachment.deadline == pytest.approx(10.0 + held_s + wait_s)
