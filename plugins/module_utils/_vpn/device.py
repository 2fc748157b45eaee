# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The device C(ipsec0) of a namespace, and the routes into it.

With kernel ESP it is an XFRM interface; otherwise charon makes a TUN device of that name. User space ESP has one peculiarity:
charon refuses a tunnel unless the host itself has an address inside the tunnel's local selectors, and makes a route with it.
So each such address is put on the device for charon to see, and taken out of the kernel's local table at once: neither is an
instance's intranet address the router's own, nor a back-end the owner's gateway's.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import charon
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.rules import DEVICE, MTU

#: What has no tunnel is refused by a route that is worse than every other one, instead of going out in the clear.
_LAST = "4000000000"


class Links(t.NamedTuple):
    """What belongs to the tunnels of a namespace besides the daemon.

    Attributes:
        device: whether the device is there.
        shown: addresses that the device shows to charon; none with kernel ESP.
        routes: what is reached through the device.
        refused: the same destinations again, for when the device is gone.
        proxies: (interface, address): what an interface answers ARP for on behalf of the other end.
    """

    device: bool
    shown: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    proxies: frozenset[tuple[str, str]] = frozenset()


def observe(namespace: str | None, watched: t.Iterable[tuple[str, str]], owned: t.Iterable[str]) -> Links:
    """Return what is there.

    Args:
        namespace: the network namespace, None for the host's own.
        watched: the ARP answers to look for; others belong to somebody else.
        owned: the destinations whose refusal to look for.
    """
    links = [link for link in _ip(namespace, "addr", "show") if link["ifname"] == DEVICE]
    mine = set(owned)
    proxies = {(entry["dev"], entry["dst"]) for entry in _ip(namespace, "neigh", "show", "proxy")}
    return Links(
        bool(links),
        frozenset(entry["local"] for link in links for entry in link["addr_info"] if entry["family"] == "inet"),
        frozenset(route["dst"] for route in _ip(namespace, "route", "show", "dev", DEVICE)) if links else frozenset(),
        frozenset(route["dst"] for route in _ip(namespace, "route", "show", "type", "unreachable") if route["dst"] in mine),
        frozenset(proxies & set(watched)),
    )


def add(namespace: str | None, want: Links, found: Links) -> None:
    """Make what *want* has and *found* has not."""
    lines = [f"link set {DEVICE} mtu {MTU} up"]
    for address in sorted(want.shown - found.shown):
        lines += [
            f"addr add {address}/32 dev {DEVICE}",
            f"route del local {address} dev {DEVICE} table local",
            f"route replace local {address} dev {DEVICE} table {charon.UNUSED_TABLE}",
        ]
    lines += [f"route replace {route} dev {DEVICE}" for route in sorted(want.routes - found.routes)]
    lines += [f"route replace unreachable {route} metric {_LAST}" for route in sorted(want.refused - found.refused)]
    lines += [f"neigh replace proxy {address} dev {interface}" for interface, address in sorted(want.proxies - found.proxies)]
    _batch(namespace, lines)
    # The kernel would answer for somebody else only after a random pause of up to 0.8 s.
    _sysctl(namespace, [f"net/ipv4/neigh/{interface}/proxy_delay=0" for interface in sorted({one for one, _address in want.proxies - found.proxies})])


def prune(namespace: str | None, want: Links, found: Links) -> None:
    """Remove what *found* has and *want* has not."""
    lines = [f"route del {route} dev {DEVICE}" for route in sorted(found.routes - want.routes)]
    lines += [f"route del unreachable {route} metric {_LAST}" for route in sorted(found.refused - want.refused)]
    lines += [f"neigh del proxy {address} dev {interface}" for interface, address in sorted(found.proxies - want.proxies)]
    for address in sorted(found.shown - want.shown):
        lines += [f"route del local {address} dev {DEVICE} table {charon.UNUSED_TABLE}", f"addr del {address}/32 dev {DEVICE}"]
    _batch(namespace, lines)


def interfaces(namespace: str | None) -> list[tuple[str, str]]:
    """Return the interfaces of a namespace, but the device and the loopback, with each of their IPv4 addresses and its prefix."""
    links = [link for link in _ip(namespace, "addr", "show") if link["ifname"] not in (DEVICE, "lo")]
    found = [(link["ifname"], entry) for link in links for entry in link["addr_info"] if entry["family"] == "inet"]
    return [(name, f"{entry['local']}/{entry['prefixlen']}") for name, entry in found]


def _ip(namespace: str | None, *arguments: str) -> list[dict[str, t.Any]]:
    # iproute2 6.1 prints an empty list as nothing at all for some objects.
    return [item for item in json.loads(run(["ip", "-j", *_inside(namespace), *arguments]).stdout or "[]") if item]


def _batch(namespace: str | None, lines: list[str]) -> None:
    if lines:
        run(["ip", *_inside(namespace), "-batch", "-"], stdin="\n".join(lines) + "\n")


def _sysctl(namespace: str | None, settings: list[str]) -> None:
    if settings:
        run([*(["ip", "netns", "exec", namespace] if namespace else []), "sysctl", "-q", "-w", *settings])


def _inside(namespace: str | None) -> list[str]:
    return ["-n", namespace] if namespace else []
