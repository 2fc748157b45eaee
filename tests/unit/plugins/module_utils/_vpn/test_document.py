# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tunnels and responders may say, and what the IKE daemon is told of it."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, certificates, connection, observe, plan, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import RESPONDER, checked_responder, checked_tunnel, intranet_address
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.keeper import superseded

DOMAIN = "example.com"


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """A tunnel and a responder, with real certificates."""
    home = tmp_path_factory.mktemp("documents")
    root = authority.present(DOMAIN, 3650, 365, str(home)).result
    reader = wrapping.ensure_key(str(home / "gateway"))[1]
    shop, vpn = (certificates.present(f"{name}.{DOMAIN}", 90, 30, recipients=[reader], directory=str(home)).result for name in ("shop", "vpn"))
    tunnel = {
        "domain": DOMAIN,
        "service": "shop",
        "local": {"address": "198.18.1.1", "certificate": shop["certificate"], "envelope": next(iter(shop["envelopes"].values()))},
        "peer": {"address": "198.18.0.3", "identity": f"vpn.{DOMAIN}", "authority": root["certificate"], "crl": root["crl"]},
        "mappings": [
            {"instance": f"shop-{number}.{DOMAIN}", "fabric_address": f"192.168.1.{number}", "intranet_address": f"172.21.0.{number}"}
            for number in (2, 1)
        ],
        "backends": [{"address": "172.21.9.1", "ports": [{"protocol": "tcp", "port": 5432}, {"protocol": "icmp"}]}],
    }
    sealed = wrapping.wrap(b"Open the door to nobody who asks", reader, f"shop.{DOMAIN}", None)
    shared = {
        **tunnel,
        "local": {"address": "198.18.1.1", "identity": "shop@example.com", "envelope": sealed},
        "peer": {"address": "198.18.0.6", "identity": "keyid:#0A0B"},
    }
    responder = {
        "domain": DOMAIN,
        "local": {"address": "198.18.0.3", "identity": f"vpn.{DOMAIN}", "certificate": vpn["certificate"], "key": vpn["key_path"]},
        "authority": root["certificate"],
        "backends": ["172.21.9.1"],
        "services": [{"name": "shop", "addresses": ["172.21.0.1", "172.21.0.8/30"]}],
    }
    return {"tunnel": tunnel, "shared": shared, "responder": responder, "vpn": vpn["certificate"], "reader": reader}


def changed(document, path, value):
    found = copy.deepcopy(document)
    *way, last = path
    inner = found
    for step in way:
        inner = inner[step]
    inner[last] = value
    return found


def test_the_canonical_form_of_a_canonical_form_is_itself(documents):
    tunnel, shared, responder = checked_tunnel(documents["tunnel"]), checked_tunnel(documents["shared"]), checked_responder(documents["responder"])
    assert checked_tunnel(shared) == shared and (shared["local"]["certificate"], shared["peer"]["authority"], shared["peer"]["crl"]) == (None, None, None)
    assert "identity" not in tunnel["local"]
    assert "identity" not in checked_tunnel(changed(documents["tunnel"], ("local", "identity"), f"shop.{DOMAIN}"))["local"]
    assert checked_tunnel(changed(documents["tunnel"], ("local", "identity"), f"CN=shop.{DOMAIN}"))["local"]["identity"] == f"CN=shop.{DOMAIN}"
    assert checked_tunnel(tunnel) == tunnel and [one["instance"] for one in tunnel["mappings"]] == [f"shop-1.{DOMAIN}", f"shop-2.{DOMAIN}"]
    assert checked_responder(responder) == responder
    assert responder["services"][0]["addresses"] == ["172.21.0.1", "172.21.0.8", "172.21.0.9", "172.21.0.10", "172.21.0.11"]


