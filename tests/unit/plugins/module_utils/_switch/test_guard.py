# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host-stack guard: rendered, put in force in a network namespace of its own, and read back."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import boot, guard

UPLINKS = ["trunk0", "trunk1"]
NAMESPACE = f"t{os.getpid()}-guard"


def nft(*arguments, stdin=""):
    return subprocess.run(["ip", "netns", "exec", NAMESPACE, "nft", *arguments], input=stdin, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespace():
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    yield
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def in_force():
    return guard.parse(nft("-j", "list", "table", "arp", "guard-br-mesh")) | guard.parse(nft("-j", "list", "table", "inet", "guard-br-mesh"))


def test_what_is_rendered_is_what_is_wanted(namespace):
    nft("-f", "-", stdin=guard.render("br-mesh", UPLINKS))
    assert in_force() == guard.wanted(UPLINKS)
    nft("-f", "-", stdin=guard.render("br-mesh", ["trunk0"]))
    assert in_force() == guard.wanted(["trunk0"])


@pytest.mark.parametrize(
    "by_hand",
    [
        "flush chain arp guard-br-mesh arrives",
        "insert rule inet guard-br-mesh arrives accept",
        'insert rule inet guard-br-mesh arrives iifname "vm*" accept',
        'add rule arp guard-br-mesh leaves oifname "mgmt0" drop',
    ],
)
def test_a_change_by_hand_is_seen(namespace, by_hand):
    nft("-f", "-", stdin=guard.render("br-mesh", UPLINKS))
    nft(by_hand)
    assert in_force() != guard.wanted(UPLINKS)


def test_both_directions_of_both_families_are_guarded():
    for interface in ("vm*", "vr*", "trunk0"):
        assert {rule[:3] for rule in guard.wanted(["trunk0"]) if rule.interface == interface} == {
            ("arp", "arrives", "iifname"),
            ("arp", "leaves", "oifname"),
            ("inet", "arrives", "iifname"),
            ("inet", "leaves", "oifname"),
        }


def test_the_boot_files_hold_the_guard_and_bring_each_uplink_up(tmp_path):
    where = boot.paths("br-mesh", str(tmp_path / "etc"), str(tmp_path))
    files = boot.files(where, "br-mesh", UPLINKS)
    assert files[where.rules] == guard.render("br-mesh", UPLINKS)
    assert f"ExecStart=/usr/sbin/nft -f {where.rules}\n" in files[where.unit]
    assert [f"ExecStart=-/usr/sbin/ip link set dev {uplink} up" in files[where.unit] for uplink in UPLINKS] == [True, True]
    assert sorted(boot.differing(files)) == sorted(files)
    (tmp_path / "etc").mkdir()
    for path, text in files.items():
        with open(path, "w", encoding="utf-8") as handle:
            handle.write(text)
    assert boot.differing(files) == []
