# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Addresses and VLANs: checking what is asked for and choosing what is given, as pure functions."""

from __future__ import annotations

import re
import socket
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import netaddr


def ipv4(what: str, value: str) -> str:
    """Return *value* if it is an IPv4 address in dotted decimal; *what* begins the sentence of the InvalidInput otherwise."""
    try:
        if isinstance(value, str) and str(netaddr.IPAddress(value, version=4)) == value:
            return value
    except (ValueError, netaddr.AddrFormatError):
        pass
    raise InvalidInput(f"{what} {value!r} is not an IPv4 address such as '198.18.1.1'.")


def intranet(value: str | None) -> str | None:
    """Return an instance's address in its owner's intranet, None for one without a tunnel; raise InvalidInput if it is none."""
    return None if value is None else ipv4("The intranet address", value)


def refuse_taken_intranet(instance: str, address: str | None, neighbours: t.Iterable[dict[str, t.Any]]) -> None:
    """Raise Refused when an instance of the same domain (*neighbours*: their records) appears in the intranet as *address* already."""
    for other in neighbours:
        if address is not None and other["intranet_address"] == address:
            raise Refused(f"{instance} cannot be {address} in the intranet: {other['instance']} is that already.")


def pools(cidrs: t.Iterable[str]) -> list[str]:
    """Return public pools as they are kept: checked, without repeats, sorted by address.

    Raises:
        InvalidInput: one is no IPv4 network, has host bits set, or overlaps another.
    """
    networks = []
    for cidr in sorted(set(cidrs)):
        try:
            network = netaddr.IPNetwork(cidr, version=4)
        except (ValueError, TypeError, netaddr.AddrFormatError) as exc:
            raise InvalidInput(f"The public pool {cidr!r} is not an IPv4 network such as '198.18.1.0/24'.") from exc
        if str(network.cidr) != cidr:
            raise InvalidInput(f"The public pool {cidr!r} must be written as its network: {network.cidr}.")
        networks.append(network)
    networks.sort()
    for one, following in zip(networks, networks[1:]):
        if following.first <= one.last:
            raise InvalidInput(f"The public pools {one} and {following} overlap.")
    return [str(network) for network in networks]


def _usable(cidr: str) -> tuple[int, int]:
    """Return the first and last address of a pool that can be given out: not its network and broadcast address (a /31 or /32 has none, RFC 3021)."""
    network = netaddr.IPNetwork(cidr)
    edge = 1 if network.prefixlen < 31 else 0
    return network.first + edge, network.last - edge


def in_pools(address: str, cidrs: t.Iterable[str]) -> bool:
    """Say whether a public address is one that the pools give out."""
    number = int(netaddr.IPAddress(address))
    return any(first <= number <= last for first, last in map(_usable, cidrs))


def choose_public(hn: str, cidrs: t.Sequence[str], taken: t.Collection[str], rested: t.Sequence[str]) -> str:
    """Return a public address that is free: one never used before, else of *rested* the first that is still in the pools.

    Args:
        taken: addresses in use.
        rested: addresses that were released, least recently first.

    Raises:
        Refused: none is free.
    """
    used = {int.from_bytes(socket.inet_aton(address), "big") for address in (*taken, *rested)}
    for first, last in map(_usable, cidrs):
        for number in range(first, last + 1):
            if number not in used:
                return str(netaddr.IPAddress(number, version=4))
    for address in rested:
        if in_pools(address, cidrs):
            return address
    raise Refused(f"{hn} has no free public address: all of {', '.join(cidrs) or 'its pools (it has none)'} are in use.")


def checked_public(hn: str, address: str, cidrs: t.Sequence[str], owners: dict[str, str]) -> str:
    """Return the public address that was asked for, if it can be given.

    Args:
        owners: who has each address in use, as it ends the sentence "... is taken by".

    Raises:
        InvalidInput: it is no IPv4 address.
        Refused: it is outside the pools, or taken.
    """
    ipv4("The public address", address)
    if not in_pools(address, cidrs):
        raise Refused(f"The public address {address} is outside the pools of {hn} ({', '.join(cidrs) or 'it has none'}).")
    if address in owners:
        raise Refused(f"The public address {address} is taken by {owners[address]}.")
    return address


