# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Argument specs of what several modules take."""

from __future__ import annotations

import typing as t

Spec = t.Dict[str, t.Any]


def needed(*names: str, kind: str = "str") -> Spec:
    """Return required options of one type."""
    return {name: {"type": kind, "required": True} for name in names}


GUEST: Spec = {"type": "dict", "options": needed("address", "gateway", "mac")}
PORTS: Spec = {
    "type": "list",
    "elements": "dict",
    "options": {
        "protocol": {"type": "str", "choices": ["tcp", "udp"], "required": True},
        **needed("port", kind="int"),
        "last_port": {"type": "int"},
        "helper": {"type": "str", "choices": ["ftp"]},
    },
}
REQUIREMENTS: Spec = {
    "type": "dict",
    "options": {**needed("memory_mib", "vcpus", "disk_bytes", kind="int"), **needed("machine_type", "cpu"), "accelerator": {"type": "str"}},
}
#: No defaults: they are omitted from what is kept.
_SHARED: Spec = {
    "policy": {"type": "str", "choices": ["spread", "sticky"]},
    "check": {"type": "str", "choices": ["tcp", "http", "https", "udp", "arp"]},
    "path": {"type": "str"},
    "ping": {"type": "bool"},
    "check_port": {"type": "int"},
    "check_status": {"type": "str"},
    "check_interval": {"type": "float"},
    "check_timeout": {"type": "float"},
    "check_failures": {"type": "int"},
}
#: Of a service, for its members have weights of their own.
SERVICE_BALANCE: Spec = {"type": "dict", "options": _SHARED}
BALANCE: Spec = {"type": "dict", "options": {**_SHARED, "weight": {"type": "int"}}}
#: What an owner's VPN gateway proposes; what is not said is as usual.
PROPOSALS: Spec = {"type": "dict", "options": {"ike": {"type": "list", "elements": "str"}, "esp": {"type": "list", "elements": "str"}}}
#: Room, addresses and an epoch, as a VMA is asked for them.
RESERVATION: Spec = {
    "type": "dict",
    "options": {
        **needed("capsule"),
        "guest": {**GUEST, "required": True},
        "ports": {**PORTS, "required": True},
        "balance": BALANCE,
        "requirements": {**REQUIREMENTS, "required": True},
        "intranet_address": {"type": "str"},
        "own_address": {"type": "bool", "default": False},
        "rm": {"type": "str"},
        "exclude_rms": {"type": "list", "elements": "str", "default": []},
        "public_address": {"type": "str"},
        "epoch_above": {"type": "int", "default": 0},
    },
}
#: What can be begun with an instance, as its journal calls it.
OPERATIONS = ["change", "clone", "drain", "move", "place", "remove", "resume", "scale", "standby", "suspend", "update"]
