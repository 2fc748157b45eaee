# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an owner's VPN gateway may propose."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import proposals
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

OTHERS = {"ike": ["aes256-sha256-modp2048", "aes256gcm16-prfsha384-ecp384"], "esp": ["aes256-sha256"]}


def test_only_what_is_not_as_usual_is_kept():
    assert proposals.checked("peer", OTHERS) == OTHERS
    assert proposals.checked("peer", None) == proposals.checked("peer", {"ike": None, "esp": None}) == proposals.checked("peer", proposals.USUAL) == {}
    assert proposals.checked("peer", {**OTHERS, "esp": proposals.USUAL["esp"]}) == {"ike": OTHERS["ike"]}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"ah": ["sha256"]}, "The peer has proposals for ike and esp, not for 'ah'."),
        ({"ike": []}, "The ike proposals of the peer must be a list of 1 to 8, such as [aes256-sha256-modp2048]."),
        ({"ike": "aes256"}, "The ike proposals of the peer must be a list of 1 to 8, such as [aes256-sha256-modp2048]."),
        (
            {"esp": ["AES256/SHA1"]},
            "'AES256/SHA1' is no esp proposal of the peer: it must be algorithms with - between them, such as aes256-sha256-modp2048.",
        ),
        ({"esp": ["a" * 129]}, f"'{'a' * 129}' is no esp proposal of the peer: it must be algorithms with - between them, such as aes256-sha256-modp2048."),
    ],
)
def test_what_is_no_proposal(wanted, sentence):
    with pytest.raises(InvalidInput) as caught:
        proposals.checked("peer", wanted)
    assert caught.value.message == sentence


@pytest.mark.parametrize(
    ("kind", "proposal", "broken"),
    [
        ("ike", "des-sha1-modp2048", "des"),
        ("ike", "aes128-md5-modp2048", "md5"),
        ("ike", "aes128-sha256-modp1024", "modp1024"),
        ("esp", "null-sha256", "null"),
        ("esp", "aes128gmac", "aes128gmac"),
        ("esp", "blowfish128-sha256", "blowfish128"),
    ],
)
def test_what_protects_nothing_is_refused(kind, proposal, broken):
    with pytest.raises(InvalidInput) as caught:
        proposals.checked("peer", {kind: ["aes256-sha256-modp2048", proposal]})
    assert caught.value.message == f"The {kind} proposal {proposal} of the peer has {broken}, which protects nothing (RFC 8247, RFC 8221)."
