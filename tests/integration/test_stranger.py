# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stranger's disk image from VMware - Debian with systemd, its own boot loader, a packaged wiki and SSH - lives in the mesh without knowing of it."""

from __future__ import annotations

import re
import time

import pytest
from mesh_lab import Mesh, until

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name

WIKI = "wiki-1.example.com"
EAST, WEST = "198.18.1.20", "198.18.2.20"
CAPSULE = {
    "capsule_import_domain": "example.com",
    "capsule_import_name": "wiki",
    "capsule_import_version": "12",
    "capsule_import_guest": {"address": "192.168.1.20/24", "gateway": "192.168.1.1", "mac": "52:54:00:c0:ff:20"},
    "capsule_import_ports": [{"protocol": "tcp", "port": 80}, {"protocol": "tcp", "port": 22}],
    "capsule_import_machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 512},
    "capsule_import_disks": [{"name": "root", "src": "/srv/images/debian.vmdk"}],
}
#: What tcpdump says of the first packet of a connection: who calls, and which port.
SYN = re.compile(r"IP (\S+)\.\d+ > \S+\.(\d+): Flags \[S\]")
#: Seconds for which it is watched who calls it.
WATCHED = 20


class Watch:
    """What arrives at the wiki on its RM: new connections, and who asks for its address."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh, self._began = mesh, time.monotonic()
        listen = f"exec tcpdump -nn -l -i {tap_name(WIKI)} 'arp or tcp[tcpflags] == tcp-syn' > /run/watch"
        mesh.ssh("rm-east-1", "systemd-run", "--quiet", "--unit=watch", "sh", "-c", listen)

    def end(self) -> list[str]:
        """Return what was seen in WATCHED seconds or more."""
        time.sleep(max(0, self._began + WATCHED - time.monotonic()))
        return self._mesh.shell("rm-east-1", "systemctl stop watch; cat /run/watch; rm /run/watch").splitlines()


@pytest.fixture
def wiki(mesh: Mesh):
    """The wiki, imported from a disk of VMware's kind and placed in hn-east."""
    assert mesh.play("remove", instance=WIKI).ok
    imported = mesh.play("capsule_import", rm="rm-east-1", **CAPSULE)
    assert imported.ok, imported.output
    placed = mesh.play("place", instance=WIKI, capsule="12", to_hn="hn-east", to_rm="rm-east-1", public_address=EAST, place_answer_timeout=400)
    assert placed.ok, placed.output
    yield mesh
    assert mesh.play("remove", instance=WIKI).ok


def shown(mesh: Mesh, address: str) -> bool:
    """Whether a client is shown the wiki's dynamic start page."""
    return "DokuWiki" in mesh.ssh("client-west", "curl", "-s", "-L", "-m", "20", f"http://{address}/dokuwiki/doku.php", check=False)


def greeted(mesh: Mesh, address: str) -> bool:
    """Whether a client is greeted by the wiki's SSH server."""
    return mesh.ssh("client-west", "timeout", "20", "bash", "-c", f"head -c 8 < /dev/tcp/{address}/22", check=False) == "SSH-2.0-"


def test_the_wiki_is_suspended_resumed_and_moved(wiki):
    watch = Watch(wiki)
    until(lambda: shown(wiki, EAST), 120, "the wiki is served in the east")
    until(lambda: greeted(wiki, EAST), 60, "SSH is served in the east")
    boots = "grep -c 'Linux version' /var/lib/vmatrix/instances/wiki-1.example.com/console.log || true"
    booted = wiki.shell("rm-east-1", boots)
    seen = watch.end()
    calls = [found.groups() for found in map(SYN.search, seen) if found]
    of_ours = {port for caller, port in calls if caller.startswith("198.18.")}
    of_checks = [port for caller, port in calls if not caller.startswith("198.18.")]
    assert of_ours == {"80", "22"}, "who calls it is seen"
    assert len(of_checks) < WATCHED and "22" not in of_checks, of_checks
    assert sum("who-has 192.168.1.20" in line for line in seen) >= WATCHED / 4, "it is checked"

    assert wiki.play("suspend", instance=WIKI).ok
    assert wiki.refused(EAST)
    assert wiki.play("resume", instance=WIKI).ok
    assert shown(wiki, EAST)
    assert wiki.shell("rm-east-1", boots) == booted, "it must not have booted again"

    moved = wiki.play("move", instance=WIKI, to_hn="hn-west", to_rm="rm-west-1", public_address=WEST)
    assert moved.ok, moved.output
    assert shown(wiki, WEST) and greeted(wiki, WEST)
    assert wiki.shell("rm-west-1", boots).strip() == "0", "it must not have booted again"
