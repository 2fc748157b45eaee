# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an owner gives for a tunnel to a gateway that is not ours."""

from __future__ import annotations

import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, certificates, given, pki, wrapping

SHOP = "shop.example.com"
PSK = "0sT3BlbiB0aGUgZG9vciB0byBub2JvZHkgd2hvIGFza3M="
SECRET = b"Open the door to nobody who asks"


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    """An owner's authority with two certificates, and two gateways."""
    home = tmp_path_factory.mktemp("given")
    directory = str(home / "authority")
    root = authority.present("example.com", 3650, 365, directory).result
    papers = {}
    for name in ("shop", "blog"):
        issued = certificates.present(f"{name}.example.com", 90, 30, directory=directory).result
        with open(issued["key_path"], encoding="ascii") as handle:
            papers[name] = {"certificate": issued["certificate"], "key": handle.read(), "authority": root["certificate"]}
    gateways = {name: str(home / name) for name in ("east", "west")}
    publics = {name: wrapping.ensure_key(where)[1] for name, where in gateways.items()}
    return types.SimpleNamespace(papers=papers, gateways=gateways, publics=publics, crl=root["crl"])


def test_a_pre_shared_key_is_in_an_envelope_that_this_gateway_alone_opens(owner):
    east = given.wrapped(SHOP, {"psk": PSK}, owner.gateways["east"])
    assert east["fingerprint"] == wrapping.fingerprint(owner.publics["east"])
    assert wrapping.unwrap(east["envelope"], wrapping.own_key(owner.gateways["east"]), None) == SECRET
    with pytest.raises(Refused, match="another gateway"):
        wrapping.unwrap(east["envelope"], wrapping.own_key(owner.gateways["west"]), None)
    assert wrapping.opened(east["envelope"])["subject"] == SHOP and SECRET not in east["envelope"].encode()


def test_the_same_key_is_in_the_same_envelope_and_no_other(owner):
    """Nothing but the gateway's own private key makes it so, so nobody else can tell by trying whether he has guessed the key."""
    cases = ((SHOP, PSK, "east"), (SHOP, PSK, "east"), (SHOP, f"{SECRET.decode()}!", "east"), ("blog.example.com", PSK, "east"), (SHOP, PSK, "west"))
    wraps = [given.wrapped(name, {"psk": psk}, owner.gateways[gateway])["envelope"] for name, psk, gateway in cases]
    assert wraps[0] == wraps[1] and len(set(wraps)) == 4
    drawn = [wrapping.opened(each)[part] for each in set(wraps) for part in ("ephemeral", "nonce")]
    assert len(set(drawn)) == 8
    others = wrapping.wrap(SECRET, owner.publics["east"], SHOP, None)
    assert others not in wraps and wrapping.wrap(SECRET, owner.publics["east"], SHOP, None) != others


def test_a_certificate_comes_with_its_key_and_its_authority(owner):
    papers = owner.papers["shop"]
    sealed = given.wrapped(SHOP, {**papers, "crl": owner.crl}, owner.gateways["east"])["envelope"]
    certificate = pki.load_certificate(papers["certificate"], "certificate")
    assert wrapping.unwrap(sealed, wrapping.own_key(owner.gateways["east"]), certificate) == papers["key"].encode()
    assert given.wrapped("store.example.com", {**papers, "identity": SHOP}, owner.gateways["east"])["envelope"] != sealed
    assert given.wrapped("store.example.com", {**papers, "identity": f"CN={SHOP}"}, owner.gateways["east"])


def test_what_cannot_be_used_is_refused_in_one_sentence_that_shows_none_of_it(owner):
    shop, blog = owner.papers["shop"], owner.papers["blog"]
    for wrong, words in (
        ({}, "Neither a pre-shared key nor a certificate is given for shop.example.com"),
        ({**shop, "psk": PSK}, "Both a pre-shared key and a certificate are given for shop.example.com"),
        ({"psk": PSK, "crl": owner.crl}, "Both a pre-shared key and a certificate"),
        ({"psk": "too short"}, "too easy to guess"),
        ({"psk": PSK, "identity": "*"}, "The identity of the tunnel of shop.example.com is '\\*'"),
        ({**shop, "key": None}, "The key is missing"),
        ({**shop, "authority": None}, "The authority is missing"),
        ({"key": shop["key"]}, "The certificate is missing"),
        (blog, "is for blog.example.com and CN=blog.example.com, not for shop.example.com"),
        ({**shop, "key": blog["key"]}, "not that of its certificate"),
        ({**shop, "key": "nonsense"}, "no unencrypted private key in PEM"),
        ({**shop, "authority": "nonsense"}, "exactly one X.509 certificate"),
        ({**shop, "crl": "nonsense"}, "revocation list"),
    ):
        with pytest.raises(MeshError, match=words) as caught:
            given.wrapped(SHOP, wrong, owner.gateways["east"])
        assert "\n" not in caught.value.message and not any(str(value) in caught.value.message for part, value in wrong.items() if part != "identity" and value)


def test_a_gateway_without_a_wrapping_key_can_take_nothing(tmp_path):
    with pytest.raises(NotFound, match="no wrapping key"):
        given.wrapped(SHOP, {"psk": PSK}, str(tmp_path))
    with pytest.raises(InvalidInput, match="not a domain"):
        given.wrapped("shop", {"psk": PSK}, str(tmp_path))
