# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import time
import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import evidence
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

NAME = "shop-1.example.com"


@pytest.fixture(name="said")
def _said(tmp_path):
    """Have an instance's console say something, and return what is kept of that."""
    places = Places(str(tmp_path))

    def said(content, name=NAME, epoch=3):
        os.makedirs(places.directory(name), exist_ok=True)
        with open(places.console(name), "wb") as handle:
            handle.write(content)
        return evidence.keep(said.host, name, epoch, said.manifest)

    said.places, said.manifest = places, {"name": "shop"}
    said.hypervisor = types.SimpleNamespace(picture=lambda name, timeout, longest: None)
    said.host = types.SimpleNamespace(places=places, hypervisor=said.hypervisor, capsules=types.SimpleNamespace(obstacle=lambda manifest: None))
    return said


PANIC = b"""[    1.1] Run /init as init process\r
\x1b[1;31m[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\x1b[0m\r
[    1.3] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\r
"""


DOWN = "its system could not bring its network interfaces up (networking.service)"
LATE = "its network interfaces did not come up in time (systemd-networkd-wait-online.service)"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (PANIC, "its kernel panicked (VFS: Unable to mount root fs on unknown-block(0,0))"),
        (b"Boot failed: not a bootable disk\n\nNo bootable device.\n", "its firmware found nothing to boot"),
        (b"ip: SIOCGIFFLAGS: No such device\n", "its system looks for a network interface that it does not have"),
        (b"[FAILED] Failed to start Raise network interfaces.\n", DOWN),
        (b"[FAILED] Failed to start networking.service - Raise network interfaces.\n", DOWN),
        (b"[FAILED] Failed to start Wait for Network to be Configured.\n", LATE),
        (b"[FAILED] Failed to start systemd-networkd-wait-online.service - Wait for Network to be Configured.\n", LATE),
        (b"systemd-networkd-wait-online[383]: Timeout occurred while waiting for network connectivity.\n", LATE),
        (b"[FAILED] Failed to start NetworkManager-wait-online.service - Network Manager Wait Online.\n", LATE.replace("systemd-networkd", "NetworkManager")),
        (b"Gave up waiting for root file system device.  Common problems:\n", "its system found no root file system"),
        (b"You are in emergency mode. After logging in, type...\n", "its system ended in emergency mode"),
    ],
)
def test_what_a_console_says_of_the_cause_is_said(said, content, cause):
    assert f" Of {NAME} the console says that {cause}." in said(content)


@pytest.mark.parametrize(
    ("line", "interface"),
    [
        # iproute2, as ifupdown calls it.
        ('Cannot find device "ens18"', "ens18"),
        # BusyBox, which does not name it in its first sentence.
        ("ip: SIOCGIFFLAGS: No such device\nip: can't find device 'ens9'", "ens9"),
        # net-tools, also of an interface that is another's alias or in a VLAN.
        ("eth0:1: ERROR while getting interface flags: No such device", "eth0:1"),
        ("SIOCSIFADDR: No such device\neth0.100: ERROR while getting interface flags: No such device", "eth0.100"),
        ("eth1: unknown interface: No such device", "eth1"),
        # Red Hat's initscripts.
        ("Bringing up interface eth0:  Device eth0 does not seem to be present, delaying initialization.[FAILED]", "eth0"),
        # systemd, until version 248 and since.
        ("[ TIME ] Timed out waiting for device /sys/subsystem/net/devices/ens3.", "ens3"),
        ("[ TIME ] Timed out waiting for device sys-subsystem-net-devices-ens3.device - /sys/subsystem/net/devices/ens3.", "ens3"),
        # netplan and nmcli.
        ("WARNING:root:Cannot find unique matching interface for enp0s3: {'name': 'enp0s3'}", "enp0s3"),
        ("Error: Device 'ens192' not found.", "ens192"),
    ],
)
def test_an_interface_that_is_not_there_is_named(said, line, interface):
    content = f"Starting network\n{line}\nlogin: ".encode()
    assert f" Of {NAME} the console says that its system looks for the network interface {interface}, which it does not have." in said(content)


@pytest.mark.parametrize("line", ["Timed out waiting for device /dev/vdb.", "mount: /dev/sdb1: No such device", "eth0: no link"])
def test_what_is_said_of_other_devices_is_no_interface(said, line):
    assert "the console says that" not in said(f"{line}\n".encode())


