# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a guest that did not come up leaves when its instance is undone, or shows while it is kept: its console, and what that says of the cause."""

from __future__ import annotations

import contextlib
import os
import re
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import Hypervisor
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.state import Host

#: Bytes of a console that are kept, lines of it that are told, and characters of each of these.
KEPT, LINES, WIDTH = 256 << 10, 6, 160
#: Seconds and bytes that the picture of a screen may take.
PATIENCE, PICTURE = 5.0, 16 << 20
#: Of how many guests something is kept, and for how many seconds.
MOST, LONGEST = 20, 14 * 86400
#: Terminal sequences, and other control characters than the end of a line.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[^\n\x20-\x7e\xa0-\uffff]")
#: The name of a network interface.
_NAME = r"(?P<what>[A-Za-z]\w{0,14}(?:[.:@-]\w{1,15})*)"
_LATE = "its network interfaces did not come up in time ({})"
#: What consoles say of causes that an operator can do something about; the first one that is found counts.
_CAUSES = (
    (re.compile(r"Kernel panic - not syncing: (?P<what>[^\n]{1,120})"), "its kernel panicked ({what})"),
    (re.compile(r"No bootable device|Boot failed: not a bootable disk", re.IGNORECASE), "its firmware found nothing to boot"),
    *(
        (re.compile(pattern), "its system looks for the network interface {what}, which it does not have")
        for pattern in (
            # iproute2, whoever calls it (as ifupdown does), and BusyBox (nodev() in lib/utils.c, xll_name_to_index() in libiproute/ll_map.c).
            rf"(?i:Can(?:not|'t) find device) [\"']{_NAME}[\"']",
            # net-tools (ifconfig.c).
            rf"(?m:^|\s){_NAME}: (?:ERROR while getting interface flags: No such device|unknown interface: No such device)",
            # initscripts of Red Hat's systems up to 8 (ifup-eth).
            rf"Device {_NAME} does not seem to be present, delaying initiali[sz]ation",
            # systemd (device.c), which waits for the devices that units of ifupdown and others name.
            r"Timed out waiting for device [^\n]*?sys[/-]subsystem[/-]net[/-]devices[/-](?P<what>\w+(?:\.\d+)?)",
            # netplan apply, and nmcli of NetworkManager.
            rf"Cannot find unique matching interface for {_NAME}",
            rf"Error: Device '{_NAME}' not found",
        )
    ),
    # BusyBox does not say which one.
    (re.compile(r"SIOC[GS]IF(?:FLAGS|INDEX|ADDR): No such device"), "its system looks for a network interface that it does not have"),
    # ifupdown, systemd-networkd and NetworkManager: what systemd says of their units, by their description and in later versions by their name besides.
    (re.compile(r"Failed to start (?:\S+ - )?Raise network interfaces"), "its system could not bring its network interfaces up (networking.service)"),
    (re.compile(r"Failed to start (?:\S+ - )?Wait for Network to be Configured"), _LATE.format("systemd-networkd-wait-online.service")),
    (re.compile(r"Timeout occurred while waiting for network connectivity"), _LATE.format("systemd-networkd-wait-online.service")),
    (re.compile(r"Failed to start (?:\S+ - )?Network Manager Wait Online"), _LATE.format("NetworkManager-wait-online.service")),
    (re.compile(r"Gave up waiting for (?:root|suspend/resume) (?:file system )?device[^\n]{0,80}"), "its system found no root file system"),
    (re.compile(r"You are in emergency mode"), "its system ended in emergency mode"),
)


def keep(host: Host, name: str, epoch: int, manifest: t.Mapping[str, t.Any] | None) -> str:
    """Keep the console of an instance that is about to be removed or looked at, and a picture of its screen, and return what they say, as further sentences.

    There is a space before them.

    Args:
        host: this RM.
        name: the instance.
        epoch: the epoch that it ran in.
        manifest: of its capsule; None where that is not known.
    """
    places = host.places
    shown = _picture(places, name, epoch, host.hypervisor)
    try:
        with open(places.console(name), "rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - KEPT))
            said = handle.read(KEPT)
    except OSError:
        return shown
    text = _CONTROL.sub("", said.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
    lines = [line.strip()[:WIDTH] for line in text.splitlines() if line.strip()]
    if not lines:
        # A BIOS tells only those who look at the screen that it finds nothing to boot.
        obstacle = host.capsules.obstacle(manifest) if manifest else None
        why = f": {obstacle}" if obstacle else ", so its guest may have found nothing to boot, or speak elsewhere"
        return f" The console of {name} stayed empty{why}.{shown}"
    path = os.path.join(places.evidence(), f"{name}-{epoch}.log")
    try:
        _keep(places, path, text)
        rest = f"the rest is in {path} on its RM"
    except OSError as exc:
        # Where the disk is full the instance has to go all the same.
        rest = f"the rest could not be kept: {(exc.strerror or str(exc)).lower()}"
    cause = _cause(text)
    return f"{f' Of {name} the console says that {cause}.' if cause else ''} It ends with: {' | '.join(lines[-LINES:])} ({rest}).{shown}"


def _picture(places: Places, name: str, epoch: int, hypervisor: Hypervisor) -> str:
    """Keep what the screen of a guest shows, and return a sentence that says where it is; nothing where there is none."""
    try:
        seen = hypervisor.picture(name, PATIENCE, PICTURE)
        if seen:
            _keep(places, path := os.path.join(places.evidence(), f"{name}-{epoch}.ppm"), seen)
            return f" What its screen showed is in {path} on its RM."
    except (MeshError, OSError):
        # It may have ended, and the disk may be full; the instance has to go all the same.
        pass
    return ""


def _keep(places: Places, path: str, content: bytes | str) -> None:
    os.makedirs(places.evidence(), mode=0o700, exist_ok=True)
    write_atomic(path, content, 0o600)
    _sweep(places)


def _cause(text: str) -> str | None:
    """Return what a console says of the cause, or None."""
    for pattern, words in _CAUSES:
        found = pattern.search(text)
        if found:
            return words.format(**{key: value.strip() for key, value in found.groupdict().items()})
    return None


def _sweep(places: Places) -> None:
    """Remove what is too old, and of the rest what is of too many guests, the oldest first."""
    found: dict[str, tuple[float, list[str]]] = {}
    for entry in os.scandir(places.evidence()):
        with contextlib.suppress(FileNotFoundError):
            guest = os.path.splitext(entry.path)[0]
            changed, paths = found.get(guest, (0.0, []))
            found[guest] = (max(changed, entry.stat().st_mtime), [*paths, entry.path])
    now = time.time()
    for number, (changed, paths) in enumerate(sorted(found.values(), reverse=True)):
        if number >= MOST or changed < now - LONGEST:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
