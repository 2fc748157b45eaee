# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The libraries of this engine, imported in one place so that their lack can be said in one sentence."""

from __future__ import annotations

import traceback

__all__ = ["LIBRARIES", "netaddr", "sa"]

SQLALCHEMY_ERROR = None
NETADDR_ERROR = None

try:
    import sqlalchemy as sa
except ImportError:
    sa = None
    SQLALCHEMY_ERROR = traceback.format_exc()

try:
    import netaddr
except ImportError:
    netaddr = None
    NETADDR_ERROR = traceback.format_exc()

#: Name of each library and the traceback of its import, None if it can be used.
LIBRARIES = (("sqlalchemy", SQLALCHEMY_ERROR), ("netaddr", NETADDR_ERROR))
