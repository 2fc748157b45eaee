# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""The Open vSwitch driver: its database is told by ovs-vsctl, one transaction per call, and its flows by ovs-ofctl."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import flows, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.driver import Seen, SwitchDriver
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded

#: A VLAN that nobody has (IEEE 802.1Q reserves it). Trunks always carry it, because one that carries none would carry all.
NOBODY = 4095


class OpenVSwitch(SwitchDriver):
    """A bridge of Open vSwitch, in the kernel where that can, in user space elsewhere."""

    kind = "openvswitch"
    virtualport = "openvswitch"
    persistent = True

    def wanted(self) -> dict[str, t.Any]:
        # Secure: a switch that was started anew forwards nothing until its flows are back.
        return {"datapath_type": "system" if _kernel_datapath() else "netdev", "fail_mode": "secure", "stp_enable": False, "rstp_enable": False}

    def observe(self) -> Seen | None:
        database = self._read()
        if database.bridge is None:
            return None
        # An empty datapath type means the default one, the kernel's.
        settings = {key: _single(database.bridge[key]) for key in ("fail_mode", "stp_enable", "rstp_enable")}
        settings["datapath_type"] = database.bridge["datapath_type"] or "system"
        present = database.present(ports.load(self.bridge))
        return Seen(settings, sorted(database.uplinks), present, self._drift(database, present))

    def ensure(self, uplinks: list[str]) -> None:
        database = self._read()
        vlans = _trunk_vlans(database.present(ports.load(self.bridge)))
        commands = [
            ["--may-exist", "add-br", self.bridge],
            ["set", "Bridge", self.bridge, *(f"{key}={str(value).lower()}" for key, value in self.wanted().items())],
        ]
        commands += [["--if-exists", "del-port", self.bridge, port] for port in database.uplinks if port not in uplinks]
        for port in uplinks:
            commands += [["--may-exist", "add-port", self.bridge, port], ["set", "Port", port, "vlan_mode=trunk", "tag=[]", _trunks(vlans)]]
        _vsctl(commands)
        self.restore()

    def remove(self) -> None:
        _vsctl([["--if-exists", "del-br", self.bridge]])

    def _vlan(self, port: str) -> int | None:
        return self._read().access(port)

    def _detach(self, port: str) -> None:
        _vsctl([["--if-exists", "del-port", self.bridge, port]])

    def _attach(self, guarded: Guarded) -> None:
        _vsctl([["--may-exist", "add-port", self.bridge, guarded.port], ["set", "Port", guarded.port, *_access(guarded.vlan)]])

    def _enforce(self, guarded: t.Mapping[str, Guarded], fresh: t.Collection[str]) -> set[str]:
        database = self._read()
        present = database.present(guarded)
        vlans = _trunk_vlans(present)
        commands = [["set", "Port", port, *_access(one.vlan)] for port, one in present.items() if database.access(port) != one.vlan]
        commands += [["set", "Port", uplink, _trunks(vlans)] for uplink, carried in database.uplinks.items() if carried != vlans]
        if commands:
            _vsctl(commands)
        _replace(self.bridge, self._flows(database, present))
        for port in fresh:
            if port in present and not present[port].forwards:
                # Only OpenFlow 1.0 has that word, which is what ovs-ofctl speaks when not told otherwise.
                run(["ovs-ofctl", "mod-port", self.bridge, str(database.numbers[port]), "no-flood"], timeout=30)
        return set(present)

    def _drift(self, database: Database, present: t.Mapping[str, Guarded]) -> list[str]:
        vlans = _trunk_vlans(present)
        mute = not_flooded(run(["ovs-ofctl", "dump-ports-desc", self.bridge], check=False, timeout=30).stdout)
        well = {
            "access ports": all(database.access(port) == guarded.vlan for port, guarded in present.items()),
            "trunks": all(carried == vlans for carried in database.uplinks.values()),
            "flooding": all(database.numbers[port] in mute for port, guarded in present.items() if not guarded.forwards),
            "guard": not _differ(self.bridge, self._flows(database, present)),
        }
        return [part for part, fine in well.items() if not fine]

    def _flows(self, database: Database, present: t.Mapping[str, Guarded]) -> str:
        uplinks = [uplink for uplink in database.uplinks if uplink in database.numbers]
        in_kernel = bool(database.bridge) and database.bridge["datapath_type"] != "netdev"
        return flows.render(database.numbers, uplinks, present.values(), in_kernel)

    def _read(self) -> Database:
        return Database(self.bridge, *_tables(["Bridge", self.bridge], ["Port"], ["Interface"]))


