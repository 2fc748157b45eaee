# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the ends of a tunnel may call themselves. That strongSwan writes it so, a real one shows in _vpn/test_stranger_network.py."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import identities
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput


@pytest.mark.parametrize(
    "value, canonical, shown",
    [
        ("vpn.example.com", "vpn.example.com", "vpn.example.com"),
        ("VPN-GW_1", "VPN-GW_1", "VPN-GW_1"),
        ("store@example.com", "store@example.com", "store@example.com"),
        ("203.0.113.9", "203.0.113.9", "203.0.113.9"),
        ("192.168.1.1", "192.168.1.1", "192.168.1.1"),
        ("C=DE,O = Example Ltd. (West),  CN=vpn", "C=DE, O=Example Ltd. (West), CN=vpn", "C=DE, O=Example Ltd. (West), CN=vpn"),
        ("keyid:store-17", "keyid:store-17", "store-17"),
        ("keyid:#0A0b", "keyid:#0a0b", "0a:0b"),
        ("keyid:#4142", "keyid:#4142", "AB"),
    ],
)
def test_every_form_has_one_way_to_be_written(value, canonical, shown):
    assert identities.checked("peer", value) == canonical == identities.checked("peer", canonical)
    assert identities.shown(canonical) == shown


@pytest.mark.parametrize(
    "value",
    [
        *("", "*", "%any", "%any4", "*.example.com", "*@example.com", "0.0.0.0", "224.0.0.1", "203.0.113.999", "1.2.3", "::1", "@example.com", "@#0a0b"),
        *("vpn example", "vpn.example.com\n", "vpn..example.com", "-vpn", "a@b@c", "C=DE, O=*", "O=A/B", "O=", "X=1", "CN=a+O=b", "CN=a,", "emailAddress=a@b"),
        *("keyid:", "keyid:#", "keyid:#0", "keyid:#xy", "keyid:a b", "fqdn:vpn.example.com", "asn1dn:CN=a", "x" * 254, None, 17, ["vpn.example.com"]),
    ],
)
def test_what_is_none_or_stands_for_anybody_is_refused_in_one_sentence(value):
    with pytest.raises(InvalidInput, match=r"The identity of the peer is .*, which .*\.") as caught:
        identities.checked("peer", value)
    assert "\n" not in caught.value.message
