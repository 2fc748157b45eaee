# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Keep the certificate authority of an owner on this device, and the certificates that it issues."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority as authorities
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import certificates
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import CRYPTOGRAPHY

LIBRARIES = (CRYPTOGRAPHY,)

#: What is usual.
USUAL: t.Mapping[str, t.Any] = {"crl_days": 365, "directory": authorities.DIRECTORY, "renew": False, "recipients": ()}
DAYS = ("days", "renew_before", "crl_days")


def authority(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make sure that there is the authority of a C(domain), for C(days), with a revocation list for C(crl_days), in C(directory)."""
    wanted = _numbers({**USUAL, **given(arguments)})
    return Outcome(*authorities.present(wanted["domain"], wanted["days"], wanted["crl_days"], wanted["directory"], check))


def certificate(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Issue, renew or (C(state) absent) revoke the certificate of a C(name), as the arguments say, which are those of the module C(vpn_certificate)."""
    wanted = _numbers({**USUAL, **given(arguments)})
    if wanted.get("state") == "absent":
        return Outcome(*certificates.absent(wanted["name"], wanted["crl_days"], wanted["directory"], check))
    options = [wanted[key] for key in ("name", "days", "renew_before", "renew", "recipients", "directory")]
    return Outcome(*certificates.present(*options, check))


def _numbers(wanted: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the same with numbers of days as numbers: what comes out of a template may be text."""
    return {key: int(value) if key in DAYS else value for key, value in wanted.items()}
