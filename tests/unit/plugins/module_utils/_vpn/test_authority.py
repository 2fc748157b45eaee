# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner's authority: what it issues, what it revokes, and who may read what."""

from __future__ import annotations

import json
import os
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, certificates, pki, wrapping


@pytest.fixture
def directory(tmp_path):
    found = str(tmp_path / "authority")
    authority.present("example.com", 3650, 365, found)
    return found


def issue(directory, name="shop.example.com", **more):
    return certificates.present(name, **{"days": 90, "renew_before": 30, "directory": directory, **more})


def revoked(crl):
    return sorted(f"{entry.serial_number:x}" for entry in pki.load_crl(crl, "list"))


def test_an_authority_is_made_once(directory):
    first = authority.present("example.com", 3650, 365, directory)
    assert not first.changed and first.before == first.after
    certificate = pki.load_certificate(first.result["certificate"], "authority")
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    with pytest.raises(Refused, match="example.com"):
        authority.present("example.org", 3650, 365, directory)


def test_a_dry_run_leaves_no_trace(tmp_path, directory):
    missing = str(tmp_path / "missing")
    assert authority.present("example.com", 3650, 365, missing, dry_run=True).changed and not os.path.exists(missing)
    before = sorted(os.walk(directory))
    report = issue(directory, dry_run=True)
    assert report.changed and report.result["certificate"] is None
    assert sorted(os.walk(directory)) == before
    issued = issue(directory)
    assert (issued.before, issued.after) == (report.before, report.after), "nobody can foretell a serial number"


def test_a_certificate_is_what_strongswan_and_everybody_else_accept(directory):
    result = issue(directory).result
    certificate = pki.load_certificate(result["certificate"], "certificate")
    assert pki.names_of(certificate) == ["shop.example.com"]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} < set(usages)
    root = os.path.join(directory, "authority.pem")
    checked = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", root], input=result["certificate"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_certificate_is_renewed_when_it_is_time_or_asked_for(directory):
    first = issue(directory)
    assert first.changed and not issue(directory).changed
    due = issue(directory, days=200, renew_before=100)
    assert due.changed and due.before["status"] == "due" and due.result["serial"] != first.result["serial"]
    forced = issue(directory, days=200, renew=True)
    assert forced.changed and forced.result["serial"] != due.result["serial"]


def test_a_key_and_a_certificate_that_do_not_belong_together_are_made_anew(directory, monkeypatch):
    """Whoever renewed it was cut off between the two."""
    good = issue(directory)
    written = certificates.write_atomic

    def cut_off(path, *content, **how):
        if path.endswith("certificates/shop.example.com.pem"):
            raise KeyboardInterrupt
        written(path, *content, **how)

    monkeypatch.setattr(certificates, "write_atomic", cut_off)
    with pytest.raises(KeyboardInterrupt):
        issue(directory, renew=True)
    monkeypatch.undo()
    after = issue(directory)
    assert after.changed and after.before["status"] == "keyless" and after.result["serial"] != good.result["serial"]
    assert not issue(directory).changed


def test_nothing_outlives_the_authority(tmp_path):
    directory = str(tmp_path)
    root = authority.present("example.com", 10, 365, directory).result
    assert issue(directory).result["not_after"] == root["not_after"]
    assert not issue(directory).changed


def test_revoking_covers_every_certificate_of_a_name_and_of_nobody_else(directory):
    serials = [issue(directory, renew=True).result["serial"] for _again in range(2)]
    issue(directory, "blog.example.com")
    assert certificates.absent("shop.example.com", 365, directory, dry_run=True).changed
    report = certificates.absent("shop.example.com", 365, directory)
    assert revoked(report.result["crl"]) == sorted(serials)
    assert not os.path.exists(certificates.paths("shop.example.com", directory).key)
    assert not certificates.absent("shop.example.com", 365, directory).changed
    assert issue(directory).before["status"] == "absent"


def test_a_list_that_lacks_a_revoked_certificate_is_signed_anew(directory):
    issue(directory)
    old = authority.read_crl(directory)
    certificates.absent("shop.example.com", 365, directory)
    with open(os.path.join(directory, "crl.pem"), "w", encoding="ascii") as handle:
        handle.write(old)
    report = authority.present("example.com", 3650, 365, directory)
    assert report.changed and report.before["revoked"] == [] and len(revoked(report.result["crl"])) == 1


def test_a_list_is_renewed_when_half_of_its_time_is_over(directory):
    assert not authority.present("example.com", 3650, 700, directory).changed
    assert authority.present("example.com", 3650, 800, directory).changed


def test_private_keys_are_their_owners_only(directory):
    issue(directory)
    keys = [os.path.join(directory, "authority.key"), certificates.paths("shop.example.com", directory).key]
    assert {stat.S_IMODE(os.stat(key).st_mode) for key in keys} == {0o600}
    for parent, unused, names in os.walk(directory):
        assert stat.S_IMODE(os.stat(parent).st_mode) == 0o700, parent
        secret = [name for name in names if name.endswith((".pem", ".key", ".envelopes.json"))]
        assert {stat.S_IMODE(os.stat(os.path.join(parent, name)).st_mode) for name in secret} <= {0o600}, parent
    for parent, _directories, files in os.walk(directory):
        for name in files:
            path = os.path.join(parent, name)
            with open(path, encoding="utf-8") as handle:
                assert ("PRIVATE KEY" in handle.read()) == (path in keys)


def test_nothing_that_is_returned_holds_a_key(directory, tmp_path):
    reader = wrapping.ensure_key(str(tmp_path / "gateway"))[1]
    reports = [authority.present("example.com", 3650, 365, directory), issue(directory, recipients=[reader])]
    with open(certificates.paths("shop.example.com", directory).key, encoding="ascii") as handle:
        secret = handle.read().splitlines()[1]
    text = json.dumps([report._asdict() for report in reports])
    assert "PRIVATE" not in text and secret not in text


def test_readers_come_and_go_without_a_new_certificate(directory, tmp_path):
    one, two = (wrapping.ensure_key(str(tmp_path / name))[1] for name in ("one", "two"))
    first = issue(directory, recipients=[one]).result
    second = issue(directory, recipients=[one, two])
    assert second.changed and second.result["serial"] == first["serial"]
    assert second.result["envelopes"][wrapping.fingerprint(one)] == first["envelopes"][wrapping.fingerprint(one)]
    assert not issue(directory, recipients=[two, one]).changed
    assert list(issue(directory, recipients=[two]).result["envelopes"]) == [wrapping.fingerprint(two)]


@pytest.mark.parametrize("days, renew_before", [(0, 0), (90, 90), (90, -1), (40000, 30)])
def test_invalid_days(directory, days, renew_before):
    with pytest.raises(InvalidInput):
        issue(directory, days=days, renew_before=renew_before)


def test_without_an_authority_nothing_is_issued(tmp_path):
    with pytest.raises(NotFound, match="vpn_authority"):
        issue(str(tmp_path), dry_run=True)
