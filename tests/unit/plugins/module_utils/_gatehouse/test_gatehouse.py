# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tunnels a router document asks for, and what becomes of both engines' rules in one namespace."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import marks
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._gatehouse import gatehouse
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import rules as router_rules
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import certificates, authority, rules, wrapping

MAPPING = {"instance": "shop-1.example.com", "fabric_address": "192.168.1.10", "intranet_address": "172.21.162.9"}
SHOP = {"name": "shop", "public_address": "198.18.1.1", "ports": [{"protocol": "tcp", "port": 80}], "members": []}
DOCUMENT = {"domain": "example.com", "vlan": 101, "generation": 3, "gateways": ["192.168.1.1/24"], "services": [SHOP]}


class Parcels(list):
    """Parcels, with where their gateway's wrapping key lies, and its public half."""


@pytest.fixture(scope="module")
def parcels(tmp_path_factory):
    """What two capsules of the shop, with different certificates, hold for a gateway."""
    home = tmp_path_factory.mktemp("pki")
    directory = str(home / "authority")
    root = authority.present("example.com", 3650, 365, directory).result
    reader = wrapping.ensure_key(str(home / "gateway"))[1]
    found = Parcels()
    found.gateway, found.reader = str(home / "gateway"), reader
    for renew in (False, True):
        issued = certificates.present("shop.example.com", 90, 30, renew, [reader], directory).result
        peer = {"address": "198.18.0.3", "identity": "vpn.example.com", "authority": root["certificate"], "crl": root["crl"]}
        ends = {"service": "shop", "certificate": issued["certificate"], "envelope": next(iter(issued["envelopes"].values()))}
        found.append({**ends, "peer": peer, "backends": [{"address": "172.21.162.10", "ports": [{"protocol": "tcp", "port": 5432}]}], "inbound": []})
    return found


def tunnels(mappings, parcels=(), known=(), directory=""):
    return gatehouse._tunnels(DOCUMENT, mappings, {parcel["service"]: parcel for parcel in parcels}, {one["service"]: one for one in known}, directory)


def test_a_tunnel_begins_at_the_public_address_with_what_was_brought(parcels):
    (made,) = tunnels({"shop": [MAPPING]}, parcels[:1])
    assert made["local"] == {"address": "198.18.1.1", "certificate": parcels[0]["certificate"], "envelope": parcels[0]["envelope"]}
    assert (made["domain"], made["service"], made["mappings"]) == ("example.com", "shop", [MAPPING])
    assert made["peer"] == parcels[0]["peer"] and made["backends"] == parcels[0]["backends"]


def test_what_was_brought_once_is_enough(parcels):
    (made,) = tunnels({"shop": []}, parcels[:1])
    (later,) = tunnels({"shop": [MAPPING]}, known=[made])
    assert later == {**made, "mappings": [MAPPING]}


def test_a_certificate_that_is_there_keeps_its_key_and_another_takes_its_place(parcels):
    (made,) = tunnels({"shop": [MAPPING]}, parcels[:1])
    assert tunnels({"shop": [MAPPING]}, [{**parcels[0], "envelope": "another"}], [made]) == [made]
    (renewed,) = tunnels({"shop": [MAPPING]}, parcels[1:], [made])
    assert renewed["local"]["certificate"] == parcels[1]["certificate"] and renewed["local"]["envelope"] == parcels[1]["envelope"]


def test_a_pre_shared_key_that_is_there_keeps_its_envelope_and_another_takes_its_place(parcels):
    """Each envelope of the same key is another one where another gateway has made it."""
    one, same, other = (
        {**parcels[0], "certificate": None, "identity": "shop@example.com", "envelope": wrapping.wrap(key, parcels.reader, "shop.example.com", None)}
        for key in (b"Open the door to nobody who asks", b"Open the door to nobody who asks", b"Open the door to whoever asks...")
    )
    (made,) = tunnels({"shop": [MAPPING]}, [one], directory=parcels.gateway)
    assert made["local"] == {"address": "198.18.1.1", "identity": "shop@example.com", "envelope": one["envelope"]}
    assert tunnels({"shop": [MAPPING]}, [same], [made], parcels.gateway) == [made]
    (renewed,) = tunnels({"shop": [MAPPING]}, [other], [made], parcels.gateway)
    assert renewed == {**made, "local": {**made["local"], "envelope": other["envelope"]}}
    (renamed,) = tunnels({"shop": [MAPPING]}, [{**same, "identity": None}], [made], parcels.gateway)
    assert renamed["local"] == {"address": "198.18.1.1", "envelope": one["envelope"]}
    (certified,) = tunnels({"shop": [MAPPING]}, parcels[:1], [made], parcels.gateway)
    assert certified["local"]["certificate"] == parcels[0]["certificate"]


def test_a_service_that_is_gone_or_has_no_tunnel_gets_none(parcels):
    (made,) = tunnels({"shop": [MAPPING]}, parcels[:1])
    assert tunnels({}, known=[made]) == []
    assert tunnels({"shop": []}) == []


def test_nobody_is_published_without_the_tunnel_that_is_meant():
    with pytest.raises(NotFound, match="The certificate or pre-shared key of shop.example.com is not on this gateway"):
        tunnels({"shop": [MAPPING]})


def test_the_routers_rules_let_through_what_the_tunnels_rules_have_marked():
    text = router_rules.render(DOCUMENT)
    assert text.count(f"meta mark {marks.VPN:#x} accept") == 2
    assert "flush ruleset" not in text and router_rules.TABLE != rules.TABLE
    assert (router_rules.INSIDE, router_rules.OUTSIDE) == (rules.INSIDE, rules.OUTSIDE)
