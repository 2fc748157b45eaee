# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An owner has a VPN gateway that is not ours: plain strongSwan of its distribution, as docs/vpn.md shows it, on a host that no role of ours has touched."""

from __future__ import annotations

import base64
import re

import documented
import pytest
import yaml
from mesh_lab import ROOT, until
from secrecy import Spoken, heard

STORE, EAST, WEST = "store-1.example.com", "198.18.1.30", "198.18.2.30"
GATEWAY = "owner-backend"
FILE, PRE_SHARED, CERTIFIED = "/etc/swanctl/conf.d/store.conf", "With a pre-shared key", "With a certificate"
CAPSULE = yaml.safe_load((ROOT / "playbooks" / "vars" / "store.yml").read_text(encoding="utf-8"))
ROW = {"row": "from the intranet of example.com", "seen_as": "172.21.162.9"}
PSK = yaml.safe_load(documented.example(PRE_SHARED, "secret.yml"))["capsule_import_vpn_secret"]["psk"]
WRONG, RENEWED = "0sV2hvIGlzIHRoZXJlLCBhbmQgd2hvIGhhcyBhc2tlZD8=", "another key than before, of 41 characters"
PLACE = {"instance": STORE, "to_hn": "hn-east", "to_rm": "rm-east-1", "public_address": EAST}
MOVE = {"instance": STORE, "to_hn": "hn-west", "to_rm": "rm-west-1", "public_address": WEST}

#: Prints every file below some directories that holds one of the words, also of those that root alone can read.
SEARCH = "grep -rlFf /dev/stdin -D skip /etc /root /tmp /run/vmatrix /var/lib/vmatrix /var/cache/vmatrix /var/log /var/tmp 2>/dev/null || true"


def described(chapter: str, version: str, secret: dict[str, str]) -> dict:
    """Return the variables of the store with the tunnel that a chapter describes."""
    tunnel = yaml.safe_load(documented.example(chapter, "tunnel.yml"))
    capsule = {key: value for key, value in CAPSULE.items() if key != "capsule_import_owner"}
    return {**capsule, **tunnel, "capsule_import_version": version, "capsule_import_vpn_secret": secret}


def keyed(version: str, psk: str) -> dict:
    return described(PRE_SHARED, version, {"psk": psk})


def serves(mesh: Spoken, text: str) -> None:
    """Have the owner's gateway take a configuration into force."""
    mesh.ssh(GATEWAY, "dd", "status=none", f"of={FILE}", stdin=text)
    mesh.ssh(GATEWAY, "swanctl", "--load-all", "--noprompt")


def callers(mesh: Spoken) -> set[str]:
    """Return whose tunnels end at the owner's gateway."""
    return set(re.findall(r"remote '[^']*' @ ([0-9.]+)", mesh.ssh(GATEWAY, "swanctl", "--list-sas")))


@pytest.fixture(scope="module")
def stranger(mesh):
    """The lab, with the owner's gateway as the documentation has it."""
    spoken = Spoken()
    spoken.remove_all()
    spoken.shell(GATEWAY, "test ! -e /etc/vmatrix && test ! -e /usr/lib/vmatrix")
    # The lab keeps strongSwan's own service from starting, and its kernel may lack ESP, which strongSwan does in user space then.
    spoken.shell(GATEWAY, "systemctl -q unmask strongswan; sed -i 's/load = no/load = yes/' /etc/strongswan.d/charon/kernel-libipsec.conf")
    spoken.ssh(GATEWAY, "dd", "status=none", f"of={FILE}", stdin=documented.example(PRE_SHARED, FILE))
    spoken.ssh(GATEWAY, "systemctl", "start", "strongswan")
    try:
        yield spoken
        spoken.remove_all()
        for gateway in spoken.group("gateways"):
            assert spoken.ssh(gateway, "ls", "/etc/vmatrix/vpn").split() == ["wrapping.key"], "a tunnel outlived its service"
    finally:
        clear = f"systemctl stop strongswan; systemctl -q mask strongswan; rm -rf {FILE} /etc/swanctl/{{store,authority}}.* /etc/swanctl/x509*/*.pem"
        spoken.shell(GATEWAY, f"{clear} /etc/swanctl/private/*; sed -i 's/load = yes/load = no/' /etc/strongswan.d/charon/kernel-libipsec.conf")


