# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether frames that a Linux bridge passes on go through the firewall of its host as well: the kernel's module br_netfilter has them do so.

Docker and Kubernetes load it. That firewall knows nothing of guests, and takes two domains' guests of the same address for one.
"""

from __future__ import annotations

import contextlib
import os

_KEY = "net.bridge.bridge-nf-call-iptables"
#: Where the calling thread's network namespace shows its settings and its interfaces.
SETTINGS, INTERFACES = "/proc/sys", "/sys/class/net"


def in_the_way(bridge: str, settings: str = SETTINGS, interfaces: str = INTERFACES) -> list[str]:
    """Return a sentence if IPv4 packets between guests on a switch pass the host's firewall; none where the switch is no Linux bridge.

    Args:
        bridge: the switch.
        settings: the directory of settings, and
        interfaces: that of interfaces, as the kernel shows them.
    """
    own = os.path.join(interfaces, bridge, "bridge")
    if not os.path.isdir(own):
        # Open vSwitch has its own way.
        return []
    told = _one(os.path.join(settings, *_KEY.split(".")))
    if told != "1" and _one(os.path.join(own, "nf_call_iptables")) != "1":
        return []
    what = f"{_KEY} is 1" if told == "1" else f"nf_call_iptables of {bridge} is 1"
    remedy = f"sysctl -w {_KEY}=0, and in /etc/sysctl.d" if told == "1" else f"ip link set {bridge} type bridge nf_call_iptables 0"
    return [f"What guests send over {bridge} passes the firewall of this host, too, which knows nothing of them ({what}); {remedy}."]


def _one(path: str) -> str | None:
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as handle:
        return handle.read().strip()
    return None
