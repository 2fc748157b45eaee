# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's own network namespace: every bridge and every host's wires are in there, so that the machine's own network is never touched."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

from vmatrix_lab import places

CLONE_NEWNET = 0x40000000
PATH = os.path.join("/run/netns", places.NAME)


def exists() -> bool:
    """Whether the lab's network namespace is there."""
    return os.path.exists(PATH)


def enter() -> None:
    """Move this thread, and the programs that it starts from now on, into the lab's network namespace (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(PATH, "rb") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise CommandFailed(f"Cannot enter the network namespace {places.NAME}: {os.strerror(ctypes.get_errno())}.")


def missing_segments(segments: dict) -> list[str]:
    """Return the names of those *segments* (name to {address}) that have no bridge yet."""
    if not exists():
        return sorted(segments)
    present = {link["ifname"] for link in json.loads(_ip("-json", "link", "show").stdout)}
    return sorted(set(segments) - present)


def build(segments: dict) -> None:
    """Make the namespace and a bridge for each of the *segments*; the namespace itself gets a segment's address, if it has one."""
    if not exists():
        run(["ip", "netns", "add", places.NAME])
        run(["ip", "netns", "exec", places.NAME, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
        _ip("link", "set", "lo", "up")
    for name in missing_segments(segments):
        _ip("link", "add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
        address = segments[name].get("address")
        # A bridge without an address only carries frames: the namespace must not answer ARP on it.
        _ip(*(["address", "add", address, "dev", name] if address else ["link", "set", name, "arp", "off"]))
        _ip("link", "set", name, "up")


def wire(ends: dict[str, str], timeout: float = 20.0) -> None:
    """Put each of a host's outer wire ends (name to segment) onto its bridge as soon as it appears."""
    for end, segment in ends.items():
        wait_for(lambda end=end: _ip("link", "show", "dev", end, check=False).returncode == 0, timeout, f"the link {end} appears")
        _ip("link", "set", end, "master", segment, "up")


def plug(ends: dict[str, str]) -> None:
    """Make taps (name to segment) and put each onto its bridge."""
    for tap, segment in ends.items():
        _ip("tuntap", "add", "dev", tap, "mode", "tap")
        _ip("link", "set", tap, "master", segment, "up")


def unplug(taps: list[str]) -> None:
    """Remove these *taps*, as far as they are there."""
    for tap in taps if exists() else []:
        _ip("link", "del", tap, check=False)


def clear(segments: dict) -> None:
    """Remove those of the *segments* that nothing is plugged into, and the namespace with the last one of all."""
    if not exists():
        return
    links = json.loads(_ip("-json", "-details", "link", "show").stdout)
    used = {link["master"] for link in links if "master" in link}
    bridges = {link["ifname"] for link in links if link.get("linkinfo", {}).get("info_kind") == "bridge"}
    empty = (bridges & set(segments)) - used
    for segment in empty:
        _ip("link", "del", segment)
    if bridges == empty:
        remove()


def remove() -> None:
    """Remove the namespace, and with it all that is in it: what a run that was killed has left there would keep it, and wait for hosts for ever."""
    if exists():
        for pid in run(["ip", "netns", "pids", places.NAME]).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run(["ip", "netns", "delete", places.NAME])


def _ip(*words: str, check: bool = True):
    return run(["ip", "-netns", places.NAME, *words], check=check)