@pytest.mark.parametrize(
    "path, value, words",
    [
        (("domain",), "example", "not a domain"),
        (("service",), "Shop", "service"),
        (("extra",), 1, "has no 'extra'"),
        (("backends",), [], "no back-end"),
        (("backends", 0, "address"), "172.21.0.1", "address of the tunnel's end or of an instance"),
        (("backends", 0, "address"), "198.18.0.3", "address of the tunnel's end or of an instance"),
        (("backends", 0, "address"), "10.0.0.0/8", "not an IPv4 address"),
        (("backends", 0, "ports"), [], "declares no port"),
        (("backends", 0, "ports", 0, "port"), 65536, "not a port"),
        (("backends", 0, "ports", 0, "protocol"), "gre", "tcp, udp or icmp"),
        (("backends", 0, "ports", 1, "port"), 8, "icmp, which has none"),
        (("mappings", 0, "instance"), "blog-1.example.com", "no instance of shop"),
        (("mappings", 0, "intranet_address"), "172.21.0.1", "there twice"),
        (("mappings", 0, "fabric_address"), "192.168.1.1; drop", "not an IPv4 address"),
        (("local", "key"), "/etc/shop.key", "either the path"),
        (("local", "envelope"), None, "either the path"),
        (("local", "certificate"), "nonsense", "exactly one X.509"),
        (("local", "certificate"), None, "holds the key of a certificate, which is missing"),
        (("local", "identity"), "*", "The identity of the tunnel of shop.example.com is '\\*', which is none"),
        (("local", "identity"), "shop@example.com", "is for shop.example.com and CN=shop.example.com, not for shop@example.com"),
        (("local", "identity"), "keyid:shop", "not for keyid:shop"),
        (("peer", "identity"), "*", "The identity of the peer of the tunnel of shop.example.com is '\\*', which is none"),
        (("peer", "identity"), "%any", "which is none"),
        (("peer", "authority"), "", "lacks the certificate of its authority"),
        (("peer", "authority"), "nonsense", "exactly one X.509"),
        (("peer", "crl"), "nonsense", "revocation list"),
    ],
)
def test_what_a_tunnel_cannot_say(documents, path, value, words):
    with pytest.raises(InvalidInput, match=words):
        checked_tunnel(changed(documents["tunnel"], path, value))


def test_a_certificate_must_be_for_the_service(documents):
    with pytest.raises(InvalidInput, match="is for vpn.example.com"):
        checked_tunnel(changed(documents["tunnel"], ("local", "certificate"), documents["vpn"]))


def test_what_a_tunnel_by_a_pre_shared_key_cannot_say(documents):
    shared, tunnel = documents["shared"], documents["tunnel"]
    for wrong, words in (
        (changed(shared, ("local", "envelope"), None), "has neither a certificate with its key nor an envelope of a pre-shared key"),
        (changed(shared, ("local", "certificate"), tunnel["local"]["certificate"]), "not for shop@example.com"),
        (changed(tunnel, ("local", "envelope"), shared["local"]["envelope"]), "both a certificate and a pre-shared key for shop.example.com"),
        (changed(shared, ("peer", "authority"), tunnel["peer"]["authority"]), "shows by a pre-shared key who it is, so an authority .* leave them out"),
        (changed(shared, ("peer", "crl"), tunnel["peer"]["crl"]), "shows by a pre-shared key who it is"),
        (changed(shared, ("service",), "blog"), "does not hold the key of blog.example.com"),
        (changed(shared, ("local", "key"), "/etc/shop.psk"), "does not hold the key"),
        (changed(shared, ("local", "envelope"), "nonsense"), "vmatrix.mesh.vpn_secret"),
    ):
        if wrong["service"] == "blog":
            wrong["mappings"] = []
        with pytest.raises(InvalidInput, match=words):
            checked_tunnel(wrong)


def test_a_pre_shared_key_is_in_no_connection_and_another_one_has_another_name(documents):
    one = checked_tunnel(documents["shared"])
    sealed = wrapping.wrap(b"Open the door to whoever asks...", documents["reader"], f"shop.{DOMAIN}", None)
    other = checked_tunnel(changed(documents["shared"], ("local", "envelope"), sealed))
    first, second = (plan.of({"shop": each}, False) for each in (one, other))
    assert first.connections == second.connections
    assert first.connections["shop"]["local"] == {"auth": "psk", "id": "shop@example.com"}
    assert first.connections["shop"]["remote"] == {"auth": "psk", "id": "keyid:#0a0b"}
    assert set(first.shared.values()) == set(second.shared.values()) == {"shop"} and not set(first.shared) & set(second.shared)
    assert set(first.locals) == set(first.shared) and (first.certificates, first.crls) == (set(), [])
    assert connection.expected(first.connections["shop"])["remote"] == "0a:0b"
    assert connection.expected(first.connections["shop"])["classes"] == ["pre-shared key", "pre-shared key"]


