"""What a node says goes to whoever it is for, in order, until the link it came on is closed."""

from types import SimpleNamespace

import pytest

from mesh.errors import MeshError
from mesh.hearing import Hearing
from mesh.requests import DIRECTED, pack_beacon, pack_directed

SESSION, OTHER = b"12345678", b"87654321"
BEACON = pack_beacon([("n.1", "A", 7)])
FRAME = b"A\0 as it came"


class Noted:
    """Stands for whatever is told something: notes the call, and what else is to happen then."""

    def __init__(self, words, then=None):
        self.words = words
        self.then = then or {}

    def __getattr__(self, name):
        def call(*args):
            self.words.append((name, *args))
            self.then.get(name, bool)()

        return call


@pytest.fixture
def words():
    return []


@pytest.fixture
def heard(words):
    """Hear some messages in an attachment, which ends when that is said."""

    def hear(*parts, phase="attached"):
        link = SimpleNamespace(
            messages=lambda most: ((part, [b"blob"] if part[:1] == DIRECTED else []) for part in parts)
        )
        attaching = Noted(words, {"detach": lambda: setattr(attaching, "link", None)})
        attaching.link, attaching.attachment = link, SimpleNamespace(phase=phase)
        outbox = Noted(words)
        outbox.flight = Noted(words)
        arrivals = Noted(words, {"frame": lambda: words.append(("held", hearing.reading.locked()))})
        hearing = Hearing(SESSION, outbox, SimpleNamespace(arrivals=arrivals), attaching)
        hearing.hear(link, 5.0)
        return hearing

    return hear


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"t": "receipts", "runs": []}, ("receipts", {"t": "receipts", "runs": []}, 5.0)),
        ({"t": "resend", "first": 9}, ("resend", 9, 5.0)),
        ({"t": "redeliver", "sub": 1}, ("redeliver", {"t": "redeliver", "sub": 1}, [b"blob"])),
        ({"t": "hello"}, ("detach", 5.0, "the node does not know this session any more")),
        ({"t": "goodbye"}, ("detach", 5.0, "the node stops")),
    ],
)
def test_what_is_said_to_this_session_goes_to_whom_it_concerns(heard, words, said, told):
    heard(pack_directed(SESSION, said))
    assert words == [told]


def test_what_is_said_to_another_session_is_not_heard(heard, words):
    heard(pack_directed(OTHER, {"t": "goodbye"}), pack_directed(OTHER, {"t": "no such thing"}))
    assert words == []


def test_frames_and_beacons_arrive_in_their_order_while_handlers_are_held_back(heard, words):
    hearing = heard(FRAME, BEACON)
    assert words == [("frame", FRAME, 5.0), ("held", True), ("beacon", BEACON, 5.0)]
    assert not hearing.reading.locked()


def test_a_hello_that_is_asked_for_while_it_is_under_way_ends_nothing(heard, words):
    heard(pack_directed(SESSION, {"t": "hello"}), phase="greeting")
    assert words == []


def test_nothing_more_is_heard_of_an_attachment_that_has_ended(heard, words):
    heard(BEACON, pack_directed(SESSION, {"t": "goodbye"}), FRAME)
    assert [word[0] for word in words] == ["beacon", "detach"]


def test_what_this_version_does_not_know_is_an_error(heard):
    with pytest.raises(MeshError, match="directed message of kind 'no such thing'"):
        heard(pack_directed(SESSION, {"t": "no such thing"}))
