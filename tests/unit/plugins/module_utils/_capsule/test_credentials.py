# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secrets of a capsule: kept apart from its manifest, where only the store's owner reads them, and given out to one gateway at a time."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import credentials, intake, transfer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused

EAST, WEST = "1" * 64, "2" * 64
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQ0VSVElGSUNBVEU=\n-----END CERTIFICATE-----\n"
SECRETS = {
    "authority": CERTIFICATE.replace("Q0", "QV"),
    "certificate": CERTIFICATE,
    "crl": "-----BEGIN X509 CRL-----\nQ1JM\n-----END X509 CRL-----\n",
    "envelopes": {EAST: "ZWFzdA==", WEST: "d2VzdA=="},
}
#: With a pre-shared key there are no certificates, and the envelope of the same key is the same.
SHARED = {"authority": None, "certificate": None, "crl": None, "envelopes": {EAST: "ZWFzdA==", WEST: "d2VzdA=="}}
VPN = {
    "gateway": {"address": "198.18.0.3", "identity": "vpn.example.com"},
    "pool": ["172.21.162.9"],
    "backends": [{"address": "172.21.162.10", "ports": [{"protocol": "tcp", "port": 5432}]}],
    "inbound": [],
}


@pytest.fixture
def wanted(tmp_path):
    """What makes a capsule with a VPN part."""
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(os.urandom(1000))
    return {
        "name": "shop",
        "version": "1.0.0",
        "domain": "example.com",
        "guest": {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
        "ports": [{"protocol": "tcp", "port": 80}],
        "machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 128},
        "boot": {"kernel": str(kernel), "initrd": None, "cmdline": ""},
        "disks": [],
        "vpn": VPN,
        "credentials": SECRETS,
    }


def test_only_the_stores_owner_reads_them_and_nothing_shows_them(here, wanted):
    foretold = intake.import_capsule(here.store, wanted, dry=True)
    done = intake.import_capsule(here.store, wanted)
    assert done.changed and (foretold.before, foretold.after) == (done.before, done.after)
    blob = done.manifest["vpn"]["credentials"]
    assert os.stat(here.store.blob_path(blob["sha256"])).st_mode & 0o777 == 0o400
    shown = json.dumps([done.before, done.after, done.manifest])
    for secret in (SECRETS["authority"], SECRETS["certificate"], SECRETS["crl"], *SECRETS["envelopes"].values()):
        assert json.dumps(secret)[1:-1] not in shown
    assert credentials.load(here.store, done.manifest) == SECRETS


def test_another_envelope_of_the_same_key_is_no_other_content_but_another_reader_is(here, wanted):
    first = intake.import_capsule(here.store, wanted)
    again = {**SECRETS, "envelopes": {EAST: "YW5vdGhlcg==", WEST: "b25l"}}
    assert not intake.import_capsule(here.store, {**wanted, "credentials": again}).changed
    assert credentials.load(here.store, first.manifest) == SECRETS
    for other in (
        {**SECRETS, "envelopes": {EAST: "ZWFzdA=="}},
        {**SECRETS, "certificate": CERTIFICATE.replace("Q0", "QX")},
        {**SECRETS, "crl": None},
    ):
        with pytest.raises(Refused, match="exists with other content .vpn differ.; give the new content a new version"):
            intake.import_capsule(here.store, {**wanted, "credentials": other})


def test_one_gateway_gets_its_envelope_and_no_other(here, wanted):
    manifest = intake.import_capsule(here.store, wanted).manifest
    parcel = credentials.parcel(here.store, manifest, WEST)
    assert parcel == {
        "service": "shop",
        "certificate": CERTIFICATE,
        "envelope": "d2VzdA==",
        "identity": None,
        "peer": {"address": "198.18.0.3", "identity": "vpn.example.com", "authority": SECRETS["authority"], "crl": SECRETS["crl"]},
        "backends": VPN["backends"],
        "inbound": [],
    }
    with pytest.raises(NotFound, match="has no envelope that this gateway could open"):
        credentials.parcel(here.store, manifest, "3" * 64)
    plain = intake.import_capsule(here.store, {**wanted, "version": "1.0.1", "vpn": None, "credentials": None}).manifest
    assert "vpn" not in plain
    with pytest.raises(NotFound, match="Capsule shop 1.0.1 of example.com has no VPN part"):
        credentials.parcel(here.store, plain, EAST)


def test_another_pre_shared_key_is_other_content_and_the_same_is_not(here, wanted):
    wanted = {**wanted, "vpn": {**VPN, "identity": "shop@example.com", "gateway": {"address": "198.18.0.6", "identity": "198.18.0.6"}}, "credentials": SHARED}
    first = intake.import_capsule(here.store, wanted)
    assert first.changed and not intake.import_capsule(here.store, wanted).changed
    assert os.stat(here.store.blob_path(first.manifest["vpn"]["credentials"]["sha256"])).st_mode & 0o777 == 0o400
    with pytest.raises(Refused, match="exists with other content .vpn differ"):
        intake.import_capsule(here.store, {**wanted, "credentials": {**SHARED, "envelopes": {EAST: "b3RoZXI=", WEST: "d2VzdA=="}}})
    parcel = credentials.parcel(here.store, first.manifest, EAST)
    assert (parcel["certificate"], parcel["envelope"], parcel["identity"]) == (None, "ZWFzdA==", "shop@example.com")
    assert parcel["peer"] == {"address": "198.18.0.6", "identity": "198.18.0.6", "authority": None, "crl": None}


def test_they_travel_with_the_capsule_and_stay_secret(here, there, wanted):
    manifest = intake.import_capsule(here.store, wanted).manifest
    with transfer.connect(transfer.Peer("rm-west-1", "10.0.0.2"), 10, there.argv, str(there.root / "progress")) as session:
        session.send_capsule(here.store, manifest)
    assert credentials.load(there.store, there.store.get("example.com", "shop", "1.0.0")) == SECRETS
    assert os.stat(there.store.blob_path(manifest["vpn"]["credentials"]["sha256"])).st_mode & 0o077 == 0


def test_altered_ones_are_refused(here, wanted):
    manifest = intake.import_capsule(here.store, wanted).manifest
    path = here.store.blob_path(manifest["vpn"]["credentials"]["sha256"])
    os.chmod(path, 0o600)
    with open(path, "r+b") as handle:
        handle.write(b"[")
    with pytest.raises(Refused, match="Capsule shop 1.0.0 of example.com cannot be used: blob .* was altered"):
        credentials.parcel(here.store, manifest, EAST)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {**SECRETS, "key": "x"},
        {**SECRETS, "certificate": "-----BEGIN PRIVATE KEY-----\nx"},
        {**SECRETS, "authority": None},
        {**SECRETS, "certificate": None},
        {**SHARED, "crl": SECRETS["crl"]},
        {**SHARED, "envelopes": {}},
        {**SECRETS, "crl": CERTIFICATE},
        {**SECRETS, "envelopes": {}},
        {**SECRETS, "envelopes": {"east": "x"}},
        {**SECRETS, "envelopes": {EAST: {"key": "x"}}},
    ],
)
def test_what_is_none_gets_one_sentence_that_shows_nothing(wrong):
    with pytest.raises(InvalidInput) as caught:
        credentials.check(wrong)
    assert "PRIVATE" not in caught.value.message and "\n" not in caught.value.message