@pytest.fixture(scope="module")
def store(stranger):
    """The store, whose tunnel ends there."""
    stranger.import_anew("rm-east-1", keyed("2.0.0", PSK))
    stranger.four_times("place", capsule="2.0.0", **PLACE)
    return stranger


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"capsule_import_vpn_secret": {"psk": "sesame"}}, "The pre-shared key of store.example.com is too easy to guess: it must have at least 20 characters"),
        ({"capsule_import_vpn_secret": {}}, "Neither a pre-shared key nor a certificate is given for store.example.com"),
        (
            {"capsule_import_vpn_secret": {"psk": PSK, "certificate": "-----BEGIN CERTIFICATE-----"}},
            "Both a pre-shared key and a certificate are given for store.example.com",
        ),
        ({"capsule_import_vpn_secret": {"password": PSK}}, "The variable vpn_secret_given has no password"),
        ({"capsule_import_owner": "owner-gw"}, "There are both capsule_import_owner and capsule_import_vpn_secret"),
        ({"capsule_import_vpn_secret": None}, "neither capsule_import_owner, whose VPN gateway gives it a certificate, nor capsule_import_vpn_secret"),
        ({"identity": "*"}, "The identity of the tunnel of store.example.com is '*', which is none"),
        (
            {"gateway": {"address": "198.18.0.6", "identity": "198.18.0.6", "proposals": {"ike": ["aes128-sha256-modp1024"]}}},
            "The ike proposal aes128-sha256-modp1024 of the owner's VPN gateway has modp1024, which protects nothing",
        ),
        ({"gateway": {"address": "198.18.0.6", "identity": "%any"}}, "The identity of the owner's VPN gateway is '%any', which is none"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(stranger, change, sentence):
    capsule = keyed("1.9.0", PSK)
    for part in ("identity", "gateway"):
        if part in change:
            capsule["capsule_import_vpn"] = {**capsule["capsule_import_vpn"], part: change[part]}
    capsule.update({key: value for key, value in change.items() if key.startswith("capsule")})
    wanted = {key: value for key, value in capsule.items() if value is not None}
    stranger.must_refuse("capsule_import", sentence, look=False, rm="rm-east-1", **wanted)


def test_a_wrong_pre_shared_key_is_called_by_its_name_and_nothing_is_left(stranger):
    stranger.import_anew("rm-east-1", keyed("1.9.0", WRONG))
    placed = stranger.play("place", capsule="1.9.0", **PLACE)
    sentence = "The tunnel of store.example.com did not come up within"
    [said] = [message for message in placed.messages if sentence in message][:1]
    assert "the peer refused to authenticate store@example.com" in said and "it has another pre-shared key" in said
    assert not placed.ok and not stranger.whereabouts(STORE)
    assert stranger.ssh("gw-east", "ls", "/etc/vmatrix/vpn").split() == ["wrapping.key"]


def test_its_back_end_is_reached_through_it(store):
    assert store.row(EAST) == ROW
    assert callers(store) == {EAST}
    assert "remote 'store@example.com' @" in store.ssh(GATEWAY, "swanctl", "--list-sas")
    (tunnel,) = store.tunnel("gw-east")
    assert (tunnel["established"], tunnel["drift"], tunnel["certificate"]) == (True, [], None)


def test_importing_again_changes_nothing_and_another_key_is_another_version(store):
    again = store.play("capsule_import", rm="rm-east-1", **keyed("2.0.0", PSK))
    assert again.ok and again.changed == 0, again.output
    store.must_refuse("capsule_import", "exists with other content (vpn differ)", rm="rm-east-1", **keyed("2.0.0", WRONG))
    store.everywhere("rms", "capsule", domain="example.com", name="store", version="2.0.1", state="absent")
    assert store.as_foretold("capsule_import", rm="rm-east-1", **keyed("2.0.1", WRONG)).changed > 0


def test_it_begins_elsewhere_after_a_move_and_outlives_the_gateways_reboot(store):
    before = store.page(EAST)
    store.four_times("move", **MOVE)
    assert store.row(WEST) == ROW and store.page(WEST)["boot_id"] == before["boot_id"]
    until(lambda: callers(store) == {WEST}, 30, "the tunnel begins in the west only")
    assert store.tunnel("gw-east") == []
    store.reboot("gw-west")
    until(lambda: store.row(WEST, timeout=1) == ROW, 60, "the row is there again")
    back = store.play("move", **{**MOVE, "to_hn": "hn-east", "to_rm": "rm-east-1", "public_address": EAST})
    assert back.ok, back.output
    assert store.row(EAST) == ROW


def test_it_goes_on_with_another_key_when_the_owner_has_that_too(store):
    wish = {"vpn_secret_service": "store", "vpn_secret_domain": "example.com", "vpn_secret_given": {"psk": RENEWED}}
    refused = store.play("vpn_secret", **wish)
    assert not refused.ok and any("it has another pre-shared key" in message for message in refused.messages), refused.messages
    until(lambda: store.row(EAST) == ROW, 20, "the tunnel is as it was")
    serves(store, documented.example(PRE_SHARED, FILE).replace(PSK, f'"{RENEWED}"'))
    assert store.four_times("vpn_secret", **wish).changed > 0
    assert store.row(EAST) == ROW
    moved = store.play("move", **MOVE)
    assert moved.ok and store.row(WEST) == ROW, "the move has carried the new key along"


def test_a_certificate_will_do(store):
    assert store.play("remove", instance=STORE).ok
    store.ssh(GATEWAY, "bash", "-euo", "pipefail", "-s", stdin=documented.example(CERTIFIED, "authority.sh"))
    serves(store, documented.example(CERTIFIED, FILE))
    files = {"certificate": "store.pem", "key": "store.key", "authority": "x509ca/authority.pem"}
    given = {part: store.ssh(GATEWAY, "cat", f"/etc/swanctl/{name}") for part, name in files.items()}
    store.import_anew("rm-east-1", described(CERTIFIED, "3.0.0", given))
    placed = store.play("place", capsule="3.0.0", **PLACE)
    assert placed.ok and store.row(EAST) == ROW and callers(store) == {EAST}
    assert "remote 'C=DE, O=Example, CN=store' @" in store.ssh(GATEWAY, "swanctl", "--list-sas")


def test_no_secret_was_said_or_lies_about(store):
    """Neither as it was written nor as it is, and of the key of the certificate no line."""
    held = [PSK[2:], base64.b64decode(PSK[2:]).decode(), WRONG[2:], base64.b64decode(WRONG[2:]).decode(), RENEWED]
    key = store.ssh(GATEWAY, "cat", "/etc/swanctl/store.key").splitlines()[1:-1]
    envelopes = re.findall(r"[A-Za-z0-9+/=]{400,}", store.shell("gw-east", "cat /etc/vmatrix/vpn/example.com/store.json"))
    assert len(key) >= 2 and envelopes and len(store.said) > 30
    told = [*held, *key, *(each[200:260] for each in envelopes)]
    assert [word for word in told if any(word in text for text in store.said)] == []
    ours = [*store.group("rms"), *store.group("gateways")]
    # Words of one line would be taken for several.
    assert heard(store, [word for word in told if " " not in word] + [key[0][:40], key[0][10:50]], ours) == {}
    found = {host: store.ssh(host, "bash", "-c", SEARCH, stdin="\n".join([*held, *key])).split() for host in [GATEWAY, *ours]}
    assert "/etc/swanctl/store.key" in found.pop(GATEWAY), "what is there is found"
    assert {host: files for host, files in found.items() if files} == {}
