# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two owners' services reach their back-ends through tunnels that the mesh set up around them: seen by clients, by back-ends and on the wire."""

from __future__ import annotations

import concurrent.futures
import json
import re
import time

import pytest
import yaml
from listener import Listener
from mesh_lab import ROOT, until
from secrecy import Spoken, heard

STORE, OTHER = "store-1.example.com", "store-1.example.org"
EAST, WEST, OTHER_EAST = "198.18.1.30", "198.18.2.30", "198.18.1.31"
CAPSULE = yaml.safe_load((ROOT / "playbooks" / "vars" / "store.yml").read_text(encoding="utf-8"))
#: The same machine with the same addresses, of another owner.
OTHER_CAPSULE = {
    **CAPSULE,
    "owner": "other-owner",
    "capsule_import_domain": "example.org",
    "capsule_import_vpn": {**CAPSULE["capsule_import_vpn"], "gateway": {"address": "198.18.0.5", "identity": "vpn.example.org"}},
}
ROW = {"row": "from the intranet of example.com", "seen_as": "172.21.162.9"}
OTHER_ROW = {"row": "from the intranet of example.org", "seen_as": "172.21.162.9"}
MOVE = {"instance": STORE, "to_hn": "hn-west", "to_rm": "rm-west-1", "public_address": WEST}
#: An owner's own authority, and what somebody makes up who would like to be it.
AUTHORITY, FORGED = "/etc/vmatrix/authority", "/etc/vmatrix/forged"
VICI = "swanctl --list-sas --uri unix:///run/vmatrix/vpn/example.com.vici 2>/dev/null"

#: Makes a certificate that has expired with an authority's key, and prints it with an envelope for a gateway.
EXPIRED = """
import datetime, json, sys
sys.path.insert(0, "/usr/lib/vmatrix/engines.zip")
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, pki, wrapping
opened, key, name = authority.open_authority(sys.argv[1]), pki.new_key(), "store.example.com"
now, days = pki.now().replace(tzinfo=None), datetime.timedelta(days=1)
builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])).issuer_name(opened.certificate.subject)
builder = builder.public_key(key.public_key()).serial_number(7).not_valid_before(now - 2 * days).not_valid_after(now - days)
made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(opened.key, hashes.SHA256())
print(json.dumps({"certificate": pki.pem_of(made), "envelope": wrapping.wrap(pki.key_pem(key), sys.argv[2], name, made)}))
"""


@pytest.fixture(scope="module")
def spoken(mesh) -> Spoken:
    return Spoken()