def outside_guests(public: str, wanted: dict[str, str]) -> str:
    """Return a public address, unless it lies in the private network of a (checked) guest; raise Refused then."""
    network = netaddr.IPNetwork(wanted["address"])
    if netaddr.IPAddress(public) in network:
        raise Refused(f"The public address {public} lies in the guest's own network {network.cidr}, so nobody there could reach it.")
    return public


def choose_vlan(hn: str, first: int, last: int, taken: t.Collection[int], rested: t.Sequence[int]) -> int:
    """Return a free VLAN of *first* to *last*: one never used before, else of *rested* (least recently released first) the first in the range.

    Raises:
        Refused: none is free.
    """
    used = {*taken, *rested}
    for vlan in (*(number for number in range(first, last + 1) if number not in used), *rested):
        if first <= vlan <= last:
            return vlan
    raise Refused(f"{hn} has no free VLAN: all of {first} to {last} are in use.")


def guest(value: dict[str, str]) -> dict[str, str]:
    """Return a guest's {address (with prefix length), gateway, mac}, checked, the MAC in lower case.

    Raises:
        InvalidInput: one of them is malformed, or the gateway is not a neighbour of the address.
    """
    address, slash, prefix = str(value["address"]).partition("/")
    ipv4("The guest address", address)
    if not slash or not re.fullmatch(r"[0-9]{1,2}", prefix) or not 8 <= int(prefix) <= 30:
        raise InvalidInput(f"The guest address {value['address']!r} needs a prefix length of 8 to 30, as in '192.168.1.10/24'.")
    gateway = ipv4("The guest's gateway", value["gateway"])
    network = netaddr.IPNetwork(f"{address}/{int(prefix)}")
    for what, host in (("guest address", address), ("guest's gateway", gateway)):
        if not network.first < int(netaddr.IPAddress(host)) < network.last:
            raise InvalidInput(f"The {what} {host} is not a host's address in {network.cidr}.")
    if gateway == address:
        raise InvalidInput(f"The guest address {address} is its gateway too.")
    mac = str(value["mac"]).lower()
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac) or int(mac[:2], 16) & 1:
        raise InvalidInput(f"The guest's MAC {value['mac']!r} is not the address of one station, such as '52:54:00:12:34:56'.")
    return {"address": f"{address}/{int(prefix)}", "gateway": gateway, "mac": mac}


def fabric_address(instance: str, wanted: dict[str, str], others: t.Iterable[dict[str, t.Any]], own: bool = False) -> str:
    """Return the fabric address of an instance with the (checked) guest *wanted*.

    It is its guest address, unless another instance goes by that already. Then it is the highest of the guest's network that is nobody's: neither a
    router's, nor what another goes by, nor what any guest believes it has. People count up from the lowest, so this keeps out of the way of those to come.

    Args:
        others: the records of the domain's other instances in this HN.
        own: whether it must be its guest address, because that is where others look for it.

    Raises:
        Refused: it does not agree with another instance about the gateway, its network has no address left, or another goes by what must be its own.
    """
    others = list(others)
    address = wanted["address"].partition("/")[0]
    for other in others:
        prefixes = {value["address"].partition("/")[2] for value in (wanted, other["guest"])}
        if other["guest"]["gateway"] == wanted["gateway"] and len(prefixes) > 1:
            raise Refused(f"{instance} cannot be here: it and {other['instance']} have the gateway {wanted['gateway']}, but different prefix lengths.")
        if other["guest"]["gateway"] == address or wanted["gateway"] in (other["fabric_address"], other["guest"]["address"].partition("/")[0]):
            raise Refused(f"{instance} cannot be here: of it and {other['instance']}, one has the other's gateway as its address.")
    claimed = {other["fabric_address"] for other in others}
    if address not in claimed:
        return address
    if own:
        owner = next(other["instance"] for other in others if other["fabric_address"] == address)
        raise Refused(f"{instance} cannot be here: others look for it at its guest address {address}, and {owner} goes by that already.")
    guests = [wanted, *(other["guest"] for other in others)]
    claimed |= {guest["gateway"] for guest in guests} | {guest["address"].partition("/")[0] for guest in guests}
    network = netaddr.IPNetwork(wanted["address"])
    # One of the first so many is free, for no more are claimed.
    for number in range(network.last - 1, max(network.first, network.last - 2 - len(claimed)), -1):
        if str(netaddr.IPAddress(number, version=4)) not in claimed:
            return str(netaddr.IPAddress(number, version=4))
    raise Refused(f"{instance} cannot be here: its guest address {address} is claimed already, and {network.cidr} has no other address left.")
