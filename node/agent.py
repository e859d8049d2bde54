"""The agent: one node running. It owns the thread, the data directory, the store and the sockets, and turns.

    open ─▶ ready ─▶ ┌ wait ─▶ turn (decide, commit) ─▶ send ┐ ─▶ goodbye ─▶ closed
                     └──────────────────◀────────────────────┘

The same agent runs as the process `mesh-node` and inside a program (`node.EmbeddedNode`): there is one implementation.
"""

from __future__ import annotations

import json
import logging
import os
import random
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mesh.errors import ConfigurationError, MeshError
from mesh.frame import PUBLISHER_BYTES
from mesh.marks import Mark, marks_path, take_marks
from node.addresses import everywhere, untold
from node.assembly import Surroundings, assemble, load_state
from node.clock import Clock
from node.config import NodeSettings, default_name
from node.durations import Durations
from node.heap import Leftovers
from node.http import HttpServer
from node.identity import DataDirectory, Progress, begin_life, identify, sign_off
from node.interfaces import interfaces
from node.notices import Notices
from node.plan import plan_of
from node.reentry import give_up
from node.snapshot import Snapshots
from node.sockets import Sockets
from node.store import Store, StoreError
from node.turn import Turn

GOODBYE_MS = 500
_log = logging.getLogger(__name__)


