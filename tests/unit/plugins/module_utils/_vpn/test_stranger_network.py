# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tunnels to an owner's VPN gateway that is not ours: a real IKE daemon whose configuration is swanctl's own, as docs/vpn.md shows it."""

from __future__ import annotations

import base64
import os
import pathlib
import re
import subprocess

import documented
import pytest
import yaml

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import given, handover, keeper, observe, state, tunnel, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.session import opened

FILE, PRE_SHARED, CERTIFIED = "/etc/swanctl/conf.d/store.conf", "With a pre-shared key", "With a certificate"
PROPOSALS = {"ike": ["aes256-sha256-modp2048"], "esp": ["aes256-sha256"]}
PSK = yaml.safe_load(documented.example(PRE_SHARED, "secret.yml"))["capsule_import_vpn_secret"]["psk"]
#: What it says to whoever can read it, and another key.
SECRET = base64.b64decode(PSK[2:])
OTHER_PSK = "0x8c1f4d0be52f5ff0e3a1d0f3a9c45b1e"
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


class Stranger:
    """The daemon in the owner's network, with nothing of ours."""

    def __init__(self, mesh, directory: pathlib.Path) -> None:
        self._mesh, self._directory = mesh, directory
        for name in ("x509", "x509ca", "private", "conf.d"):
            (directory / name).mkdir()
        (directory / "swanctl.conf").write_text("include conf.d/*.conf\n")
        (directory / "strongswan.conf").write_text(DAEMON.format(socket=directory / "vici"))
        self._environment = {**os.environ, "STRONGSWAN_CONF": str(directory / "strongswan.conf"), "SWANCTL_DIR": str(directory)}
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", mesh.peers, "/usr/sbin/charon-systemd"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: self._swanctl("--stats").returncode == 0, 10, "the stranger is ready")

    def loads(self, text: str) -> None:
        """Have it load a configuration, for the addresses of the test, and nothing else."""
        for example, here in (("198.18.0.6", self._mesh.peer), ("172.21.162.9", self._mesh.pool[0]), ("172.21.162.10", self._mesh.server)):
            text = re.sub(rf"{re.escape(example)}\b", here, text)
        (self._directory / "conf.d" / "store.conf").write_text(text)
        done = self._swanctl("--load-all", "--noprompt")
        assert done.returncode == 0, done.stdout + done.stderr

    def makes(self, script: str) -> None:
        """Run a script of the documentation in its directory."""
        done = subprocess.run(["sh", "-euc", script.replace("/etc/swanctl", str(self._directory))], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def reads(self, name: str) -> str:
        """Return what a file in its directory holds."""
        return (self._directory / name).read_text()

    def ends(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(5)

    def _swanctl(self, *arguments):
        command = ["swanctl", *arguments, "--uri", f"unix://{self._directory}/vici"]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)


@pytest.fixture
def stranger(mesh, tmp_path):
    # In user space strongSwan 5.9 wants an address of its own in what it encrypts for; a kernel with ESP does not.
    address = ["ip", "-n", mesh.peers, "addr"]
    subprocess.run([*address, "add", f"{mesh.server}/32", "dev", "lo"], check=True)
    found = Stranger(mesh, tmp_path)
    try:
        yield found
    finally:
        tunnel.remove(mesh.gateway, "shop")
        found.ends()
        subprocess.run([*address, "del", f"{mesh.server}/32", "dev", "lo"], check=True)


def by_certificate(mesh, stranger):
    """Have the stranger do what the documentation says of certificates, and return what our side is told."""
    stranger.makes(documented.example(CERTIFIED, "authority.sh"))
    stranger.loads(documented.example(CERTIFIED, FILE))
    papers = {"certificate": stranger.reads("store.pem"), "key": stranger.reads("store.key"), "authority": stranger.reads("x509ca/authority.pem")}
    told = yaml.safe_load(documented.example(CERTIFIED, "tunnel.yml"))["capsule_import_vpn"]
    sealed = given.wrapped(f"shop.{mesh.domain}", {**papers, "identity": told["identity"]}, mesh.gateway.directory)["envelope"]
    wanted = mesh.tunnel()
    wanted["local"] = {"address": mesh.public, "identity": told["identity"], "certificate": papers["certificate"], "envelope": sealed}
    wanted["peer"] = {"address": mesh.peer, "identity": told["gateway"]["identity"], "authority": papers["authority"]}
    return wanted, told["gateway"]["proposals"]


def by_key(mesh, psk=PSK, ours="store@example.com", theirs=None):
    """Return what our side is told of a pre-shared key."""
    wanted = mesh.tunnel()
    wanted["local"] = {"address": mesh.public, "identity": ours, "envelope": sealed(mesh, psk)}
    wanted["peer"] = {"address": mesh.peer, "identity": theirs or mesh.peer, "proposals": PROPOSALS}
    return wanted


def sealed(mesh, psk):
    return given.wrapped(f"shop.{mesh.domain}", {"psk": psk}, mesh.gateway.directory)["envelope"]


def established(mesh):
    with opened(mesh.gateway.socket, mesh.gateway.namespace) as session:
        return [one for one in session.tunnels() if one["state"] == "ESTABLISHED"]


def test_a_gateway_of_others_gets_the_proposals_that_it_knows(mesh, stranger):
    wanted, proposals = by_certificate(mesh, stranger)
    with pytest.raises(DeadlineExceeded, match="NO_PROP|NO_PROPOSAL_CHOSEN"):
        tunnel.apply_tunnel(mesh.gateway, wanted, 5)
    wanted["peer"]["proposals"] = proposals
    report = tunnel.apply_tunnel(mesh.gateway, wanted, 15)
    assert report.changed and report.after["tunnel"]["peer"]["proposals"] == PROPOSALS
    [ike] = established(mesh)
    [child] = ike["child-sas"].values()
    assert (ike["encr-alg"], ike["encr-keysize"], ike["dh-group"]) == ("AES_CBC", "256", "MODP_2048")
    assert (child["encr-alg"], child["integ-alg"]) == ("AES_CBC", "HMAC_SHA2_256_128")
    assert (ike["local-id"], ike["remote-id"]) == ("C=DE, O=Example, CN=store", "vpn.example.com")
    assert not tunnel.apply_tunnel(mesh.gateway, wanted, 15).changed


def test_a_pre_shared_key_will_do_and_a_wrong_one_is_called_by_its_name(mesh, stranger):
    stranger.loads(documented.example(PRE_SHARED, FILE))
    refused = r"the peer refused to authenticate store@example.com \(.*AUTHENTICATION_FAILED.*\): it has another pre-shared key"
    with pytest.raises(DeadlineExceeded, match=refused):
        tunnel.apply_tunnel(mesh.gateway, by_key(mesh, OTHER_PSK), 5)
    assert state.load(mesh.gateway) == {}
    assert tunnel.apply_tunnel(mesh.gateway, by_key(mesh), 15).changed
    [ike] = established(mesh)
    assert (ike["local-id"], ike["remote-id"]) == ("store@example.com", mesh.peer)
    assert not tunnel.apply_tunnel(mesh.gateway, by_key(mesh), 15).changed
    assert observe.drift(mesh.gateway, state.load(mesh.gateway)) == []
    [shown] = observe.look(mesh.gateway)
    assert shown["established"] and shown["certificate"] is None
    for path in (path for path in pathlib.Path(mesh.gateway.directory).rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert SECRET not in content and PSK[2:].encode() not in content, path


def test_a_tunnel_by_a_pre_shared_key_is_kept_up_and_goes_on_with_another(mesh, stranger):
    stranger.loads(documented.example(PRE_SHARED, FILE))
    tunnel.apply_tunnel(mesh.gateway, by_key(mesh), 15)
    with opened(mesh.gateway.socket, mesh.gateway.namespace) as session:
        [held] = session.keys()
        session.unload_shared(held)
    assert observe.drift(mesh.gateway, state.load(mesh.gateway)) == ["credentials"]
    mesh.gateway.daemon.kill()
    with mesh.kept():
        mesh.until(lambda: mesh.established(mesh.gateway), "the keeper has brought the tunnel back")
    assert observe.drift(mesh.gateway, state.load(mesh.gateway)) == []

    renewal = {"certificate": None, "envelope": sealed(mesh, OTHER_PSK), "crl": None}
    [before] = established(mesh)
    with pytest.raises(DeadlineExceeded, match="another pre-shared key"):
        tunnel.renew(mesh.gateway, "shop", renewal, 4)
    mesh.until(lambda: mesh.established(mesh.gateway), "all is as it was", 10)
    stranger.loads(documented.example(PRE_SHARED, FILE).replace(PSK, OTHER_PSK))
    assert tunnel.renew(mesh.gateway, "shop", renewal, 15).changed
    [after] = established(mesh)
    assert after["initiator-spi"] != before["initiator-spi"], "the old one would live on until the peer ends it"
    with opened(mesh.gateway.socket, mesh.gateway.namespace) as session:
        assert len(session.keys()) == 1
    assert not tunnel.renew(mesh.gateway, "shop", renewal, 15).changed
    assert keeper.keep(mesh.gateway) == []


def test_a_pre_shared_key_goes_to_another_gateway_in_an_envelope_for_that(mesh, stranger, tmp_path):
    stranger.loads(documented.example(PRE_SHARED, FILE))
    tunnel.apply_tunnel(mesh.gateway, by_key(mesh), 15)
    west = str(tmp_path / "west")
    parcel = handover.envelope_for(mesh.gateway, "shop", wrapping.ensure_key(west)[1])
    assert (parcel["certificate"], parcel["identity"], parcel["peer"]["authority"]) == (None, "store@example.com", None)
    assert wrapping.unwrap(parcel["envelope"], wrapping.own_key(west), None) == SECRET
    taken = handover.brought(parcel, None, west)
    assert taken["local"] == {"envelope": parcel["envelope"], "identity": "store@example.com"}
    again = handover.envelope_for(mesh.gateway, "shop", wrapping.ensure_key(west)[1])
    assert again["envelope"] != parcel["envelope"] and handover.brought(again, {**by_key(mesh), **taken}, west) == taken


def test_what_goes_by_a_pre_shared_key_takes_no_certificate_and_the_other_way_round(mesh, stranger):
    wanted, proposals = by_certificate(mesh, stranger)
    tunnel.apply_tunnel(mesh.gateway, {**wanted, "peer": {**wanted["peer"], "proposals": proposals}}, 15)
    with pytest.raises(InvalidInput, match="goes by certificates; for one that goes by a pre-shared key, import a new version"):
        tunnel.renew(mesh.gateway, "shop", {"certificate": None, "envelope": sealed(mesh, PSK), "crl": None}, 15)
    stranger.loads(documented.example(PRE_SHARED, FILE))
    assert tunnel.apply_tunnel(mesh.gateway, by_key(mesh), 15).changed
    with pytest.raises(InvalidInput, match="goes by a pre-shared key; for one that goes by certificates"):
        tunnel.renew(mesh.gateway, "shop", {**wanted["local"], "crl": None}, 15)


def test_services_with_keys_for_the_same_peer_are_told_apart_by_what_they_call_themselves(mesh, stranger):
    stranger.loads(documented.example(PRE_SHARED, FILE))
    tunnel.apply_tunnel(mesh.gateway, by_key(mesh), 15)
    blog = {**by_key(mesh), "service": "blog", "mappings": []}
    blog["local"] = {**blog["local"], "envelope": given.wrapped(f"blog.{mesh.domain}", {"psk": OTHER_PSK}, mesh.gateway.directory)["envelope"]}
    with pytest.raises(InvalidInput, match="The service shop of .* has a pre-shared key with .* as store@example.com, too"):
        tunnel.apply_tunnel(mesh.gateway, blog, 0)


@pytest.mark.parametrize(
    "ours, theirs, written",
    [
        ("store.example.com", "VPN-GW", ("store.example.com", "VPN-GW")),
        ("keyid:store-17", "keyid:#0a0b", ('"keyid:store-17"', '"keyid:#0a0b"')),
        ("192.168.7.7", "vpn@example.com", ("192.168.7.7", "vpn@example.com")),
        (
            "C=DE, ST=Berlin, L=Mitte, O=Example (West) Ltd., OU=a b, CN=store",
            "DC=com, DC=example, UID=17, E=vpn@example.com, SN=4",
            ('"C=DE, ST=Berlin, L=Mitte, O=Example (West) Ltd., OU=a b, CN=store"', '"DC=com, DC=example, UID=17, E=vpn@example.com, SN=4"'),
        ),
    ],
)
def test_both_ends_are_known_by_identities_of_any_form(mesh, stranger, ours, theirs, written):
    text = documented.example(PRE_SHARED, FILE).replace("store@example.com", written[0])
    stranger.loads(re.sub(r"(id|id-1) = 198.18.0.6", lambda found: f"{found[1]} = {written[1]}", text))
    assert tunnel.apply_tunnel(mesh.gateway, by_key(mesh, ours=ours, theirs=theirs), 15).changed
    assert observe.drift(mesh.gateway, state.load(mesh.gateway)) == [], "strongSwan writes them otherwise"
    assert not tunnel.apply_tunnel(mesh.gateway, by_key(mesh, ours=ours, theirs=theirs), 15).changed
    with pytest.raises(DeadlineExceeded, match="the peer refused to authenticate"):
        tunnel.apply_tunnel(mesh.gateway, by_key(mesh, ours=ours, theirs="nobody.example.com"), 4)
