# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The driver of the kernel's VLAN-aware bridge: told by C(ip) and C(bridge), with its guard in nftables."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import bridge_rules, guard, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.driver import Seen, SwitchDriver
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded

#: VLANs of an interface, each with whether frames without a tag belong to it.
Vlans = t.Dict[int, bool]
#: What C(bridge link) says of a port that hears nothing but frames for addresses that it was given.
_QUIET = {"flood": False, "mcast_flood": False, "learning": False}


class LinuxBridge(SwitchDriver):
    """A bridge of the kernel that filters by VLAN (CONFIG_BRIDGE_VLAN_FILTERING)."""

    kind = "linux_bridge"
    virtualport = None
    persistent = False

    def wanted(self) -> dict[str, t.Any]:
        # Without a default VLAN a new port is in none, and the host's own end of the bridge stays in none.
        return {"vlan_filtering": True, "vlan_default_pvid": 0, "stp": False, "mcast_snooping": False}

    def observe(self) -> Seen | None:
        found = [link for link in _ip("-d", "link", "show", "type", "bridge") if link["ifname"] == self.bridge]
        if not found:
            return None
        data = found[0]["linkinfo"]["info_data"]
        settings = {
            "vlan_filtering": bool(data["vlan_filtering"]),
            "vlan_default_pvid": data.get("vlan_default_pvid", 0),
            "stp": bool(data["stp_state"]),
            "mcast_snooping": bool(data["mcast_snooping"]),
        }
        members = self._members()
        present = _present(ports.load(self.bridge), members)
        return Seen(settings, _uplinks(members), present, self._drift(members, present))

    def ensure(self, uplinks: list[str]) -> None:
        links = {link["ifname"] for link in _ip("link", "show")}
        lines = [] if self.bridge in links else [f"link add {self.bridge} type bridge"]
        lines += [f"link set {self.bridge} type bridge vlan_filtering 1 vlan_default_pvid 0 stp_state 0 mcast_snooping 0"]
        lines += [f"link set {self.bridge} addrgenmode none up"]
        lines += [f"link set {uplink} nomaster" for uplink in _uplinks(self._members()) if uplink not in uplinks]
        lines += [f"link set {uplink} master {self.bridge}" for uplink in uplinks]
        run(["ip", "-batch", "-"], "\n".join(lines) + "\n")
        self.restore()

    def remove(self) -> None:
        if self.observe() is not None:
            run(["ip", "link", "del", self.bridge])
        name = bridge_rules.table(self.bridge)
        run(["nft", "-f", "-"], f"table bridge {name} {{}}\ndelete table bridge {name}\n")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._note())

    def _vlan(self, port: str) -> int | None:
        found = self._members().get(port, {})
        return next(iter(found)) if len(found) == 1 and all(found.values()) else None

    def _attach(self, guarded: Guarded) -> None:
        run(["ip", "link", "set", guarded.port, "master", self.bridge], check=False)

    def _detach(self, port: str) -> None:
        if port in self._members():
            run(["ip", "link", "set", port, "nomaster"])

    def _enforce(self, guarded: t.Mapping[str, Guarded], fresh: t.Collection[str]) -> set[str]:
        members = self._members()
        present = _present(guarded, members)
        # The guard first: no frame of a port may pass before its rules are there.
        text = bridge_rules.render(self.bridge, present.values())
        run(["nft", "-f", "-"], text)
        write_json(self._note(), {"text": _digest(text), "listing": self._listing()})
        lines = [*shut_out(self.bridge, self._vlans()), *commands(members, present, fresh)]
        if lines:
            run(["bridge", "-batch", "-"], "\n".join(lines) + "\n")
        return set(present)

    def _drift(self, members: t.Mapping[str, Vlans], present: t.Mapping[str, Guarded]) -> list[str]:
        carried = dict.fromkeys((one.vlan for one in present.values()), False)
        flags = {link["ifname"]: link for link in _bridge("-d", "link", "show")}
        note = {"text": _digest(bridge_rules.render(self.bridge, present.values())), "listing": self._listing()}
        guests = [port for port, one in present.items() if not one.forwards]
        well = {
            "access ports": all(members[port] == {one.vlan: True} for port, one in present.items()),
            "trunks": all(members[uplink] == carried for uplink in _uplinks(members)),
            "flooding": all(flags.get(port, {}).get(flag) is value for port in guests for flag, value in _QUIET.items()),
            "guard": read_json(self._note()) == note and not self._vlans().get(self.bridge),
        }
        return [part for part, fine in well.items() if not fine]

    def _members(self) -> dict[str, Vlans]:
        """Return the interfaces on the bridge with their VLANs."""
        vlans = self._vlans()
        return {link["ifname"]: vlans.get(link["ifname"], {}) for link in _ip("link", "show", "master", self.bridge)} if self._there() else {}

    @staticmethod
    def _vlans() -> dict[str, Vlans]:
        return parse_vlans(_bridge("vlan", "show"))

    def _there(self) -> bool:
        return any(link["ifname"] == self.bridge for link in _ip("link", "show"))

    def _listing(self) -> str:
        listing = run(["nft", "-j", "-s", "list", "table", "bridge", bridge_rules.table(self.bridge)], check=False).stdout
        return _digest(json.dumps(_comparable(json.loads(listing)["nftables"]), sort_keys=True)) if listing else ""

    def _note(self) -> str:
        return os.path.join(ports.DIRECTORY, f"{self.bridge}.guard")


