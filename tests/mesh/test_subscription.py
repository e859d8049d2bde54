"""What a user sees of a subscription is what its course says at that moment."""

import pytest

from mesh.course import Course
from mesh.errors import RequestRefused
from mesh.options import check_options
from mesh.subscription import Subscription


@pytest.fixture
def course():
    return Course(1, check_options("gpu.*", "reader", False, "now", 5, 60.0, (1.0, 60.0), 1, 10))


@pytest.fixture
def closed():
    return []


@pytest.fixture
def subscription(course, closed):
    return Subscription(course, lambda *said: closed.append(said))


def test_it_is_ready_when_the_node_has_registered_it(course, subscription):
    assert (subscription.ready, subscription.wait_ready(0.0)) == (False, False)
    assert repr(subscription) == "<Subscription reader to gpu.* (new)>"
    course.registered({"streams": []}, 0.0)
    assert (subscription.ready, subscription.wait_ready(0.0), subscription.error) == (True, True, None)
    assert repr(subscription) == "<Subscription reader to gpu.* (registered)>"


def test_while_the_node_is_away_it_is_not_ready_and_was_once(course, subscription):
    course.registered({"streams": []}, 0.0)
    course.detached()
    assert (subscription.ready, subscription.wait_ready(0.0)) == (False, True)


def test_what_was_refused_says_why_and_is_not_waited_for(course, subscription):
    error = RequestRefused("held", "the name is taken")
    course.refused(error)
    assert (subscription.ready, subscription.wait_ready(10.0), subscription.error) == (False, False, error)


def test_it_says_what_was_asked_for_and_what_is_lost_to_it(course, subscription):
    course.missed = 7
    assert (subscription.name, subscription.pattern, subscription.missed) == ("reader", "gpu.*", 7)


def test_it_is_closed_at_the_end_of_its_context(course, subscription, closed):
    with subscription as entered:
        assert entered is subscription
        assert closed == []
    assert closed == [(course, 5.0)]
