# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What brings a switch's guards and uplinks back after a reboot: a rule file and a systemd unit that applies it."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import guard

DIRECTORY = "/etc/vmatrix/switches"
UNITS = "/etc/systemd/system"

_UNIT = """\
[Unit]
Description=Guards and uplinks of the switch {bridge}
After=nftables.service ovs-vswitchd.service openvswitch-switch.service
Before=libvirtd.service vmatrix-routers.service
# A restart or reload of nftables.service flushes all rules, and one of the switch its flows, so the guards come back with them.
PartOf=nftables.service ovs-vswitchd.service
ReloadPropagatedFrom=nftables.service ovs-vswitchd.service

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=PYTHONPATH=/usr/lib/vmatrix/engines.zip
ExecStart=/usr/sbin/nft -f {rules}
ExecReload=/usr/sbin/nft -f {rules}
ExecReload={restore}
{uplinks}ExecStart={restore}
# The switch may come late.
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""

_RESTORE = "/usr/bin/python3 -m ansible_collections.vmatrix.mesh.plugins.module_utils._switch.restore"


class Paths(t.NamedTuple):
    """Where the files of one switch are."""

    state: str
    rules: str
    unit: str
    wanted_by: str


def paths(bridge: str, directory: str = DIRECTORY, units: str = UNITS) -> Paths:
    """Return where the files of *bridge* are."""
    unit = f"vmatrix-switch-{bridge}.service"
    return Paths(
        os.path.join(directory, f"{bridge}.json"),
        os.path.join(directory, f"{bridge}.nft"),
        os.path.join(units, unit),
        os.path.join(units, "multi-user.target.wants", unit),
    )


def _uplink(uplink: str) -> str:
    """Return the lines of the unit that make an interface fit to be an uplink."""
    commands = (
        f"/usr/sbin/ip link set dev {uplink} up",
        # Frames that the kernel merged on arrival are too long to go on through user space Open vSwitch.
        f"/usr/sbin/ethtool -K {uplink} gro off",
        f"/usr/sbin/sysctl -q -w net/ipv6/conf/{uplink}/disable_ipv6=1",
    )
    return "".join(f"ExecStart=-{command}\n" for command in commands)


def files(where: Paths, bridge: str, uplinks: list[str]) -> dict[str, str]:
    """Return what the rule file and the unit of a switch should hold, by path."""
    starts = "".join(map(_uplink, uplinks))
    unit = _UNIT.format(bridge=bridge, rules=where.rules, uplinks=starts, restore=f"{_RESTORE} {bridge}")
    return {where.rules: guard.render(bridge, uplinks), where.unit: unit}


def differing(wanted: dict[str, str]) -> list[str]:
    """Return the paths whose files do not hold what they should."""
    return [path for path, text in wanted.items() if _read(path) != text]


def install(where: Paths, wanted: dict[str, str]) -> None:
    """Write the files, have the unit started at boot, and start it now: what it does at boot is what is done today."""
    os.makedirs(os.path.dirname(where.rules), mode=0o755, exist_ok=True)
    for path in differing(wanted):
        write_atomic(path, wanted[path])
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", os.path.basename(where.unit)])
    run(["systemctl", "restart", os.path.basename(where.unit)])


def uninstall(where: Paths) -> None:
    """Remove the files again."""
    run(["systemctl", "disable", "--now", os.path.basename(where.unit)], check=False)
    for path in (where.unit, where.rules, where.state):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    run(["systemctl", "daemon-reload"])


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
