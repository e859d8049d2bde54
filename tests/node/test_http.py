"""The HTTP thread and its pages, over real connections, with a snapshot and a clock of the test's own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from time import monotonic
from typing import Any

import pytest

from mesh.errors import ConfigurationError
from node.clock import Now
from node.durations import Durations
from node.http import HttpServer
from node.snapshot import Snapshot
from tests.node.workbench import START, after

STATUS: dict[str, Any] = {
    "node": {"name": "a", "uptime_s": 1.0},
    "peers": [],
    "event_subscription_status": {"critical": []},
    "handler_timeouts": {"total": 0},
    "dlq": {"waiting": 0, "dead": 0},
    "dedup": {"remembered": 0},
    "log": {"streams": 0},
    "consumers": [],
}


def snapshot(taken: Now = START, unready: tuple[str, ...] = (), **status: Any) -> Snapshot:
    return Snapshot(taken, {**STATUS, **status}, unready, {}, Durations().histogram())


class Page:
    """A server whose clock the test sets."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.now = START
        self.server = HttpServer(address)
        self.server.start(snapshot(), lambda: self.now)

    def connect(self) -> HTTPConnection:
        host, _, port = self.server.address.rpartition(":")
        return HTTPConnection(host.strip("[]"), int(port), timeout=10)

    def get(self, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
        connection = self.connect()
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def json(self, path: str) -> tuple[int, Any]:
        response, body = self.get(path)
        assert response.headers["content-type"] == "application/json"
        return response.status, json.loads(body)


@pytest.fixture(scope="module")
def running() -> Iterator[Page]:
    made = Page()
    yield made
    made.server.stop()


@pytest.fixture
def page(running: Page) -> Page:
    running.now = START
    running.server.show(snapshot())
    return running


def test_the_status_is_the_last_snapshot_and_its_age(page: Page) -> None:
    assert page.json("/status") == (200, {"age_s": 0.0, **STATUS})
    page.now = after(START, 2.5)
    assert page.json("/status")[1]["age_s"] == 2.5
    page.server.show(snapshot(after(START, 2), log={"streams": 7}))
    assert page.json("/status") == (200, {"age_s": 0.5, **STATUS, "log": {"streams": 7}})


def test_a_node_is_healthy_while_its_turns_end(page: Page) -> None:
    page.now = after(START, 5)
    assert page.json("/healthz") == (200, {"healthy": True, "reasons": []})
    page.now = after(START, 5.1)
    stale = ["no turn of the node has ended for 5.1 s"]
    assert page.json("/healthz") == (503, {"healthy": False, "reasons": stale})
    assert page.json("/readyz") == (503, {"ready": False, "reasons": stale})
    page.server.show(snapshot(page.now))
    assert page.json("/healthz")[0] == 200


def test_a_node_is_ready_unless_something_is_said_against_it(page: Page) -> None:
    assert page.json("/readyz") == (200, {"ready": True, "reasons": []})
    page.server.show(snapshot(unready=("critical subscription A: no consumer is attached",)))
    reasons = ["critical subscription A: no consumer is attached"]
    assert page.json("/readyz") == (503, {"ready": False, "reasons": reasons})
    assert page.json("/healthz")[0] == 200
    page.server.show(snapshot())
    assert page.json("/readyz")[0] == 200


def test_metrics_are_plain_text_of_the_last_snapshot(page: Page) -> None:
    response, body = page.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\nmesh_ready 1.0\n" in body
    page.server.show(snapshot(unready=("no",)))
    assert b"\nmesh_ready 0.0\n" in page.get("/metrics")[1]


def test_head_is_get_without_a_body(page: Page) -> None:
    response, body = page.get("/readyz", "HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["content-length"]) == len(page.get("/readyz")[1])


@pytest.mark.parametrize("path", ["/", "/statu", "/status/x", "/../status", "//status", "/STATUS"])
def test_other_paths_are_404(page: Page, path: str) -> None:
    assert page.get(path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_other_methods_are_refused(page: Page, method: str) -> None:
    assert page.get("/status", method)[0].status in (400, 405)  # one that is no method of HTTP is a bad request
    assert page.get("/status")[0].status == 200


def test_bytes_that_are_no_request_end_their_connection_and_nothing_else(page: Page) -> None:
    host, _, port = page.server.address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as stranger:
        stranger.sendall(b"\x00\xff no request\r\n\r\n")
        assert stranger.recv(100).startswith(b"HTTP/1.1 400")
    assert page.get("/status")[0].status == 200


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"cannot listen at {address} for HTTP: Address already in use"):
            HttpServer(address)


@pytest.mark.parametrize("address", ["no-such-host.invalid:0", "192.0.2.1:0"])
def test_an_address_that_is_not_ours_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen at {address} for HTTP: .*choose another"):
        HttpServer(address)


def test_ipv6_is_written_in_brackets() -> None:
    page = Page("[::1]:0")
    assert page.server.address.startswith("[::1]:")
    assert page.get("/status")[0].status == 200
    page.server.stop()


def test_a_server_that_was_never_started_gives_its_port_back() -> None:
    server = HttpServer("127.0.0.1:0")
    server.stop()
    HttpServer(server.address).stop()


def test_stopping_ends_idle_and_half_said_connections_and_the_thread() -> None:
    before = threading.enumerate()
    page = Page()
    idle, half = page.connect(), page.connect()
    idle.request("GET", "/status")
    idle.getresponse().read()
    half.connect()
    half.sock.sendall(b"GET /status HTT")
    assert page.get("/status")[0].status == 200
    began = monotonic()
    page.server.stop()
    assert monotonic() - began < 2.5
    assert idle.sock.recv(1) == b""
    assert threading.enumerate() == before
    idle.close()
    half.close()