@pytest.fixture(scope="module")
def store(spoken):
    """The store of example.com, and that of example.org beside it on the same RM."""
    spoken.remove_all()
    for capsule in (CAPSULE, OTHER_CAPSULE):
        spoken.import_anew("rm-east-1", capsule)
    spoken.four_times("place", instance=STORE, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1", public_address=EAST)
    other = spoken.play("place", instance=OTHER, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1", public_address=OTHER_EAST)
    assert other.ok, other.output
    yield spoken
    for instance in (STORE, OTHER):
        assert spoken.play("remove", instance=instance).ok
    for gateway in spoken.group("gateways"):
        assert spoken.ssh(gateway, "ls", "/etc/vmatrix/vpn").split() == ["wrapping.key"], "a tunnel outlived its service"


def test_importing_again_changes_nothing(store):
    again = store.play("capsule_import", rm="rm-east-1", **CAPSULE)
    assert again.ok and again.changed == 0, again.output


def test_the_page_shows_a_row_and_the_back_end_sees_the_intranet_address(store):
    assert store.row(EAST) == ROW


def test_another_owner_with_the_same_addresses_has_a_world_of_its_own(store):
    assert store.row(OTHER_EAST) == OTHER_ROW
    ours, theirs = store.page(EAST), store.page(OTHER_EAST)
    assert ours["address"] == theirs["address"] and ours["boot_id"] != theirs["boot_id"]
    (store_1,) = store.tunnel("gw-east")
    assert store_1["established"] and store_1["drift"] == []


@pytest.mark.parametrize(("target", "reached"), [("172.21.162.10:5432", "yes"), ("172.21.162.10:22", "no"), ("172.21.162.1:22", "no"), ("10.99.0.32:22", "no")])
def test_only_declared_back_ends_and_ports_are_reached(store, target, reached):
    assert store.page(EAST, f"/cgi-bin/reach?{target}", timeout=10) == {"reached": reached}


def test_on_the_wire_there_is_nothing_but_esp(store):
    def listen():
        return store.shell("owner-gw", "timeout 6 tcpdump -lnni wan0 ip 2>/dev/null || true")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        ear = pool.submit(listen)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert store.row(EAST) == ROW
        heard = [line for line in ear.result().splitlines() if EAST in line]
    encrypted = [line for line in heard if re.search(r"\.4500 > [0-9.]+\.4500: UDP-encap: ESP", line)]
    keeping = [line for line in heard if re.search(r"\.4500 > [0-9.]+\.4500: (NONESP-encap: isakmp|isakmp-nat-keep-alive)", line)]
    assert len(encrypted) > 10
    assert len(encrypted) + len(keeping) == len(heard), heard


def test_it_goes_on_after_a_move_there_and_back(store):
    first = store.page(EAST)
    with Listener(EAST, WEST, path="/cgi-bin/row", patience=1) as listener:
        listener.first_after(time.time())
        began = time.time()
        store.four_times("move", **MOVE)
        listener.first_after(time.time())
        print(f"\nthe move there: {listener.longest_gap(began):.2f} s without a row from the back-end")
        assert store.row(WEST) == ROW
        assert [one["instances"][0]["established"] for one in store.tunnel("gw-west")] == [True]
        assert store.tunnel("gw-east") == []
        assert store.row(OTHER_EAST) == OTHER_ROW
        began = time.time()
        back = store.play("move", **{**MOVE, "to_hn": "hn-east", "to_rm": "rm-east-1", "public_address": EAST})
        assert back.ok, back.output
        listener.first_after(time.time())
        print(f"the move back: {listener.longest_gap(began):.2f} s without a row from the back-end")
    assert store.row(EAST) == ROW
    assert store.page(EAST)["boot_id"] == first["boot_id"]


def test_clones_reach_home_each_as_itself(store):
    service = {"service": "store", "domain": "example.com", "to_hn": "hn-west"}
    try:
        cloned = store.play("clone", instance=STORE, clones="store-2.example.com", capsule="warm")
        assert cloned.ok, cloned.output
        assert {store.row(EAST)["seen_as"] for unused in range(8)} == {"172.21.162.9", "172.21.162.16"}
        store.four_times("clone", instance=STORE, clones="store-3.example.com", to_hn="hn-west", capsule="warm")
        (record,) = store.must("gw-west", "vma_info")["records"]
        west = record["public_address"]
        assert store.row(west) == {**ROW, "seen_as": "172.21.162.17"}
        scaled = store.play("scale", count=2, capsule="warm", **service)
        assert scaled.ok, scaled.output
        assert {store.row(west)["seen_as"] for unused in range(8)} == {"172.21.162.17", "172.21.162.18"}
        assert {store.row(EAST)["seen_as"] for unused in range(8)} == {"172.21.162.9", "172.21.162.16"}, "two gateways have a tunnel for one service"
        tunnels = re.findall(r"remote '[^']*' @ ([0-9.]+)\[4500\](.*?)(?=\n\S|\Z)", store.shell("owner-gw", VICI), re.DOTALL)
        seen = {end: set(re.findall(r"remote +([0-9.]+)/32", inside)) for end, inside in tunnels}
        assert seen == {EAST: {"172.21.162.9", "172.21.162.16"}, west: {"172.21.162.17", "172.21.162.18"}}
    finally:
        for hn, count in (("hn-west", 0), ("hn-east", 1)):
            assert store.play("scale", **{**service, "to_hn": hn}, count=count, surplus="absent").ok
        removed = store.everywhere("rms", "capsule", domain="example.com", name="store", version="warm", state="absent")
        assert not any("exception" in result for result in removed), removed
    assert store.row(EAST) == ROW
    assert store.ssh("gw-west", "ls", "/etc/vmatrix/vpn").split() == ["wrapping.key"]


def test_a_tunnel_comes_to_another_hosting_network_with_an_instance_only(store):
    wish = {"service": "store", "domain": "example.com", "to_hn": "hn-west", "count": 1, "capsule": "1.0.0"}
    sentence = "store of example.com has a tunnel, and no instance in hn-west: its first one comes there by place, move or clone."
    store.must_refuse("scale", sentence, **wish)


def test_what_is_suspended_is_not_in_the_intranet(store):
    assert store.play("suspend", instance=STORE).ok
    assert [one["instances"] for one in store.tunnel("gw-east")] == [[]]
    assert "172.21.162.9" not in store.shell("owner-gw", VICI)
    assert store.play("resume", instance=STORE).ok
    assert store.row(EAST) == ROW


def test_a_move_is_refused_where_the_owner_cannot_be_reached(store):
    before = store.page(EAST)
    wall = "table inet wall { chain input { type filter hook input priority -300; ip saddr 198.18.2.0/24 drop; }; }"
    store.shell("owner-gw", f"nft add {wall.partition(' {')[0]}; nft -f - <<< '{wall}'")
    try:
        moved = store.play("move", **MOVE)
    finally:
        store.shell("owner-gw", "nft delete table inet wall")
    assert not moved.ok
    assert any("The tunnel of store.example.com did not come up within" in message for message in moved.messages), moved.messages
    assert store.row(EAST) == ROW and store.page(EAST)["boot_id"] == before["boot_id"]
    assert store.ssh("gw-west", "ls", "/etc/vmatrix/vpn").split() == ["wrapping.key"]
    assert not store.must("gw-west", "vma_info")["records"]


def tried(store, **local):
    """Try to use other credentials for the store's tunnel, on the gateway that has it; return why that did not work."""
    document = json.loads(store.ssh("gw-east", "cat", "/etc/vmatrix/vpn/example.com/store.json"))
    arguments = {key: document[key] for key in ("domain", "service", "peer", "mappings", "backends", "inbound")}
    result = store.module("gw-east", "vpn_tunnel", **arguments, local={"address": EAST, **local}, timeout=4)
    assert "exception" in result, result
    until(lambda: store.row(EAST) == ROW, 15, "the tunnel is as it was")
    return result["msg"]


def test_a_certificate_of_another_authority_is_refused(store):
    reader = store.must("gw-east", "vpn_wrapping_key")["public_key"]
    try:
        store.must("other-owner", "vpn_authority", domain="example.com", directory=FORGED)
        forged = store.must("other-owner", "vpn_certificate", name="store.example.com", recipients=[reader], directory=FORGED)
        assert "AUTH" in tried(store, certificate=forged["certificate"], envelope=next(iter(forged["envelopes"].values())))
    finally:
        store.shell("other-owner", f"rm -r {FORGED}")


def test_an_expired_certificate_is_refused(store):
    reader = store.must("gw-east", "vpn_wrapping_key")["public_key"]
    made = json.loads(store.ssh("owner-gw", "python3", "-c", EXPIRED, AUTHORITY, reader))
    assert "expired at" in tried(store, **made)


def test_another_owners_certificate_is_refused(store):
    document = json.loads(store.ssh("gw-east", "cat", "/etc/vmatrix/vpn/example.org/store.json"))
    theirs = {key: document["local"][key] for key in ("certificate", "envelope")}
    assert "is for store.example.org" in tried(store, **theirs)


def test_a_revoked_certificate_closes_the_tunnel_and_a_new_one_opens_it(store):
    before = store.page(EAST)
    assert store.play("vpn_certificate", owner="owner-gw", service="store", action="revoke").ok
    until(lambda: "row" not in (store.row(EAST, timeout=5) or {}), 15, "the tunnel is closed")
    assert store.page(EAST)["boot_id"] == before["boot_id"], "the service itself goes on"
    assert store.four_times("vpn_certificate", owner="owner-gw", service="store").changed > 0
    until(lambda: store.row(EAST) == ROW, 30, "the tunnel is open again")


@pytest.mark.parametrize("host", ["owner-gw", "gw-east"])
def test_the_tunnel_returns_by_itself_when_an_end_was_killed(store, host):
    old = store.shell(host, "systemctl show -P MainPID vmatrix-charon@example.com").strip()
    store.shell(host, f"kill -KILL {old}")
    began = time.monotonic()
    until(lambda: store.shell(host, "systemctl show -P MainPID vmatrix-charon@example.com").strip() not in (old, "0"), 20, "charon is back")
    until(lambda: store.row(EAST) == ROW, 30, "the tunnel is back")
    print(f"\na row again {time.monotonic() - began:.1f} s after charon of {host} was killed")


def test_the_tunnel_returns_after_a_reboot_of_the_gateway(store):
    store.reboot("gw-east")
    until(lambda: store.row(EAST, timeout=1) == ROW, 60, "the row is there again")
    assert store.row(OTHER_EAST) == OTHER_ROW


def secrets(store) -> list[str]:
    """Return a telling piece of every certificate, key and envelope that there is."""
    found = set()
    documents = [store.shell(host, "cat /etc/vmatrix/vpn/*/*.json") for host in ("gw-east", "owner-gw", "other-owner")]
    blob = store.must("rm-east-1", "capsule_info", domain="example.com", name="store")["capsules"][0]["manifest"]["vpn"]["credentials"]["sha256"]
    documents.append(store.ssh("rm-east-1", "cat", f"/var/lib/vmatrix/store/blobs/sha256/{blob}"))
    documents += [store.shell(host, "cat /etc/vmatrix/authority/*.key /etc/vmatrix/authority/keys/*") for host in ("owner-gw", "other-owner")]
    documents += [store.shell(host, "cat /etc/vmatrix/vpn/wrapping.key") for host in ("gw-east", "gw-west")]
    for text in documents:
        # The last whole line of what is in PEM is part of a key or a signature; an envelope is one long word.
        found.update(re.findall(r"([A-Za-z0-9+/]{64})\n[A-Za-z0-9+/=]*\n?-----END", text.replace("\\n", "\n")))
        found.update(re.findall(r"-----\n([A-Za-z0-9+/=]{60,64})\n-----END", text))
        found.update(word[200:260] for word in re.findall(r"[A-Za-z0-9+/=]{400,}", text))
    assert len(found) >= 12
    return sorted(found)


def test_no_secret_was_said_or_lies_about(store):
    words = secrets(store)
    assert len(store.said) > 20 and any("TASK [vmatrix.mesh.capsule_import : Make the capsule]" in text for text in store.said)
    assert [word for word in words if any(word in text for text in store.said)] == []
    assert heard(store, words, [*store.group("rms"), *store.group("gateways"), *store.group("vpn_owners"), "owner-backend"]) == {}
