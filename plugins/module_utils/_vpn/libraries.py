# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The third-party libraries of this engine, imported in one place so that a module can say which one is missing."""

from __future__ import annotations

import traceback

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound

__all__ = ("CRYPTOGRAPHY", "LIBRARIES", "VICI", "cryptography", "require", "vici")

CRYPTOGRAPHY_ERROR = None
try:
    import cryptography
    import cryptography.exceptions
    import cryptography.x509
    import cryptography.hazmat.primitives.asymmetric.ec
    import cryptography.hazmat.primitives.asymmetric.x25519
    import cryptography.hazmat.primitives.ciphers.aead
    import cryptography.hazmat.primitives.hashes
    import cryptography.hazmat.primitives.kdf.hkdf
    import cryptography.hazmat.primitives.serialization  # noqa: F401
except ImportError:
    cryptography = None
    CRYPTOGRAPHY_ERROR = traceback.format_exc()

VICI_ERROR = None
try:
    import vici
    import vici.exception  # noqa: F401
except ImportError:
    vici = None
    VICI_ERROR = traceback.format_exc()

#: (name, traceback of the failed import or None) of each: what certificates need, and what tunnels need.
CRYPTOGRAPHY = ("cryptography", CRYPTOGRAPHY_ERROR)
VICI = ("vici", VICI_ERROR)
LIBRARIES = (CRYPTOGRAPHY, VICI)


def require() -> None:
    """Raise NotFound when one of them is missing, for those who need them only now and then."""
    for name, error in LIBRARIES:
        if error is not None:
            raise NotFound(f"This gateway lacks {name}, without which it can have no tunnel; the role vpn installs it.")
