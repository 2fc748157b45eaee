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


def packed(address):
    return ipaddress.IPv4Address(address).packed


def checksum(data):
    """The internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2 + len(data) % 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(sender, receiver, protocol, payload, identification=0, fragment=0):
    """An IPv4 packet; *fragment* is the word of flags and offset."""
    ends = packed(sender) + packed(receiver)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identification, fragment, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def summed_up(sender, receiver, protocol, segment, at):
    """Return a UDP or TCP segment with its checksum (RFC 768, RFC 9293) put at byte *at*."""
    pseudo = packed(sender) + packed(receiver) + struct.pack("!BBH", 0, protocol, len(segment))
    return segment[:at] + struct.pack("!H", checksum(pseudo + segment) or 0xFFFF) + segment[at + 2 :]


def udp(sender, receiver, ports, text, summed):
    datagram = struct.pack("!HHHH", *ports, 8 + len(text), 0) + text
    return summed_up(sender, receiver, 17, datagram, 6) if summed else datagram


def ipv4(source, sender, target, receiver, ports=(4000, 9), text=b"hello", tags=(), summed=False):
    return ethernet(source, target, 0x0800, packet(sender, receiver, 17, udp(sender, receiver, ports, text, summed)), tags)


def tcp(source, sender, target, receiver, text=b"hello" * 8):
    segment = struct.pack("!HHIIBBHHH", 4000, 80, 1, 1, 0x50, 0x18, 1000, 0, 0) + text
    return ethernet(source, target, 0x0800, packet(sender, receiver, 6, summed_up(sender, receiver, 6, segment, 16)))


def fragments(source, sender, target, receiver):
    """A UDP packet with a true checksum in two fragments; the second looks as if it began with a header itself."""
    datagram = udp(sender, receiver, (4000, 9), b"a" * 40 + struct.pack("!HHHH", 4000, 9, 48, 0x1234) + b"b" * 40, True)
    parts = [(datagram[:48], 0x2000), (datagram[48:], 48 // 8)]
    return [ethernet(source, target, 0x0800, packet(sender, receiver, 17, part, 7, word)) for part, word in parts]


def ipv6(source, target, kind=134):
    """An ICMPv6 message from a link-local address; a router advertisement by default (RFC 4861)."""
    message = struct.pack("!BBHBBHII", kind, 0, 0, 64, 0, 1800, 0, 0)
    ends = ipaddress.IPv6Address("fe80::1").packed + ipaddress.IPv6Address("ff02::1").packed
    return ethernet(source, target, 0x86DD, struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + ends + message)
