"""The sockets with real clients: Unix sockets for programs, TCP on loopback for peers."""

from __future__ import annotations

import socket as plain
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from mesh.errors import ConfigurationError
from mesh.limits import SOCKET_PATH_BYTES_MAX
from node.inbox import Inbox
from node.sockets import Sockets
from node.turn import Request
from tests.conditions import eventually
from tests.node.socket_clients import LOOPBACK, MIB, Context, Heard, publisher, turn

# ── programs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_publisher_is_told_that_the_node_is_there_and_its_frames_arrive_in_order(
    context: Context, sockets: Sockets
) -> None:
    made = publisher(context, sockets)
    for number in range(20):
        made.send(b"%d" % number)
    heard = Heard(sockets)
    heard.until(lambda: len(heard.frames) == 20)
    assert heard.frames == [b"%d" % number for number in range(20)]


def test_a_turn_takes_a_bounded_number_of_messages_and_loses_none(context: Context, sockets: Sockets) -> None:
    made = publisher(context, sockets)
    for number in range(1200):
        made.send(b"%d" % number)
    sizes, total = [], 0
    while total < 1200:
        sizes.append(len(sockets.wait(5000).frames))
        total += sizes[-1]
        assert sizes[-1], f"nothing more after {total} frames"
    assert max(sizes) <= 512
    assert total == 1200


def test_who_subscribes_and_who_goes_is_told(context: Context, sockets: Sockets) -> None:
    reader = context.socket(zmq.SUB)
    reader.connect(sockets.endpoints["out"])
    reader.subscribe(b"!me")
    reader.subscribe(b"A\x00")
    heard = Heard(sockets)
    heard.until(lambda: len(heard.subscriptions) == 2)
    reader.close(linger=0)
    heard.until(lambda: len(heard.subscriptions) == 4)
    assert sorted(heard.subscriptions) == [b"\x00!me", b"\x00A\x00", b"\x01!me", b"\x01A\x00"]


def test_a_subscriber_gets_what_it_subscribed_and_messages_of_several_parts_whole(
    context: Context, sockets: Sockets
) -> None:
    reader = context.socket(zmq.SUB)
    reader.setsockopt(zmq.RCVTIMEO, 5000)
    reader.connect(sockets.endpoints["out"])
    reader.subscribe(b"A\x00")
    reader.subscribe(b"!me")
    heard = Heard(sockets)
    heard.until(lambda: len(heard.subscriptions) == 2)
    sockets.send(turn(passing_out=[[b"A\x00 passing"]], out=[[b"B\x00"], [b"A\x00 one"], [b"!me", b"two", b"parts"]]))
    received = [reader.recv_multipart() for _ in range(3)]
    assert received == [[b"A\x00 passing"], [b"A\x00 one"], [b"!me", b"two", b"parts"]]


def test_a_request_is_answered_to_whoever_asked(context: Context, sockets: Sockets) -> None:
    askers = [context.socket(zmq.DEALER) for _ in range(2)]
    for number, asker in enumerate(askers):
        asker.setsockopt(zmq.RCVTIMEO, 5000)
        asker.connect(sockets.endpoints["ctl"])
        asker.send_multipart([b"%d" % number, b"blob"])
    heard = Heard(sockets)
    heard.until(lambda: len(heard.requests) == 2)
    assert sorted(parts[1:] for parts in heard.requests) == [[b"0", b"blob"], [b"1", b"blob"]]
    sockets.send(turn(replies=[(Request(parts[0], {}), [b"to", parts[1]]) for parts in heard.requests]))
    assert [asker.recv_multipart() for asker in askers] == [[b"to", b"0"], [b"to", b"1"]]


def test_a_reply_to_somebody_who_has_gone_is_no_error(sockets: Sockets) -> None:
    sockets.send(turn(replies=[(Request(b"nobody", {}), [b"x"])]))


def test_another_thread_can_end_the_wait(sockets: Sockets) -> None:
    timer = threading.Timer(0.05, sockets.wake)
    timer.start()
    began = eventually(lambda: True)
    assert began
    assert sockets.wait(60_000) == Inbox()
    timer.join()


def test_waking_sockets_that_are_closed_does_nothing(sockets: Sockets) -> None:
    sockets.close()
    sockets.wake()
    sockets.close()


# ── where they are ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_unix_sockets_are_in_the_data_directory_and_go_with_the_node(tmp_path: Path) -> None:
    sockets = Sockets(tmp_path, LOOPBACK, "", MIB)
    assert sockets.endpoints == {name: f"ipc://{tmp_path}/{name}.sock" for name in ("in", "out", "ctl")}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ctl.sock", "in.sock", "out.sock"]
    sockets.close()
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_too_long_for_unix_sockets_gets_a_short_private_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    sockets = Sockets(deep, LOOPBACK, "", MIB)
    paths = [Path(address.removeprefix("ipc://")) for address in sockets.endpoints.values()]
    (directory,) = {path.parent for path in paths}
    assert max(len(str(path)) for path in paths) <= SOCKET_PATH_BYTES_MAX
    assert directory.stat().st_mode & 0o777 == 0o700
    assert list(deep.iterdir()) == []
    sockets.close()
    assert not directory.exists()


def test_sockets_left_by_a_node_that_crashed_are_taken_over(tmp_path: Path, context: Context) -> None:
    stale = plain.socket(plain.AF_UNIX)
    stale.bind(str(tmp_path / "in.sock"))
    stale.close()
    sockets = Sockets(tmp_path, LOOPBACK, "", MIB)
    publisher(context, sockets)
    sockets.close()


def test_loopback_tcp_for_programs_is_beside_the_unix_sockets(
    context: Context, open_sockets: Callable[..., Sockets]
) -> None:
    sockets = open_sockets(local_tcp=LOOPBACK)
    assert all(address.startswith("tcp://127.0.0.1:") for address in sockets.endpoints.values())
    assert len(set(sockets.endpoints.values())) == 3
    publisher(context, sockets).send(b"x")
    heard = Heard(sockets)
    heard.until(lambda: heard.frames == [b"x"])


def test_a_port_of_zero_becomes_a_real_one(sockets: Sockets) -> None:
    host, _, port = sockets.listen.rpartition(":")
    assert (host, int(port) > 0) == ("tcp://127.0.0.1", True)


def test_a_node_need_not_listen(open_sockets: Callable[..., Sockets]) -> None:
    assert open_sockets(listen="").listen == ""


@pytest.mark.parametrize("which", ["listen", "local_tcp"])
def test_a_port_that_is_taken_is_one_clear_error_and_leaves_nothing(tmp_path: Path, which: str) -> None:
    with plain.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        wanted = {"listen": LOOPBACK, "local_tcp": "", which: address}
        with pytest.raises(ConfigurationError, match=f"cannot listen at {address}: Address already in use"):
            Sockets(tmp_path, link_queue_bytes=MIB, **wanted)
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine_cannot_be_listened_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen at tcp://192\.0\.2\.1:0"):
        Sockets(tmp_path, "tcp://192.0.2.1:0", "", MIB)