class Agent:
    """A node with everything it owns. Constructing it opens and binds all; `run` returns after `stop`.

    `give_back`: called now and then to free the process of what turns have left behind (`node.heap`).
    """

    def __init__(
        self, settings: NodeSettings, clock: Clock | None = None, give_back: Callable[[], object] | None = None
    ) -> None:
        self._clock = clock or Clock()
        self._give_back = give_back
        self._leftovers = Leftovers(self._clock.now())
        self._stopping = False
        self._notices = Notices(_log)
        self._began_us = self._clock.now().mono_us
        self._noted: Progress | None = None
        self._settings = settings
        self.directory = DataDirectory(settings.data_dir)
        try:
            self._open(settings)
        except BaseException:
            self.directory.release()
            raise

    def _open(self, settings: NodeSettings) -> None:
        started = self._clock.now()
        with _damage_named(self.directory.database):
            self._store = Store(self.directory.database, settings.durability)
        try:
            with _damage_named(self.directory.database):
                original = self.directory.original
                me = identify(self._store, settings.name, default_name(), self.directory.noted(), original.mark)
                plan = plan_of(settings)
                self.state = load_state(self._store, me, plan, random.random, started)
                incarnation = begin_life(self._store, me, settings.durability, (original.mark, original.prepare()))
                original.replace()
                self._store.fold_beside()
            self._sockets = Sockets(
                self.directory.path, settings.accepts_at, settings.local_tcp, settings.link_queue_bytes, settings.socks5
            )
        except BaseException:
            self._store.close(fold=False)
            raise
        if me.renewed:
            _log.warning("%s: goes on as %s, under a new generation", me.renewed, me.origin)
        around = self._surroundings(incarnation)
        self.node = assemble(self.state, plan, around, started)
        _log.debug("%s, incarnation %d; %s", me.origin, incarnation, self.node.membership.limits.described())
        warning = untold(self._sockets.listen, self.node.links.me.addresses)
        if warning:
            _log.warning("%s", warning)
        self._durations = Durations()
        self._snapshots = Snapshots(self.node, self._durations, around.version, started.wall_us, self._clock.now)
        try:
            for peer in settings.peers:
                self._sockets.dial(peer)
            self._http = HttpServer(settings.http) if settings.http else None
        except BaseException:
            self._sockets.close()
            self._store.close()
            raise

    def _surroundings(self, incarnation: int) -> Surroundings:
        return Surroundings(
            version("meshbus"),
            self._sockets.listen,
            self._sockets.endpoints,
            self._take_marks,
            secrets.token_bytes(PUBLISHER_BYTES),
            incarnation,
            secrets.token_hex(8),
            self._began_us,
            tuple(interfaces()) if everywhere(self._sockets.listen) else (),
        )

    @property
    def description(self) -> dict[str, Any]:
        """What the ready line and `node.json` say."""
        return {
            "ready": True,
            "name": self.state.name,
            "origin": self.state.origin,
            "data_dir": str(self.directory.path),
            "listen": self._sockets.listen,
            "http": self._http.address if self._http else None,
            "pid": os.getpid(),
            **self._sockets.endpoints,
        }

    def run(self, ready: Callable[[dict[str, Any]], None]) -> None:
        """Turn until `stop`; then commit what is there, say goodbye and close everything."""
        place = self.directory.path / "node.json"
        try:
            if self._http:
                self._http.start(self._snapshots.take(self._clock.now()), self._clock.now)
            with _refusal_named(place):
                _write(place, self.description)
            ready(self.description)
            while not self._stopping:
                self._turn()
                if self.node.membership.divergence.outdated and self.node.trouble is None:
                    self._renew()
            self._goodbye()
        finally:
            with suppress(OSError):  # a disk that has become read-only keeps it
                place.unlink(missing_ok=True)
            self._close()

    def stop(self) -> None:
        """End `run` soon. May be called from any thread, or a signal handler."""
        self._stopping = True
        self._sockets.wake()

    def _take_marks(self, session: bytes) -> list[Mark]:
        return take_marks(marks_path(self.directory.path, session))

    def _turn(self) -> None:
        inbox = self._sockets.wait(self._wait_ms(), self.node.drain_bytes)
        now = self._clock.now()
        turn = self.node.turn(inbox, now)
        self._note()
        decided_us = self._clock.now().mono_us
        self._sockets.send(turn)
        self._durations.note(decided_us - now.mono_us)
        self._store.tidy()
        if self._http and self._snapshots.due(now):
            self._http.show(self._snapshots.take(self._clock.now()))
        self._notices.give(self.node, now)
        for link in self._sockets.blocked:
            if link not in self.node.links.up():
                self._sockets.forget(link)
        if self._give_back is not None and self._leftovers.due(inbox.size_bytes, now):
            self._give_back()

    def _note(self) -> None:
        """Note how far the database has come, before what is in it leaves the node."""
        if self.node.trouble is not None:
            return
        progress = Progress(self.state.generation, self.node.links.me.incarnation, self.state.relay.entered)
        if progress != self._noted:
            self._noted = progress
            self.directory.note(progress)

    def _renew(self) -> None:
        """The database is a copy of an earlier state: go on under a new generation, as after a lost disk."""
        divergence = self.node.membership.divergence
        again = self.state.next_position - divergence.since
        _log.error(
            "this database is not the latest of its generation, or not alone (%s): takes a new generation, under which "
            "what it has given out since is published again (the last %d places of its log)",
            divergence.outdated,
            again,
        )
        give_up(self.state, divergence.since)
        turn = Turn(self._clock.now())
        self.node.links.goodbye(turn)  # nobody takes the one that is given up for a rival of the one that comes
        self._sockets.send(turn)
        listen = self._sockets.listen
        self._sockets.close(GOODBYE_MS)
        self._store.close()
        self._open(self._settings.model_copy(update={"listen": listen}))
        _write(self.directory.path / "node.json", self.description)

    def _wait_ms(self) -> int:
        return 5 if self._sockets.blocked else self.node.idle_ms(self._clock.now())

    def _goodbye(self) -> None:
        self._turn()
        turn = Turn(self._clock.now())
        self.node.goodbye(turn)
        self._sockets.send(turn)
        try:
            sign_off(self._store)
        except StoreError as error:
            _log.error("that the node stops in good order cannot be noted: %s", error)

    def _close(self) -> None:
        if self._http:
            self._http.stop()
        self._sockets.close(GOODBYE_MS)
        self._store.close()
        self.directory.release()


@contextmanager
def _damage_named(database: Path) -> Iterator[None]:
    """Reading what a node is rebuilt from: whatever cannot be understood there is damage, in one line."""
    try:
        yield
    except StoreError as error:
        if error.code != "Corrupt":
            raise
        raise _damaged(database, error) from error
    except (LookupError, ValueError, TypeError) as error:
        if isinstance(error, MeshError):
            raise
        raise _damaged(database, error) from error


def _damaged(database: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{database} is damaged ({error}); nothing was changed. Put a copy back, or move it away to begin anew"
    )


@contextmanager
def _refusal_named(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{place} cannot be written: {error.strerror}; programs could not find the node"
        ) from None


def _write(place: Path, description: dict[str, Any]) -> None:
    """Put the file in place whole, readable by its owner only."""
    draft = place.with_suffix(".tmp")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(description) + "\n")
    draft.replace(place)
