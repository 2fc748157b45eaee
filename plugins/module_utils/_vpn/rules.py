# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The nftables rules of the tunnels in a domain router: a pure function of the tunnels' documents.

They are a table of their own. What it lets through it marks, and the router's own table, whose policy is to drop, accepts that
mark; so each table is replaced without the other. The mark never leaves the network namespace.
"""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import marks
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import Document

TABLE = "vmatrix_vpn"
#: The mark of what is forwarded through a tunnel, and of IKE and ESP of its peer.
MARK = marks.VPN
#: The interfaces of a domain router, as they are named inside its network namespace.
INSIDE = "guests"
OUTSIDE = "outside"
#: What goes into this device leaves encrypted or not at all.
DEVICE = "ipsec0"
#: Bytes of an inner packet that still fits into 1500 with its ESP and UDP headers around it.
MTU = 1400

_REPLACE = f"table inet {TABLE}\ndelete table inet {TABLE}\n"


def render(tunnels: t.Sequence[Document]) -> str:
    """Return the transaction, in nft's language, that replaces the table; without tunnels it removes it."""
    if not tunnels:
        return _REPLACE
    pairs = [(mapping, backend) for tunnel in tunnels for mapping in tunnel["mappings"] for backend in tunnel["backends"]]
    backends = {backend["address"] for tunnel in tunnels for backend in tunnel["backends"]}
    peers = {(tunnel["peer"]["address"], tunnel["local"]["address"]) for tunnel in tunnels}
    ends = {(mapping["fabric_address"], backend["address"]) for mapping, backend in pairs}
    lines = [
        "  chain callers {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        *_callers(tunnels),
        "  }",
        "  chain mapping {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        *_mapped(tunnels),
        "  }",
        "  chain forward {",
        "    type filter hook forward priority filter - 10; policy accept;",
        *[f'    {side} "{DEVICE}" tcp flags syn tcp option maxseg size set {MTU - 40}' for side in ("iifname", "oifname")],
        *_declared(pairs),
        *_called(tunnels),
        *_answers(ends),
        f'    iifname "{DEVICE}" drop',
        f'    oifname "{DEVICE}" drop',
        "  }",
        "  chain input {",
        "    type filter hook input priority filter - 10; policy accept;",
        f'    iifname "{OUTSIDE}" ip saddr . ip daddr {_set(peers)} udp dport {{ 500, 4500 }} {_let()}',
        f'    iifname "{OUTSIDE}" ip saddr . ip daddr {_set(peers)} ip protocol esp {_let()}',
        "    udp dport { 500, 4500 } drop",
        "    ip protocol esp drop",
        f'    iifname "{DEVICE}" drop',
        "  }",
        "  chain leave {",
        "    type filter hook postrouting priority filter; policy accept;",
        # Nothing goes to a back-end in the clear, and nothing into a tunnel that was not let in above. With kernel ESP a packet
        # passes here twice: into the device, and then, about to be encrypted, towards the peer.
        f'    oifname != "{DEVICE}" ip daddr {_set({(address,) for address in backends})} rt ipsec missing drop',
        f'    oifname "{DEVICE}" meta mark != {MARK:#x} drop',
        "  }",
    ]
    return f"{_REPLACE}table inet {TABLE} {{\n" + "\n".join(lines) + "\n}\n"


def digest(listing: str) -> str:
    """Return the SHA-256 of what C(nft -s list table) printed."""
    return hashlib.sha256(listing.encode()).hexdigest()


def _declared(pairs: list[tuple[dict[str, t.Any], dict[str, t.Any]]]) -> t.Iterator[str]:
    way = f'    iifname "{INSIDE}" oifname "{DEVICE}" ip saddr . ip daddr'
    for protocol in ("tcp", "udp"):
        allowed = {
            (mapping["fabric_address"], backend["address"], str(port["port"]))
            for mapping, backend in pairs
            for port in backend["ports"]
            if port["protocol"] == protocol
        }
        if allowed:
            yield f"{way} . {protocol} dport {_set(allowed)} {_let()}"
    pinged = {(mapping["fabric_address"], backend["address"]) for mapping, backend in pairs if any(port["protocol"] == "icmp" for port in backend["ports"])}
    if pinged:
        yield f"{way} {_set(pinged)} icmp type echo-request {_let()}"


def _callers(tunnels: t.Sequence[Document]) -> t.Iterator[str]:
    """New connections from a back-end to an instance, on ports that the tunnel declares inbound."""
    for tunnel in tunnels:
        if not tunnel["mappings"]:
            continue
        to = ", ".join(f"{mapping['intranet_address']} : {mapping['fabric_address']}" for mapping in tunnel["mappings"])
        for match in _inbound(tunnel, "intranet_address"):
            yield f'    iifname "{DEVICE}" {match} dnat ip to ip daddr map {{ {to} }}'


def _called(tunnels: t.Sequence[Document]) -> t.Iterator[str]:
    for tunnel in tunnels:
        for match in _inbound(tunnel, "fabric_address"):
            yield f'    iifname "{DEVICE}" oifname "{INSIDE}" ct status dnat {match} {_let()}'


def _inbound(tunnel: Document, address: str) -> t.Iterator[str]:
    ends = {(backend["address"], mapping[address]) for mapping in tunnel["mappings"] for backend in tunnel["backends"]}
    for protocol in ("tcp", "udp"):
        ports = [str(port["port"]) for port in tunnel["inbound"] if port["protocol"] == protocol]
        if ends and ports:
            yield f"ip saddr . ip daddr . {protocol} dport {_set({(*end, port) for end in ends for port in ports})}"
    if ends and any(port["protocol"] == "icmp" for port in tunnel["inbound"]):
        yield f"ip saddr . ip daddr {_set(ends)} icmp type echo-request"


def _mapped(tunnels: t.Sequence[Document]) -> t.Iterator[str]:
    mapped = [f"{mapping['fabric_address']} : {mapping['intranet_address']}" for tunnel in tunnels for mapping in tunnel["mappings"]]
    if mapped:
        yield f'    oifname "{DEVICE}" snat ip to ip saddr map {{ {", ".join(mapped)} }}'


def _answers(ends: set[tuple[str, str]]) -> t.Iterator[str]:
    if ends:
        ways = f'{{ "{INSIDE}" . "{DEVICE}", "{DEVICE}" . "{INSIDE}" }}'
        both = _set(ends | {(backend, fabric) for fabric, backend in ends})
        yield f"    iifname . oifname {ways} ct state established,related ct direction reply ip saddr . ip daddr {both} {_let()}"


def _let() -> str:
    return f"meta mark set {MARK:#x} accept"


def _set(elements: set[tuple[str, ...]]) -> str:
    ordered = sorted(elements, key=lambda element: [int(ipaddress.ip_address(part)) if "." in part else int(part) for part in element])
    return "{ " + ", ".join(" . ".join(element) for element in ordered) + " }"
