# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Envelopes: one reader, and no other."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, certificates, pki, wrapping


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A certificate with its key, two gateways, and the envelope of the first."""
    home = tmp_path_factory.mktemp("wrapping")
    directory = str(home / "authority")
    authority.present("example.com", 3650, 365, directory)
    certificates.present("blog.example.com", 90, 30, directory=directory)
    result = certificates.present("shop.example.com", 90, 30, directory=directory).result
    certificate = pki.load_certificate(result["certificate"], "certificate")
    key = wrapping.read_key(result["key_path"], certificate)
    publics = [wrapping.ensure_key(str(home / name))[1] for name in ("east", "west")]
    owns = [wrapping.own_key(str(home / name)) for name in ("east", "west")]
    envelope = wrapping.wrap(key, publics[0], "shop.example.com", certificate)
    return type(
        "Sealed",
        (),
        {"home": home, "certificate": certificate, "key": key, "publics": publics, "owns": owns, "envelope": envelope, "directory": directory},
    )


def test_its_reader_gets_the_key_back_and_can_pass_it_on(sealed):
    key = wrapping.unwrap(sealed.envelope, sealed.owns[0], sealed.certificate)
    assert key == sealed.key
    again = wrapping.wrap(key, sealed.publics[1], "shop.example.com", sealed.certificate)
    assert wrapping.unwrap(again, sealed.owns[1], sealed.certificate) == sealed.key


def test_nobody_else_can_open_it(sealed):
    with pytest.raises(Refused, match="another gateway"):
        wrapping.unwrap(sealed.envelope, sealed.owns[1], sealed.certificate)
    forged = {**wrapping.opened(sealed.envelope), "recipient": wrapping.fingerprint(sealed.publics[1])}
    with pytest.raises(Refused, match="tampered"):
        wrapping.unwrap(base64.b64encode(json.dumps(forged).encode()).decode(), sealed.owns[1], sealed.certificate)


def test_two_envelopes_of_a_key_have_nothing_in_common(sealed):
    one, two = (wrapping.opened(wrapping.wrap(sealed.key, sealed.publics[0], "shop.example.com", sealed.certificate)) for _again in range(2))
    assert not {one[part] for part in ("ephemeral", "nonce", "ciphertext")} & {two[part] for part in ("ephemeral", "nonce", "ciphertext")}
    assert sealed.key not in base64.b64decode(sealed.envelope)


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_changed_is_noticed(sealed, data):
    envelope = wrapping.opened(sealed.envelope)
    part = data.draw(st.sampled_from(sorted(envelope)))
    other = data.draw(
        st.one_of(st.text(max_size=80), st.binary(min_size=1, max_size=80).map(lambda raw: base64.b64encode(raw).decode()), st.integers(), st.none())
    )
    if other != envelope[part]:
        with pytest.raises(MeshError):
            wrapping.unwrap(base64.b64encode(json.dumps({**envelope, part: other}).encode()).decode(), sealed.owns[0], sealed.certificate)


@settings(max_examples=60)
@given(st.one_of(st.text(max_size=100), st.binary(max_size=100).map(lambda raw: base64.b64encode(raw).decode()), st.none(), st.integers()))
def test_nonsense_is_no_envelope(sealed, text):
    with pytest.raises(InvalidInput):
        wrapping.unwrap(text, sealed.owns[0], sealed.certificate)


def test_a_key_of_another_certificate_is_neither_wrapped_nor_read(sealed):
    other = certificates.present("blog.example.com", 90, 30, directory=sealed.directory).result
    certificate = pki.load_certificate(other["certificate"], "certificate")
    with pytest.raises(Refused, match="another certificate"):
        wrapping.unwrap(sealed.envelope, sealed.owns[0], certificate)
    with pytest.raises(Refused, match="not that of its certificate"):
        wrapping.wrap(sealed.key, sealed.publics[0], "blog.example.com", certificate)
    with pytest.raises(Refused, match="not that of its certificate"):
        wrapping.read_key(other["key_path"], sealed.certificate)


@pytest.mark.parametrize("public", ["", "AAAA", "not base64!", None, base64.b64encode(bytes(32)).decode()])
def test_what_is_no_public_key_is_refused(sealed, public):
    with pytest.raises(InvalidInput):
        wrapping.wrap(sealed.key, public, "shop.example.com", sealed.certificate)


def test_the_wrapping_key_is_made_once_and_is_its_gateways_only(sealed, tmp_path):
    assert wrapping.ensure_key(str(tmp_path / "new"), dry_run=True) == (True, None) and not (tmp_path / "new").exists()
    assert wrapping.ensure_key(str(sealed.home / "east")) == (False, sealed.publics[0])
    assert stat.S_IMODE(os.stat(sealed.home / "east" / "wrapping.key").st_mode) == 0o600
    with pytest.raises(NotFound):
        wrapping.own_key(str(tmp_path))


def test_a_key_that_others_can_read_is_not_used(sealed, tmp_path):
    path = tmp_path / "shop.key"
    path.write_bytes(sealed.key)
    path.chmod(0o640)
    with pytest.raises(Refused, match="0600"):
        wrapping.read_key(str(path), sealed.certificate)
