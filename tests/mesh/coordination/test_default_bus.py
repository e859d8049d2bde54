"""One bus per process, what belongs to it, and what the environment says about it."""

import logging
import os
import subprocess
import sys
import threading

import pytest

from mesh.coordination.default_bus import (
    Settings,
    belonging,
    close_default_bus,
    default_bus,
    read_settings,
    settings,
)
from mesh.errors import ConfigurationError


@pytest.mark.parametrize(
    ("environ", "read"),
    [
        ({}, Settings(600.0, False, None)),
        ({"MESH_EVENT_HANDLER_TIMEOUT": "2.5"}, Settings(2.5, False, None)),
        ({"RINGRIFT_EVENT_HANDLER_TIMEOUT": "30"}, Settings(30.0, False, None)),
        ({"RINGRIFT_EVENT_HANDLER_TIMEOUT": "30", "MESH_EVENT_HANDLER_TIMEOUT": "5"}, Settings(5.0, False, None)),
        ({"MESH_EVENT_VALIDATION_STRICT": "True"}, Settings(600.0, True, None)),
        ({"RINGRIFT_EVENT_VALIDATION_STRICT": "1"}, Settings(600.0, True, None)),
        (
            {"RINGRIFT_EVENT_VALIDATION_STRICT": "1", "MESH_EVENT_VALIDATION_STRICT": "false"},
            Settings(600.0, False, None),
        ),
        ({"MESH_LOG_LEVEL": "debug"}, Settings(600.0, False, "DEBUG")),
        ({"RINGRIFT_LOG_LEVEL": "WARNING"}, Settings(600.0, False, "WARNING")),
    ],
)
def test_each_variable_is_read_in_its_own_spelling_first(environ, read):
    assert read_settings(environ) == read


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MESH_EVENT_HANDLER_TIMEOUT": "soon"}, "MESH_EVENT_HANDLER_TIMEOUT is 'soon'; give a number of seconds"),
        ({"RINGRIFT_EVENT_HANDLER_TIMEOUT": "0"}, "RINGRIFT_EVENT_HANDLER_TIMEOUT is '0'; give a number of seconds"),
        ({"MESH_EVENT_VALIDATION_STRICT": "maybe"}, "MESH_EVENT_VALIDATION_STRICT is 'maybe'; use true or false"),
        ({"MESH_LOG_LEVEL": "LOUD"}, "MESH_LOG_LEVEL is 'LOUD'; use DEBUG, INFO, WARNING or ERROR"),
    ],
)
def test_a_value_that_means_nothing_is_named(environ, message):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        read_settings(environ)


def test_threads_that_ask_at_once_get_one_bus(local):
    found = []
    threads = [threading.Thread(target=lambda: found.append(default_bus())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert found[0].wait_attached(10.0)


class Part:
    """Something that belongs to the default bus."""

    stopped = False

    def stop(self):
        self.stopped = True


def test_what_belongs_to_the_bus_ends_with_it(local):
    part = belonging(Part)
    bus = default_bus()
    assert belonging(Part) is part
    close_default_bus()
    assert part.stopped
    assert default_bus() is not bus
    assert belonging(Part) is not part


def test_the_environment_counts_when_the_bus_is_made(local, environment):
    environment.setenv("MESH_EVENT_HANDLER_TIMEOUT", "3")
    assert settings().handler_timeout_s == 3.0
    environment.setenv("MESH_EVENT_HANDLER_TIMEOUT", "4")
    assert settings().handler_timeout_s == 3.0
    close_default_bus()
    assert settings().handler_timeout_s == 4.0


@pytest.fixture
def logger():
    logger = logging.getLogger("mesh")
    level = logger.level
    yield logger
    logger.setLevel(level)


def test_the_level_is_the_one_of_the_environment(local, environment, logger):
    environment.setenv("MESH_LOG_LEVEL", "DEBUG")
    default_bus()
    assert logger.level == logging.DEBUG


PROGRAM = """
import os
from mesh.coordination import get_event_bus, publish

publish("TRAINING_COMPLETED", {"config_key": "parent"}).wait(10)
if os.fork() == 0:
    receipt = publish("TRAINING_COMPLETED", {"config_key": "child"}).wait(10)
    print(receipt.status, flush=True)
    os._exit(0)
os.wait()
print(get_event_bus().attached)
publish("TRAINING_COMPLETED", {"config_key": "last"})
"""


def run(program, **environ):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_fork_has_a_bus_of_its_own_and_the_end_of_the_process_waits_for_receipts(local, client):
    done = run(PROGRAM)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["accepted", "True"], "")
    rows = client.request("log.tail", pattern="TRAINING_COMPLETED")["rows"]
    assert [row["payload"]["config_key"] for row in rows] == ["parent", "child", "last"]


def test_a_program_that_configured_nothing_sees_every_event_on_debug(local):
    program = 'from mesh.coordination import publish; publish("TRAINING_COMPLETED", {"config_key": "x"}).wait(10)'
    assert "published TRAINING_COMPLETED" in run(program, MESH_LOG_LEVEL="DEBUG").stderr
    assert run(program).stderr == ""
