# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an owner's VPN gateway proposes for its tunnels, where that is not what ours do: the algorithms of IKE and of ESP, as strongSwan writes them."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

Proposals = t.Dict[str, t.List[str]]

#: What is as usual (RFC 8247, RFC 8221).
USUAL: Proposals = {"ike": ["aes128gcm16-prfsha256-ecp256"], "esp": ["aes128gcm16-ecp256"]}
#: What no tunnel is worth: broken, or no encryption at all (RFC 8247 section 2, RFC 8221 section 5).
BROKEN = re.compile(r"des|blowfish\d*|null|md5(_128)?|prfmd5|modp(768|1024|1024s160)|aes(128|192|256)?gmac")
#: How many there may be of each kind, and how long one may be.
MOST, LONGEST = 8, 128


def checked(whose: str, value: t.Mapping[str, t.Any] | None) -> Proposals:
    """Return proposals without what is as usual, or not said.

    Args:
        whose: whose they are, such as "VPN gateway of example.com".
        value: C(ike) and C(esp), each a list such as C([aes256-sha256-modp2048]), the one that is liked best first.

    Raises:
        InvalidInput: one cannot be a proposal, or is a broken one, or there are none or too many.
    """
    found = {}
    for kind, proposals in (value or {}).items():
        if kind not in USUAL:
            raise InvalidInput(f"The {whose} has proposals for ike and esp, not for {kind!r}.")
        if proposals is None:
            continue
        if not isinstance(proposals, list) or not 1 <= len(proposals) <= MOST:
            raise InvalidInput(f"The {kind} proposals of the {whose} must be a list of 1 to {MOST}, such as [aes256-sha256-modp2048].")
        for proposal in proposals:
            if not isinstance(proposal, str) or len(proposal) > LONGEST or not re.fullmatch(r"[a-z0-9_]+(-[a-z0-9_]+)*", proposal):
                raise InvalidInput(
                    f"{proposal!r} is no {kind} proposal of the {whose}: it must be algorithms with - between them, such as aes256-sha256-modp2048."
                )
            broken = [algorithm for algorithm in proposal.split("-") if BROKEN.fullmatch(algorithm)]
            if broken:
                raise InvalidInput(f"The {kind} proposal {proposal} of the {whose} has {broken[0]}, which protects nothing (RFC 8247, RFC 8221).")
        found[kind] = list(proposals)
    return {kind: proposals for kind, proposals in found.items() if proposals != USUAL[kind]}
