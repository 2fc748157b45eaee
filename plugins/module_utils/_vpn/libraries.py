# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The third-party libraries of this engine, named in one place so that a module can say which one is missing."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.lazy import Lazy

cryptography = Lazy(
    "cryptography",
    "exceptions",
    "x509",
    "hazmat.primitives.asymmetric.ec",
    "hazmat.primitives.asymmetric.x25519",
    "hazmat.primitives.ciphers.aead",
    "hazmat.primitives.hashes",
    "hazmat.primitives.kdf.hkdf",
    "hazmat.primitives.serialization",
)
vici = Lazy("vici", "exception")

#: (name, why it cannot be imported or None) of each: what certificates need, and what tunnels need.
CRYPTOGRAPHY = (cryptography.name, cryptography.problem)
VICI = (vici.name, vici.problem)
LIBRARIES = (CRYPTOGRAPHY, VICI)


def require() -> None:
    """Raise NotFound when one of them is missing, for those who need them only now and then."""
    for name, error in LIBRARIES:
        if error is not None:
            raise NotFound(f"This gateway lacks {name}, without which it can have no tunnel; the role vpn installs it.")
