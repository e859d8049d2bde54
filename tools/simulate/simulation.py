"""The simulation: one run of one seed, from the first start of its machines to the oracle's last word.

    0 s ──── 5 s ─────────────────────── for ───────────── settled ─────── idle ────── after the last unsubscribe
    start,   load, late consumers        all is healed,    oracle          nothing     nothing is forwarded
    faults   and faults                  programs return                   grows

With `forget` it goes on until everybody has forgotten the generations that are gone, and then one machine comes back
that was away all the time and knows them from its disk. That takes nine minutes, as nodes are `hasty` then.

The oracle's word on what was delivered is asked once everything has come to rest, and at the latest after `SETTLE_S`.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from tools.simulate.actors import Consumer, Publisher
from tools.simulate.contact import Contacts
from tools.simulate.disk import WAYS, Disk, Way
from tools.simulate.faults import Fault, Kind, directions, draw_faults
from tools.simulate.ledger import Ledger
from tools.simulate.machine import Machine
from tools.simulate.network import Network
from tools.simulate.oracle import Oracle
from tools.simulate.scenario import Consuming, draw_scenario
from tools.simulate.world import World

BEGIN_S = 5.0
_FAULTS_S = 1.0
"""Faults come from the first second on: while nodes meet and programs register."""
SETTLE_S = 120.0
_SETTLE_STEP_S = 5.0
_REST_S = 30.0
"""Second connections to a peer are closed after ten seconds; a generation heard of by comparison alone is placed
at the second one, ten seconds after the first, and the next node hears of it then."""
_IDLE_LOOKS, _IDLE_EVERY_S = 4, 2.1
_AFTER_S = 5.0
_FORGOTTEN = 1.1
_REMINDERS, _REMINDED_S = 20, 0.5


class Setting(NamedTuple):
    """What is asked for: the seed, how many machines, how long faults happen, and which; and whether to wait until
    who is gone is forgotten.
    """

    seed: int
    nodes: int
    for_s: float
    kinds: tuple[Kind, ...]
    forget: bool = False


class Simulation:
    """One run. `run` returns when every statement holds, and raises `Violated` otherwise."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.world = World(setting.seed)
        self.scenario = draw_scenario(self.world, setting.nodes, setting.for_s, setting.forget)
        self.faults = draw_faults(self.world, self.scenario, setting.kinds, _FAULTS_S, BEGIN_S + setting.for_s)
        self.network = Network(self.world, self.scenario.latency_s)
        self.ledger = Ledger()
        self.machines = {spec.name: Machine(self.world, self.network, spec) for spec in self.scenario.machines}
        self.publishers = {
            spec.name: Publisher(spec, self.machines[spec.machine], self.ledger) for spec in self.scenario.publishers
        }
        self.consumers: dict[str, Consumer] = {}
        self.contacts = Contacts(self.world, self.network, self.machines, self.consumers)
        self.oracle = Oracle(self.machines, self.consumers, self.ledger, self.network)

    def run(self) -> None:
        """From the first start to the last statement. Raises `Violated`."""
        self._begin()
        self.world.run(int((BEGIN_S + self.setting.for_s) * 1e6))
        self._heal()
        self._settle()
        self.oracle.settled(undisturbed=not self.setting.kinds)
        self._idle()
        self._part()
        if self.setting.forget:
            self._forget()

    def _begin(self) -> None:
        if not self.setting.kinds:
            self.oracle.watch()
        draw = self.world.draw("begin")
        for machine in self.machines.values():
            self.world.after(draw.random() * 2, machine.start)
        for publisher in self.publishers.values():
            self.world.after(draw.uniform(1, BEGIN_S), publisher.begin)
        for spec in self.scenario.consumers:
            self.world.after(spec.late_s, partial(self._come, spec))
        for machine in self.machines.values():
            machine.on_renew.append(self._began_anew)
        for fault in self.faults:
            self.world.at(int(fault.at_s * 1e6), partial(self._strike, fault))
        self.contacts.begin()

    def _come(self, spec: Consuming) -> None:
        self.consumers[spec.name] = Consumer(spec, self.machines[spec.machine], self.ledger)

    # ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────

    def _strike(self, fault: Fault) -> None:
        self.world.note("fault", str(fault))
        match fault.kind:
            case "crash" | "disk":
                self._crash(fault, self.machines[fault.who[0]])
            case "stall":
                self.machines[fault.who[0]].stall(fault.until_s - fault.at_s)
            case "restore":
                self._restore(fault, self.machines[fault.who[0]])
            case "walls":
                self._wall(fault)
            case "break":
                self._break(fault)
            case "partition":
                self._part_machines(fault)
            case "clock":
                self.machines[fault.who[0]].jump(float(fault.how))
            case "programs":
                self._program_fault(fault)

    def _crash(self, fault: Fault, machine: Machine) -> None:
        if not machine.alive:
            return
        machine.crash(dark=fault.how == "no power")
        self.contacts.ended(machine)
        if fault.kind == "disk":
            self._began_anew(machine)
            machine.lose_disk()
        self.world.at(int(fault.until_s * 1e6), machine.start)

    def _wall(self, fault: Fault) -> None:
        a, b = fault.who
        self.network.walls |= {(a, b)} if fault.how == "one way" else {(a, b), (b, a)}

    def _restore(self, fault: Fault, machine: Machine) -> None:
        """Take a copy now, and put it back after half of the fault's time; unless the machine is down then, or now."""
        if machine.alive:
            way = next(each for each in WAYS if each == fault.how)
            copy, former = machine.disk.copy(), machine.node.state.origin
            at_us = int((fault.at_s + fault.until_s) / 2 * 1e6)
            self.world.at(at_us, lambda: self._put_back(way, machine, copy, former, int(fault.until_s * 1e6)))

    def _put_back(self, way: Way, machine: Machine, copy: Disk, former: str, until_us: int) -> None:
        if not machine.alive:
            copy.lost()
            return
        machine.crash()
        self.contacts.ended(machine)
        self._began_anew(machine)
        self.ledger.lost_origins.add(former)
        machine.restore(copy, way)
        others = [name for name in self.machines if name != machine.name]
        ways = [each for name in others for each in ((name, machine.name), (machine.name, name))]
        self.network.cut(ways)
        self.world.at(until_us, lambda: self.network.heal(ways))
        machine.start()
        if way == "volume":
            self.ledger.unsure.add(former)

    def _began_anew(self, machine: Machine) -> None:
        """What a machine had on its disk is no longer owed to anybody."""
        self.ledger.lost_origins.add(machine.node.state.origin)
        self.contacts.disk_lost(machine)

    def _break(self, fault: Fault) -> None:
        for connection in list(self.network.connections):
            if {connection.dialler.name, connection.acceptor.name} == set(fault.who):
                connection.fall()

    def _part_machines(self, fault: Fault) -> None:
        ways = directions(fault, list(self.machines))
        self.network.cut(ways)
        self.world.at(int(fault.until_s * 1e6), lambda: self.network.heal(ways))

    def _program_fault(self, fault: Fault) -> None:
        actor = self.publishers.get(fault.who[0]) or self.consumers.get(fault.who[0])
        if actor is None:
            return  # it has not come yet
        if fault.how == "stalled":
            actor.program.stall(fault.until_s - fault.at_s)
        elif not actor.program.dead:
            actor.kill()
            self.world.at(int(fault.until_s * 1e6), actor.revive)

    # ── what follows ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _heal(self) -> None:
        """Every fault has ended by itself; the load goes on a little, so that what is whole again is used."""
        self.world.run(self.world.now_us + 2_000_000)
        for publisher in self.publishers.values():
            publisher.publishing = False

    def _settle(self) -> None:
        end_us = self.world.now_us + int(SETTLE_S * 1e6)
        while self.world.now_us < end_us:
            self.world.run(self.world.now_us + int(_SETTLE_STEP_S * 1e6))
            if self.oracle.at_rest():
                break
        self.world.run(self.world.now_us + int(_REST_S * 1e6))

    def _idle(self) -> None:
        """Nobody publishes: no table may grow."""
        looks = []
        for _ in range(2 * _IDLE_LOOKS):
            self.world.run(self.world.now_us + int(_IDLE_EVERY_S * 1e6))
            looks.append(self.oracle.sizes())
        self.oracle.nothing_grew(looks[:_IDLE_LOOKS], looks[_IDLE_LOOKS:])

    def _part(self) -> None:
        """Everybody unsubscribes, durable consumers are forgotten: nothing may be forwarded any more."""
        for consumer in self.consumers.values():
            consumer.leave()
        self.world.run(self.world.now_us + int(_AFTER_S * 1e6))
        for consumer in self.consumers.values():
            consumer.forget()
        self.world.run(self.world.now_us + int(_AFTER_S * 1e6))
        forwarded = self.network.counts["frames"]
        for publisher in self.publishers.values():
            publisher.publish_one(publisher.spec.topics[0])
        self.world.run(self.world.now_us + int(_AFTER_S * 1e6))
        self.oracle.nobody_wants(forwarded)

    def _forget(self) -> None:
        """Everybody forgets who is gone for good, and one who was not there all the while does not remind them."""
        away = self.world.draw("away").choice([each for each in self.machines.values() if not each.hidden])
        away.crash()
        forget_after_us = away.node.membership.limits.forget_after_us
        self.world.run(self.world.now_us + int(_FORGOTTEN * forget_after_us))
        self.oracle.forgotten(away.name)
        away.start()
        for _ in range(_REMINDERS):
            self.world.run(self.world.now_us + int(_REMINDED_S * 1e6))
            self.oracle.forgotten(away.name)
