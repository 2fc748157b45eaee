# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ethernet frames, spelled out: IEEE 802.3 and 802.1Q, RFC 826, 791, 768, 8200."""

from __future__ import annotations

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ethernet(source, target, kind, payload, tags=()):
    tagged = b"".join(struct.pack("!HH", protocol, control) for protocol, control in tags)
    return (mac(target) + mac(source) + tagged + struct.pack("!H", kind) + payload).ljust(60 + 4 * len(tags), b"\0")


def arp(source, sender, asked, target=BROADCAST, claimed=None, operation=1, tags=()):
    wanted = "00:00:00:00:00:00" if target == BROADCAST else target
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += mac(claimed or source) + ipaddress.IPv4Address(sender).packed + mac(wanted) + ipaddress.IPv4Address(asked).packed
    return ethernet(source, target, 0x0806, body, tags)


def ipv4(source, sender, target, receiver, ports=(4000, 9), text=b"hello", tags=()):
    datagram = struct.pack("!HHHH", *ports, 8 + len(text), 0) + text
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, *(ipaddress.IPv4Address(one).packed for one in (sender, receiver)))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
    return ethernet(source, target, 0x0800, head + datagram, tags)


def ipv6(source, target, kind=134):
    """An ICMPv6 message from a link-local address; a router advertisement by default (RFC 4861)."""
    message = struct.pack("!BBHBBHII", kind, 0, 0, 64, 0, 1800, 0, 0)
    ends = ipaddress.IPv6Address("fe80::1").packed + ipaddress.IPv6Address("ff02::1").packed
    return ethernet(source, target, 0x86DD, struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + ends + message)
