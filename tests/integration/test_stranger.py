# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stranger's disk image - Debian with systemd, its own boot loader and a packaged wiki - lives in the mesh without knowing of it."""

from __future__ import annotations

import pytest
from mesh_lab import Mesh, until

WIKI = "wiki-1.example.com"
EAST, WEST = "198.18.1.20", "198.18.2.20"
CAPSULE = {
    "capsule_import_domain": "example.com",
    "capsule_import_name": "wiki",
    "capsule_import_version": "12",
    "capsule_import_guest": {"address": "192.168.1.20/24", "gateway": "192.168.1.1", "mac": "52:54:00:c0:ff:20"},
    "capsule_import_ports": [{"protocol": "tcp", "port": 80}],
    "capsule_import_machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 512},
    "capsule_import_disks": [{"name": "root", "src": "/srv/images/debian.qcow2"}],
}


@pytest.fixture
def wiki(mesh: Mesh):
    """The wiki, imported and placed in hn-east."""
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


def test_the_wiki_is_suspended_resumed_and_moved(wiki):
    until(lambda: shown(wiki, EAST), 120, "the wiki is served in the east")
    boots = "grep -c 'Linux version' /var/lib/vmatrix/instances/wiki-1.example.com/console.log || true"
    booted = wiki.shell("rm-east-1", boots)

    assert wiki.play("suspend", instance=WIKI).ok
    assert wiki.refused(EAST)
    assert wiki.play("resume", instance=WIKI).ok
    assert shown(wiki, EAST)
    assert wiki.shell("rm-east-1", boots) == booted, "it must not have booted again"

    moved = wiki.play("move", instance=WIKI, to_hn="hn-west", to_rm="rm-west-1", public_address=WEST)
    assert moved.ok, moved.output
    assert shown(wiki, WEST)
    assert wiki.shell("rm-west-1", boots).strip() == "0", "it must not have booted again"
