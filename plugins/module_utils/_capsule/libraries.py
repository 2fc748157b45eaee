# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The third-party libraries of this engine, imported in one place so that a module can say which one is missing."""

from __future__ import annotations

import traceback

__all__ = ("LIBRARIES", "jsonschema", "netaddr", "zstandard")

JSONSCHEMA_ERROR = None
try:
    import jsonschema
except ImportError:
    jsonschema = None
    JSONSCHEMA_ERROR = traceback.format_exc()

NETADDR_ERROR = None
try:
    import netaddr
except ImportError:
    netaddr = None
    NETADDR_ERROR = traceback.format_exc()

ZSTANDARD_ERROR = None
try:
    import zstandard
except ImportError:
    zstandard = None
    ZSTANDARD_ERROR = traceback.format_exc()

#: (name, traceback of the failed import or None) of each.
LIBRARIES = (("jsonschema", JSONSCHEMA_ERROR), ("netaddr", NETADDR_ERROR), ("zstandard", ZSTANDARD_ERROR))
