# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry of its own for each test, and what is asked of it."""

from __future__ import annotations

import contextlib

import postgresql
import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, leases, rms


def subscription(**different) -> dict:
    """Return an RM's subscription without its name."""
    return {
        "address": "10.77.1.11",
        "memory_mib": 1024,
        "vcpus": 2,
        "disk_bytes": 100 << 30,
        "machine_types": ["pc-i440fx-7.2"],
        "cpus": ["qemu64"],
        "accelerator": "tcg",
        **different,
    }


def wish(instance="shop-1.example.com", host=10, **different) -> dict:
    """Return what a reservation asks for; *host* is the last number of the guest address."""
    return {
        "instance": instance,
        "capsule": "1.0.0",
        "guest": {"address": f"192.168.1.{host}/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
        "ports": [{"protocol": "tcp", "port": 80}],
        "requirements": needs(),
        **different,
    }


def needs(**different) -> dict:
    """Return machine requirements."""
    return {"memory_mib": 128, "vcpus": 1, "disk_bytes": 1 << 30, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None, **different}


def set_up(url, pools=("198.18.1.0/28",), machines=("rm-east-1", "rm-east-2"), vlan_last=4000, **different) -> str:
    """Set a registry up, and return its URL."""
    hn.declare(url, "hn-east", list(pools), 100, vlan_last, 8)
    for name in machines:
        rms.subscribe(url, name, subscription(**different))
    return url


@pytest.fixture(name="by_clock", autouse=True)
def _by_clock(monkeypatch):
    """Have the numbers of leases begin with 1, so that tests can say them; return what they would begin with."""
    by_clock = leases._milliseconds
    monkeypatch.setattr(leases, "_milliseconds", lambda: 0)
    return by_clock


@pytest.fixture(name="server", scope="session")
def _server():
    with contextlib.closing(postgresql.Server()) as server:
        yield server


@pytest.fixture(name="empty")
def _empty(request, tmp_path):
    """The URL of a registry that nobody has set up, in SQLite unless it is said otherwise."""
    return request.getfixturevalue("server").empty() if getattr(request, "param", "") == "postgresql" else f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture(name="make")
def _make(empty):
    return lambda **different: set_up(empty, **different)


@pytest.fixture(name="url")
def _url(empty):
    return set_up(empty)


@pytest.fixture(name="ask")
def _ask():
    return wish


@pytest.fixture(name="need")
def _need():
    return needs


@pytest.fixture(name="machine")
def _machine():
    return subscription


@pytest.fixture(name="make_at")
def _make_at():
    return set_up
