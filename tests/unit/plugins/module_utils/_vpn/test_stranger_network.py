# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tunnel to an owner's VPN gateway that is not ours: a real IKE daemon whose configuration is swanctl's own, as the README of the role vpn shows it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from mesh_lab import ROOT

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import tunnel
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.session import opened

PROPOSALS = {"ike": ["aes256-sha256-modp2048"], "esp": ["aes256-sha256"]}
DAEMON = """
charon-systemd {{
  load_modular = no
  load = random nonce openssl pem pkcs8 x509 pubkey revocation constraints kdf kernel-libipsec kernel-netlink socket-default vici
  install_routes = no
  routing_table = 7670
  plugins {{
    kernel-netlink {{ fwmark = 0x7670 }}
    vici {{ socket = unix://{socket} }}
  }}
}}
"""


def sh(*argv):
    subprocess.run(argv, check=True, capture_output=True)


def documented(domain, address, pool, backend):
    """Return the configuration in the README, for the addresses of the test."""
    text = (ROOT / "roles" / "vpn" / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(# /etc/swanctl/conf.d/.*?)```", text, re.S)[1]
    for example, here in (("example.com", domain), ("203.0.113.9", address), ("172.21.162.9", pool), ("172.21.162.10", backend)):
        shown = re.sub(rf"{re.escape(example)}\b", here, shown)
    return shown


@pytest.fixture
def stranger(mesh, tmp_path):
    """Start it in the owner's network, with nothing of ours but the certificates."""
    issued, root = mesh.pki.issued["vpn"], mesh.pki.root
    for name in ("x509", "x509ca", "x509crl", "private", "conf.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "x509" / "vpn.pem").write_text(issued["certificate"])
    (tmp_path / "x509ca" / "authority.pem").write_text(root["certificate"])
    (tmp_path / "x509crl" / "authority.pem").write_text(root["crl"])
    with open(issued["key_path"], encoding="ascii") as handle:
        (tmp_path / "private" / "vpn.pem").write_text(handle.read())
    (tmp_path / "swanctl.conf").write_text(documented(mesh.domain, mesh.peer, mesh.pool[0], mesh.server))
    (tmp_path / "strongswan.conf").write_text(DAEMON.format(socket=tmp_path / "vici"))
    environment = {**os.environ, "STRONGSWAN_CONF": str(tmp_path / "strongswan.conf"), "SWANCTL_DIR": str(tmp_path)}
    # In user space strongSwan 5.9 wants an address of its own in what it encrypts for; a kernel with ESP does not.
    sh("ip", "-n", mesh.peers, "addr", "add", f"{mesh.server}/32", "dev", "lo")
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["ip", "netns", "exec", mesh.peers, "/usr/sbin/charon-systemd"], env=environment, **silent)
    try:
        load = ["swanctl", "--load-all", "--noprompt", "--uri", f"unix://{tmp_path}/vici"]
        wait_for(lambda: subprocess.run(load, env=environment, capture_output=True, check=False).returncode == 0, 10, "the stranger is ready")
        yield
    finally:
        process.terminate()
        process.wait(5)
        sh("ip", "-n", mesh.peers, "addr", "del", f"{mesh.server}/32", "dev", "lo")


def wanted(mesh, **more):
    found = mesh.tunnel()
    found["peer"].update(more)
    return found


def test_a_gateway_of_others_gets_the_proposals_that_it_knows(mesh, stranger):
    with pytest.raises(DeadlineExceeded, match="NO_PROP|NO_PROPOSAL_CHOSEN"):
        tunnel.apply_tunnel(mesh.gateway, wanted(mesh), 5)
    report = tunnel.apply_tunnel(mesh.gateway, wanted(mesh, proposals=PROPOSALS), 15)
    assert report.changed and report.after["tunnel"]["peer"]["proposals"] == PROPOSALS
    with opened(mesh.gateway.socket, mesh.gateway.namespace) as session:
        [ike] = [one for one in session.tunnels() if one["state"] == "ESTABLISHED"]
    [child] = ike["child-sas"].values()
    assert (ike["encr-alg"], ike["encr-keysize"], ike["dh-group"]) == ("AES_CBC", "256", "MODP_2048")
    assert (child["encr-alg"], child["integ-alg"]) == ("AES_CBC", "HMAC_SHA2_256_128")
    assert not tunnel.apply_tunnel(mesh.gateway, wanted(mesh, proposals=PROPOSALS), 15).changed
    tunnel.remove(mesh.gateway, "shop")