@pytest.mark.parametrize(
    "path, value, words",
    [
        (("backends",), [], "no back-end"),
        (("services", 0, "addresses"), ["10.0.0.0/8"], "more than 256"),
        (("services", 0, "addresses"), [], "no intranet address"),
        (("services", 0, "addresses"), ["172.21.9.1"], "there twice"),
        (("local", "key"), "shop.key", "absolute path"),
        (("local", "identity"), "other.example.com", "is for vpn.example.com"),
    ],
)
def test_what_a_responder_cannot_say(documents, path, value, words):
    with pytest.raises(InvalidInput, match=words):
        checked_responder(changed(documents["responder"], path, value))


def test_both_ends_agree_on_what_may_pass(documents):
    for kernel in (False, True):
        gateway = plan.of({"shop": checked_tunnel(documents["tunnel"])}, kernel).connections["shop"]
        owner = plan.of({RESPONDER: checked_responder(documents["responder"])}, kernel).connections["shop"]
        assert gateway["remote"]["id"] == owner["local"]["id"] and owner["remote"]["id"] == gateway["local"]["id"]
        assert gateway["children"]["shop-1"]["local_ts"] == ["172.21.0.1/32"] and owner["children"]["intranet"]["remote_ts"] == [
            "172.21.0.1/32",
            "172.21.0.8/30",
        ]
        assert gateway["children"]["shop-1"]["remote_ts"] == owner["children"]["intranet"]["local_ts"] == ["172.21.9.1/32"]
        assert ("if_id_in" in gateway["children"]["shop-1"]) == kernel
        assert (gateway["remote"]["revocation"], owner["remote"]["revocation"]) == ("strict", "relaxed")


def test_a_responder_speaks_for_intranet_addresses_among_its_neighbours(documents):
    responder = {RESPONDER: checked_responder(documents["responder"])}
    links = plan.of(responder, False, [("wan0", "198.18.0.3/16"), ("lan0", "172.21.0.254/29"), ("lan1", "172.21.9.1/24")]).links
    assert links.proxies == links.shown == frozenset()
    assert plan.of(responder, False, [("lan0", "172.21.0.5/29")]).links.proxies == {("lan0", "172.21.0.1")}
    assert plan.of(responder, False, []).links.shown == {"172.21.9.1"} and plan.of(responder, True, []).links.shown == frozenset()


def test_what_is_shown_holds_no_secret(documents):
    shared = observe.outline(checked_tunnel(documents["shared"]))
    assert documents["shared"]["local"]["envelope"] not in repr(shared) and shared["local"]["shared"].startswith(plan.PRE_SHARED)
    text = repr([observe.outline(checked_tunnel(documents["tunnel"])), shared, observe.outline(checked_responder(documents["responder"]))])
    assert "BEGIN" not in text and documents["tunnel"]["local"]["envelope"] not in text and "envelope" not in text


@given(st.integers(1, 9999))
def test_an_instance_has_the_intranet_address_of_its_ordinal(ordinal):
    pool = ["172.21.162.9", "172.21.162.16/28"]
    if ordinal > 17:
        with pytest.raises(InvalidInput, match="ends after 17"):
            intranet_address(f"shop-{ordinal}.{DOMAIN}", pool)
    else:
        assert intranet_address(f"shop-{ordinal}.{DOMAIN}", pool) == ("172.21.162.9" if ordinal == 1 else f"172.21.162.{ordinal + 14}")


def test_only_a_newer_call_from_the_same_place_replaces_one():
    def sa(number, host, connection_name="shop", state="ESTABLISHED", **more):
        return {"uniqueid": str(number), "connection": connection_name, "remote-host": host, "state": state, **more}

    east, west = "198.18.1.1", "198.18.2.1"
    assert superseded([sa(1, east), sa(2, west), sa(10, east), sa(3, east, "blog")]) == ["1"]
    assert superseded([sa(1, east), sa(2, east, state="CONNECTING")]) == []
    assert superseded([sa(1, east, initiator="yes"), sa(2, east, initiator="yes")]) == []
    assert connection.child(f"shop-12.{DOMAIN}") == "shop-12"
