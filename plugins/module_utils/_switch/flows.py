# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The port guard in OpenFlow: a pure function of what is on a bridge.

Table C(SPEAK) decides who may say what, and notes the VLAN; table C(HEAR) brings it to the guests that it is meant for. What is meant for
nobody here goes on as in any learning switch, which does not flood guests' ports (they are C(no-flood)); so a guest hears frames for its
own MAC and ARP requests for its own addresses, nothing else. All flows of one port carry one cookie.

A port with a fabric address is translated where it speaks, after it was found to be who it must be, and where it hears: in between, on the trunk and
for the learning switch, there are only fabric addresses.
"""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded

SPEAK, HEAR = 0, 1
#: The upper 16 bits of our cookies; the lower 48 name the port, and are 0 for what belongs to the whole bridge.
MARK = 0x766D
MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"
BROADCAST = "ff:ff:ff:ff:ff:ff"


def cookie(port: str) -> str:
    """Return the cookie of the flows of *port*, or of those of the bridge itself if it is empty."""
    number = int.from_bytes(hashlib.sha256(port.encode()).digest()[:6], "big") if port else 0
    return hex(MARK << 48 | number)


def render(numbers: t.Mapping[str, int], uplinks: t.Iterable[str], guarded: t.Iterable[Guarded], in_kernel: bool = True) -> str:
    """Return all flows of the bridge, one a line.

    Args:
        numbers: the OpenFlow number of each interface that is on it.
        uplinks: its trunk ports.
        guarded: its guarded ports; each is in *numbers*.
        in_kernel: whether the kernel forwards. User space (3.1 at least) takes any part of a fragmented packet for its head, and damages the rest of it
            when it rewrites an address; so these parts do not pass a translated port.
    """
    ours = sorted(guarded)
    lines = [_flow("", SPEAK, 0, "", "drop"), _flow("", HEAR, 10, f"arp,dl_dst={BROADCAST}", "normal")]
    lines += [_flow("", HEAR, 5, f"dl_dst={MULTICAST}", "drop"), _flow("", HEAR, 0, "", "normal")]
    for uplink in sorted(uplinks):
        for vlan in sorted({one.vlan for one in ours}):
            lines.append(_flow(uplink, SPEAK, 10, f"in_port={numbers[uplink]},dl_vlan={vlan}", _go_on(vlan)))
    for one in ours:
        lines += _speaks(one, numbers[one.port])
        if not one.forwards:
            lines += _hears(one, numbers[one.port])
        if one.fabric_address and not in_kernel:
            lines.append(_flow(one.port, SPEAK, 60, f"in_port={numbers[one.port]},ip,nw_frag=later", "drop"))
            lines.append(_flow(one.port, HEAR, 60, f"reg0={one.vlan},ip,dl_dst={one.outer_mac},nw_frag=later", "drop"))
    return "\n".join(lines) + "\n"


def _speaks(one: Guarded, number: int) -> list[str]:
    # A frame without any tag; a priority tag (VLAN 0) is one too. Written as Open vSwitch prints it, so that the two compare equal.
    own = f"in_port={number},vlan_tci=0x0000/0x1fff"
    ether, asks, sends = _outwards(one)
    lines = []
    for address in one.addresses:
        arp = f"{own},arp,dl_src={one.mac},arp_sha={one.mac},arp_spa={address}"
        if one.fabric_address:
            # Who asks for itself tells others of itself (RFC 5227): of whom they know.
            told = f"{asks}set_field:{one.fabric_address}->arp_tpa,"
            lines.append(_flow(one.port, SPEAK, 50, f"{arp},dl_dst={BROADCAST},arp_tpa={address}", ether + told + _go_on(one.vlan)))
        lines.append(_flow(one.port, SPEAK, 40, f"{arp},dl_dst={BROADCAST}", ether + asks + _go_on(one.vlan)))
        lines.append(_flow(one.port, SPEAK, 20, arp, ether + asks + _go_on(one.vlan)))
    lines.append(_flow(one.port, SPEAK, 30, f"in_port={number},dl_dst={MULTICAST}", "drop"))
    lines.append(_flow(one.port, SPEAK, 30, f"in_port={number},udp,tp_src=67", "drop"))
    if one.forwards:
        lines.append(_flow(one.port, SPEAK, 20, f"{own},ip,dl_src={one.mac}", _go_on(one.vlan)))
    else:
        lines += [_flow(one.port, SPEAK, 20, f"{own},ip,dl_src={one.mac},nw_src={address}", ether + sends + _go_on(one.vlan)) for address in one.addresses]
    return lines


def _hears(one: Guarded, number: int) -> list[str]:
    lines = []
    # From a trunk the frame comes with a tag, which is not taken off by itself where a flow names the port.
    for tag, untag in (("vlan_tci=0x1000/0x1000", "pop_vlan,"), ("vlan_tci=0x0000/0x1000", "")):
        here = f"reg0={one.vlan},{tag}"
        if one.fabric_address:
            lines += _hears_translated(one, here, f"{untag}%soutput:{number}")
            continue
        deliver = f"{untag}output:{number}"
        lines.append(_flow(one.port, HEAR, 20, f"{here},dl_dst={one.mac}", deliver))
        # "normal" as well, for the switch learns from it where the asker is.
        lines += [_flow(one.port, HEAR, 20, f"{here},arp,dl_dst={BROADCAST},arp_tpa={address}", f"normal,{deliver}") for address in one.addresses]
    return lines


def _outwards(one: Guarded) -> tuple[str, str, str]:
    """Return the actions that give a frame the fabric's MAC address, an ARP message its sender, and a packet its source; none without a fabric address."""
    if not one.fabric_address:
        return "", "", ""
    mac, address = one.outer_mac, one.fabric_address
    return f"set_field:{mac}->eth_src,", f"set_field:{mac}->arp_sha,set_field:{address}->arp_spa,", f"set_field:{address}->ip_src,"


def _hears_translated(one: Guarded, here: str, deliver: str) -> list[str]:
    own, (address,) = one.fabric_address, one.addresses
    ether, ours = f"set_field:{one.mac}->eth_dst,", f"{here},dl_dst={one.outer_mac}"
    told = f"set_field:{one.mac}->arp_tha,set_field:{address}->arp_tpa,"
    asked = f"{here},arp,dl_dst={BROADCAST},arp_tpa={own}"
    return [
        _flow(one.port, HEAR, 20, f"{ours},ip,nw_dst={own}", deliver % f"{ether}set_field:{address}->ip_dst,"),
        _flow(one.port, HEAR, 20, f"{ours},arp,arp_tpa={own}", deliver % (ether + told)),
        _flow(one.port, HEAR, 20, asked, f"normal,{deliver}" % f"set_field:{address}->arp_tpa,"),
        # Its twin that goes by the address they share would seem to speak as itself.
        _flow(one.port, HEAR, 25, f"{ours},ip,nw_src={address}", "drop"),
        _flow(one.port, HEAR, 25, f"{ours},arp,arp_spa={address}", "drop"),
        _flow(one.port, HEAR, 25, f"{asked},arp_spa={address}", "normal"),
        _flow(one.port, HEAR, 15, ours, "drop"),
    ]


def _go_on(vlan: int) -> str:
    return f"load:{vlan}->NXM_NX_REG0[],resubmit(,{HEAR})"


def _flow(port: str, table: int, priority: int, match: str, actions: str) -> str:
    return f"cookie={cookie(port)},table={table},priority={priority},{match + ',' if match else ''}actions={actions}"