class Database:
    """What Open vSwitch's database says of one bridge.

    Attributes:
        bridge: its row, or None.
        ports: the rows of its ports by name.
        numbers: the OpenFlow number of each port whose interface is there.
        uplinks: the VLANs that each trunk port carries; none means all.
    """

    def __init__(self, bridge: str, bridges: list[dict[str, t.Any]], rows: list[dict[str, t.Any]], interfaces: list[dict[str, t.Any]]) -> None:
        self.bridge = bridges[0] if bridges else None
        members = {port for row in bridges for port in _several(row["ports"])}
        self.ports = {row["name"]: row for row in rows if row["_uuid"] in members and row["name"] != bridge}
        numbers = {row["name"]: _single(row["ofport"]) for row in interfaces}
        self.numbers = {port: numbers[port] for port in self.ports if (numbers.get(port) or -1) > 0}
        self.uplinks = {port: set(_several(row["trunks"])) for port, row in self.ports.items() if _single(row["vlan_mode"]) == "trunk"}

    def access(self, port: str) -> int | None:
        """Return the VLAN of an access port; one that libvirt made has a tag, but no mode."""
        row = self.ports.get(port)
        return _single(row["tag"]) if row and _single(row["vlan_mode"]) in ("access", None) else None

    def present(self, guarded: t.Mapping[str, Guarded]) -> dict[str, Guarded]:
        """Return those of the *guarded* ports whose interface is there."""
        return {port: one for port, one in sorted(guarded.items()) if port in self.numbers}


def not_flooded(description: str) -> set[int]:
    """Return the numbers of the ports that C(ovs-ofctl dump-ports-desc) calls NO_FLOOD."""
    found, number = set(), None
    for line in description.splitlines():
        head = re.match(r"\s*(\d+|LOCAL)\(", line)
        if head:
            number = int(head.group(1)) if head.group(1).isdigit() else None
        elif number is not None and line.strip().startswith("config:") and "NO_FLOOD" in line:
            found.add(number)
    return found


def _access(vlan: int) -> list[str]:
    return ["vlan_mode=access", f"tag={vlan}", "trunks=[]"]


def _trunk_vlans(present: t.Mapping[str, Guarded]) -> set[int]:
    return {NOBODY, *(guarded.vlan for guarded in present.values())}


def _trunks(vlans: set[int]) -> str:
    return f"trunks={','.join(map(str, sorted(vlans)))}"


def _kernel_datapath() -> bool:
    """Whether the kernel can forward for Open vSwitch; asking makes it load the module where there is one."""
    return run(["ovs-dpctl", "dump-dps"], check=False).returncode == 0


def _vsctl(commands: list[list[str]], *options: str) -> str:
    argv = ["ovs-vsctl", "--timeout=20", *options]
    for command in commands:
        argv += ["--", *command]
    return run(argv, timeout=30).stdout


def _replace(bridge: str, wanted: str) -> None:
    """Replace the flows of *bridge* by these, as one bundle."""
    run(["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "replace-flows", bridge, "-"], wanted, timeout=30)


def _differ(bridge: str, wanted: str) -> bool:
    return run(["ovs-ofctl", "-O", "OpenFlow14", "diff-flows", bridge, "/dev/stdin"], wanted, timeout=30, check=False).returncode != 0


def _tables(*queries: list[str]) -> list[list[dict[str, t.Any]]]:
    """Return the rows that each query (a table of the database, perhaps a record) finds, all as of one moment."""
    return [parse(line) for line in _vsctl([["--if-exists", "list", *query] for query in queries], "--format=json").splitlines()]


def parse(listing: str) -> list[dict[str, t.Any]]:
    """Return the rows in what C(ovs-vsctl --format=json list) printed (RFC 7047 section 5.1 says how values look)."""
    found = json.loads(listing)
    return [dict(zip(found["headings"], (_hashable(value) for value in row))) for row in found["data"]]


def _hashable(value: t.Any) -> t.Any:
    return ":".join(value) if isinstance(value, list) and len(value) == 2 and value[0] == "uuid" else value


def _several(value: t.Any) -> list[t.Any]:
    """Return the members of a set, which RFC 7047 writes as the bare member when there is one only."""
    return [_hashable(item) for item in value[1]] if isinstance(value, list) and value[0] == "set" else [value]


def _single(value: t.Any) -> t.Any:
    """Return an optional value, or None when it is not set."""
    items = _several(value)
    return items[0] if items else None