def test_the_last_lines_are_told_and_the_rest_is_kept(said):
    told = said(b"\n".join(b"line %d" % number for number in range(20)) + b"\x07\n\n")
    path = os.path.join(said.places.evidence(), f"{NAME}-3.log")
    assert told == f" It ends with: line 14 | line 15 | line 16 | line 17 | line 18 | line 19 (the rest is in {path} on its RM)."
    with open(path, encoding="utf-8") as handle:
        assert handle.read().startswith("line 0\nline 1\n")
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(said.places.evidence()).st_mode & 0o777 == 0o700


def test_a_console_that_says_nothing_says_that(said):
    assert said(b"\x1b[2J\r\n").startswith(f" The console of {NAME} stayed empty")
    assert not os.path.exists(said.places.evidence()) and evidence.keep(said.host, "mail-1.example.com", 1, None) == ""


def test_of_a_guest_that_said_nothing_its_disk_is_looked_at(said):
    asked = []
    said.host.capsules.obstacle = lambda manifest: asked.append(manifest) or "the disk root boots by UEFI only"
    assert said(b"\r\n") == f" The console of {NAME} stayed empty: the disk root boots by UEFI only." and asked == [{"name": "shop"}]
    assert "UEFI" not in said(b"Booting\n") and len(asked) == 1, "who speaks has booted"
    said.manifest = None
    assert "may have found nothing to boot" in said(b"")


def test_where_nothing_can_be_kept_it_is_told_nevertheless(said, monkeypatch):
    """A full disk may be why the guest did not come up, and keeps nobody from removing it."""

    def full(*unused):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(evidence, "write_atomic", full)
    told = said(PANIC)
    assert "its kernel panicked" in told and told.endswith("(the rest could not be kept: no space left on device).")


def test_a_console_is_bounded_in_size_number_and_age(said, monkeypatch):
    said(b"x" * 100 + b"y" * evidence.KEPT)
    assert os.path.getsize(os.path.join(said.places.evidence(), f"{NAME}-3.log")) == evidence.KEPT
    assert len(said(b"z" * 5000)) < 1000
    os.utime(os.path.join(said.places.evidence(), f"{NAME}-3.log"), (1, 1))
    monkeypatch.setattr(evidence, "MOST", 3)
    for epoch in range(4, 9):
        said(b"here\n", epoch=epoch)
        moment = time.time() - 1000 + epoch
        os.utime(os.path.join(said.places.evidence(), f"{NAME}-{epoch}.log"), (moment, moment))
    assert sorted(os.listdir(said.places.evidence())) == [f"{NAME}-{epoch}.log" for epoch in (6, 7, 8)]


def test_a_picture_of_its_screen_is_kept_beside_the_console(said, monkeypatch):
    said.hypervisor.picture = lambda name, timeout, longest: b"P6 1 1 255 abc"
    told = said(b"Booting\n", epoch=5)
    path = os.path.join(said.places.evidence(), f"{NAME}-5.ppm")
    assert told.endswith(f" What its screen showed is in {path} on its RM.") and os.stat(path).st_mode & 0o777 == 0o600
    monkeypatch.setattr(evidence, "MOST", 1)
    said(b"Booting\n", epoch=6)
    assert sorted(os.listdir(said.places.evidence())) == [f"{NAME}-6.log", f"{NAME}-6.ppm"], "what is of one guest goes together"


def test_no_picture_keeps_no_guest(said):
    def fails(*_how):
        raise CommandFailed("libvirt could not take a picture.")

    said.hypervisor.picture = fails
    assert said(b"Booting\n") and "screen" not in said(b"Booting\n")


def test_only_a_guest_with_a_screen_has_its_picture_taken(rm):
    rm.order("running")
    domain, hypervisor = rm.connection.domains[NAME], rm.host.hypervisor
    assert hypervisor.picture(NAME, 5, 100) is None
    domain.xml = domain.xml.replace("</devices>", "<video/></devices>")
    assert hypervisor.picture(NAME, 5, 100) == b"P6 ..."
    assert hypervisor.picture(NAME, 5, 3) is None and rm.connection.calls.count("screenshot") == 2
