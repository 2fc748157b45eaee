# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The switch of a host: its bridge, its uplinks, its guarded ports, and the guard that keeps the host's own stack out of it."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import boot, guard, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.driver import Seen, SwitchDriver
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.linux_bridge import LinuxBridge
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.openvswitch import OpenVSwitch
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded

DRIVERS: dict[str, type[SwitchDriver]] = {driver.kind: driver for driver in (OpenVSwitch, LinuxBridge)}

#: What the kernel takes as an interface's name, without what has a meaning to nft, systemd or a path.
_INTERFACE = r"[A-Za-z][A-Za-z0-9_-]{0,14}"
#: An uplink may be a VLAN of another interface.
_UPLINK = r"[A-Za-z][A-Za-z0-9_.-]{0,14}"


class Report(t.NamedTuple):
    """What was done (or would be, in check mode): the switch before and after, None where there is none."""

    changed: bool
    before: dict[str, t.Any] | None
    after: dict[str, t.Any] | None


def find(bridge: str) -> SwitchDriver:
    """Return the driver of a switch that was set up on this host; raise NotFound when there is none of that name."""
    _check_interface("switch", bridge)
    known = read_json(boot.paths(bridge).state)
    if known is None:
        raise NotFound(f"This host has no switch {bridge}; set it up with vmatrix.mesh.switch first.")
    return DRIVERS[known["driver"]](bridge)


def look(bridge: str) -> dict[str, t.Any] | None:
    """Return a switch as it is in the words of the module's result; None when there is none."""
    known = read_json(boot.paths(bridge).state)
    return _look(DRIVERS[known["driver"]](bridge)) if known else None


def look_all() -> list[dict[str, t.Any]]:
    """Return all switches of this host."""
    return [seen for seen in map(look, bridges()) if seen]


def bridges() -> list[str]:
    """Return the names of the switches that were set up on this host."""
    return sorted(name[: -len(".json")] for name in os.listdir(boot.DIRECTORY) if name.endswith(".json")) if os.path.isdir(boot.DIRECTORY) else []


def apply(bridge: str, driver: str, uplinks: list[str], dry_run: bool = False) -> Report:
    """Make the switch *bridge* with trunk ports on *uplinks*, guarded now and after a reboot.

    Raises:
        InvalidInput: a name cannot be an interface's, or an uplink does not exist.
        Refused: an uplink carries an address of this host, which the guard would cut off, or the switch is one of another driver.
    """
    _check_interface("switch", bridge)
    uplinks = sorted(set(uplinks))
    _check_uplinks(uplinks)
    switch, where = DRIVERS[driver](bridge), boot.paths(bridge)
    known = read_json(where.state)
    if known and known["driver"] != driver:
        raise Refused(f"The switch {bridge} is one of {known['driver']}; remove it before it is made one of {driver}.")
    files = boot.files(where, bridge, uplinks)
    seen = switch.observe()
    before = _told(switch, seen) if seen else None
    present = seen.present if seen else {}
    after = _summary(switch, switch.wanted(), uplinks, present, [], True, True)
    remembered = {"driver": driver, "uplinks": uplinks}
    unready = not all(map(_ready, uplinks))
    misfiled = boot.differing(files) or not os.path.islink(where.wanted_by)
    misguarded = guard.observe(bridge) != guard.wanted(uplinks)
    changed = before != after or unready or misfiled or misguarded or known != remembered
    if changed and not dry_run:
        # The guard first: no frame of a guest may meet an unguarded host.
        if misfiled or misguarded or unready:
            boot.install(where, files)
        if seen is None or seen.drift or seen.settings != after["settings"] or seen.uplinks != uplinks:
            switch.ensure(uplinks)
        write_json(where.state, remembered)
    return Report(changed, before, after)


def restore(bridge: str) -> None:
    """Bring a switch of this host back after a reboot or a restart of what it is made of; one that keeps itself and is not there was removed.

    Raises:
        NotFound: no switch of that name was set up.
    """
    switch = find(bridge)
    if switch.observe() is not None:
        switch.restore()
    elif not switch.persistent:
        switch.ensure(read_json(boot.paths(bridge).state)["uplinks"])


def remove(bridge: str, dry_run: bool = False) -> Report:
    """Remove a switch with all its ports, and its guard."""
    _check_interface("switch", bridge)
    before = look(bridge)
    if before and not dry_run:
        find(bridge).remove()
        ports.forget(bridge)
        guard.remove(bridge)
        boot.uninstall(boot.paths(bridge))
    return Report(before is not None, before, None)


def _look(switch: SwitchDriver) -> dict[str, t.Any] | None:
    seen = switch.observe()
    return _told(switch, seen) if seen else None


def _told(switch: SwitchDriver, seen: Seen) -> dict[str, t.Any]:
    where = boot.paths(switch.bridge)
    files = boot.files(where, switch.bridge, seen.uplinks)
    guarded = guard.observe(switch.bridge) == guard.wanted(seen.uplinks) and all(map(_ready, seen.uplinks))
    restored = not boot.differing(files) and os.path.islink(where.wanted_by)
    return _summary(switch, seen.settings, seen.uplinks, seen.present, seen.drift, guarded, restored)


def _summary(
    switch: SwitchDriver,
    settings: dict[str, t.Any],
    uplinks: list[str],
    present: t.Mapping[str, Guarded],
    drift: list[str],
    guarded: bool,
    restored: bool,
) -> dict[str, t.Any]:
    return {
        "name": switch.bridge,
        "driver": switch.kind,
        "uplinks": uplinks,
        "settings": settings,
        "vlans": sorted({one.vlan for one in present.values()}),
        "ports": [{**one._asdict(), "addresses": list(one.addresses)} for unused, one in sorted(present.items())],
        "drift": drift,
        "guarded": guarded,
        "restored_at_boot": restored,
    }


def _check_interface(what: str, name: t.Any) -> None:
    if not isinstance(name, str) or not re.fullmatch(_INTERFACE, name):
        raise InvalidInput(f"{name!r} cannot name the {what}: it must look like 'br-mesh' (a letter, then letters, digits, _ or -, at most 15 characters).")


def _check_uplinks(uplinks: list[str]) -> None:
    for uplink in uplinks:
        if not isinstance(uplink, str) or not re.fullmatch(_UPLINK, uplink):
            raise InvalidInput(
                f"{uplink!r} cannot name the uplink: it must look like 'eth1' or 'bond0.100' (a letter, then letters, digits, _ . or -, at most 15 characters)."
            )
    there = {interface["ifname"]: interface for interface in json.loads(run(["ip", "-j", "addr", "show"]).stdout)}
    for uplink in uplinks:
        if uplink not in there:
            raise InvalidInput(f"This host has no interface {uplink!r} that could be an uplink.")
        own = [entry["local"] for entry in there[uplink]["addr_info"] if entry["scope"] == "global"]
        if own:
            raise Refused(f"The interface {uplink} carries this host's address {own[0]}; as an uplink it would be cut off.")


def _ready(uplink: str) -> bool:
    """Whether an uplink is up and does not speak IPv6 for the host."""
    flags, without_ipv6 = _read(f"/sys/class/net/{uplink}/flags"), _read(f"/proc/sys/net/ipv6/conf/{uplink}/disable_ipv6")
    # A kernel without IPv6 has no such switch, and needs none.
    return flags is not None and bool(int(flags, 16) & 1) and without_ipv6 in ("1", None)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read().strip()
    except FileNotFoundError:
        return None
