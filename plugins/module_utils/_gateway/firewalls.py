# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Firewalls of others on a gateway that drop what it forwards, and whose they are.

A packet that our rules let pass may still be dropped by another table: every chain of a hook has its say. So one of another's with the policy to drop closes a
gateway, whatever stands in the domain routers.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

#: Our own tables in the root namespace begin with this.
_OURS = "vmatrix"
#: Whose chains or tables begin with what, and how he is told to let pass what is forwarded.
_OWNERS = (
    ("DOCKER", "Docker", "iptables -I DOCKER-USER -o vo+ -j ACCEPT and -i vo+ -j ACCEPT"),
    ("ufw", "ufw", "ufw default allow routed"),
    ("firewalld", "firewalld", "put the WAN interface and vo+ into a zone that forwards"),
)
_LET = "let it accept what goes to and comes from the interfaces vo*"


class Firewall(t.NamedTuple):
    """A chain of another's that drops what it does not know.

    Attributes:
        hook: C(forward) or C(input).
        table: the family and the name of its table.
        owner: whose it is, if that can be told.
        remedy: how he is told to let pass what the gateway forwards.
    """

    hook: str
    table: str
    owner: str | None
    remedy: str

    @property
    def sentence(self) -> str:
        """What an operator has to know."""
        whose = f"{self.owner} drops" if self.owner else "another firewall drops"
        what = "what this gateway forwards" if self.hook == "forward" else "what comes to this gateway itself"
        hint = f"; {self.remedy}" if self.hook == "forward" else ""
        return f"{whose[0].upper()}{whose[1:]} {what} unless it knows it (table {self.table}, policy drop in {self.hook}){hint}."


def others() -> list[Firewall]:
    """Return the firewalls of others in the calling thread's network namespace, those that meet forwarded packets first."""
    return sorted([*_of_nftables(), *_of_legacy_iptables()], key=lambda each: (each.hook != "forward", each.table))


def forwards() -> bool:
    """Whether the kernel forwards at all."""
    with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as handle:
        return handle.read().strip() == "1"


def dropping(listing: str) -> list[Firewall]:
    """Return the firewalls of others in what C(nft -j list chains) printed: those that drop IPv4 packets in C(forward) or C(input)."""
    chains = [item["chain"] for item in json.loads(listing)["nftables"] if "chain" in item]
    found = []
    for chain in chains:
        closes = chain.get("policy") == "drop" and chain.get("hook") in ("forward", "input") and chain["family"] in ("ip", "inet")
        if closes and not chain["table"].startswith(_OURS):
            beside = [each["name"] for each in chains if (each["family"], each["table"]) == (chain["family"], chain["table"])]
            found.append(_firewall(chain["hook"], f"{chain['family']} {chain['table']}", [chain["table"], *beside]))
    return found


def _firewall(hook: str, table: str, names: t.Sequence[str]) -> Firewall:
    for beginning, owner, remedy in _OWNERS:
        if any(name.startswith(beginning) for name in names):
            return Firewall(hook, table, owner, remedy)
    return Firewall(hook, table, None, _LET)


def _of_nftables() -> list[Firewall]:
    listed = run(["nft", "-j", "list", "chains"], check=False)
    return dropping(listed.stdout) if listed.returncode == 0 else []


def _of_legacy_iptables() -> list[Firewall]:
    """Return those that nftables does not show: rules of iptables from before it was built on nftables."""
    program = shutil.which("iptables-legacy-save")
    with contextlib.suppress(FileNotFoundError), open("/proc/net/ip_tables_names", encoding="ascii") as handle:
        if "filter" in handle.read().split():
            # Asking for a table makes it, so it is only asked for when it is there.
            return legacy(run([program, "-t", "filter"], check=False).stdout) if program else [_firewall("forward", _LEGACY, ())]
    return []


_LEGACY = "filter of iptables-legacy"


def legacy(saved: str) -> list[Firewall]:
    """Return the firewalls in what C(iptables-legacy-save -t filter) printed."""
    lines = [line.split() for line in saved.splitlines() if line.startswith(":")]
    names = [words[0][1:] for words in lines]
    policies = {words[0][1:].lower(): words[1] for words in lines}
    return [_firewall(hook, _LEGACY, names) for hook in ("forward", "input") if policies.get(hook) == "DROP"]