def commands(members: t.Mapping[str, Vlans], present: t.Mapping[str, Guarded], fresh: t.Collection[str]) -> list[str]:
    """Return what to tell C(bridge -batch) so that these ports of the bridge are as they should be.

    Args:
        members: the interfaces on the bridge with their VLANs.
        present: the guarded ports among them.
        fresh: the ports that are to be set up in full.
    """
    lines = []
    for port, one in present.items():
        lines += _changes(port, members[port], {one.vlan: True})
        if port in fresh and not one.forwards:
            # Where it is is known, so nothing is learnt from it, and nothing has to be flooded to it.
            lines.append(f"link set dev {port} flood off mcast_flood off learning off")
            lines.append(f"fdb replace {one.outer_mac} dev {port} vlan {one.vlan} master static")
    carried = dict.fromkeys(sorted({one.vlan for one in present.values()}), False)
    for uplink in _uplinks(members):
        lines += _changes(uplink, members[uplink], carried)
    return lines


def shut_out(bridge: str, vlans: t.Mapping[str, Vlans]) -> list[str]:
    """Return what takes the host's own end of the *bridge* out of all VLANs: through it the host would hear and answer guests."""
    return [f"vlan del dev {bridge} vid {vlan} self" for vlan in vlans.get(bridge, {})]


def parse_vlans(shown: list[dict[str, t.Any]]) -> dict[str, Vlans]:
    """Return the VLANs of each interface in what C(bridge -j vlan show) printed; ranges are spelled out."""
    found: dict[str, Vlans] = {}
    for entry in shown:
        for item in entry.get("vlans", []):
            untagged = "PVID" in item.get("flags", []) and "Egress Untagged" in item.get("flags", [])
            found.setdefault(entry["ifname"], {}).update(dict.fromkeys(range(item["vlan"], item.get("vlanEnd", item["vlan"]) + 1), untagged))
    return found


def _changes(port: str, found: Vlans, want: Vlans) -> list[str]:
    gone = [f"vlan del dev {port} vid {vlan}" for vlan, untagged in found.items() if want.get(vlan) is not untagged]
    missing = [(vlan, " pvid untagged" if untagged else "") for vlan, untagged in want.items() if found.get(vlan) is not untagged]
    return gone + [f"vlan add dev {port} vid {vlan}{how}" for vlan, how in missing]


def _present(guarded: t.Mapping[str, Guarded], members: t.Mapping[str, Vlans]) -> dict[str, Guarded]:
    return {port: one for port, one in sorted(guarded.items()) if port in members}


def _uplinks(members: t.Iterable[str]) -> list[str]:
    return sorted(port for port in members if not any(fnmatch.fnmatch(port, pattern) for pattern in guard.ALWAYS))


def _comparable(value: t.Any) -> t.Any:
    """Return what C(nft -j) listed without what differs between two equal tables: handles, and the order of a set's elements."""
    if isinstance(value, dict):
        kept = {key: _comparable(item) for key, item in value.items() if key not in ("handle", "metainfo")}
        return {**kept, "elem": sorted(kept["elem"], key=str)} if "elem" in kept else kept
    return list(map(_comparable, value)) if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _ip(*arguments: str) -> list[dict[str, t.Any]]:
    return [item for item in json.loads(run(["ip", "-j", *arguments]).stdout or "[]") if item]


def _bridge(*arguments: str) -> list[dict[str, t.Any]]:
    return [item for item in json.loads(run(["bridge", "-j", *arguments]).stdout or "[]") if item]
