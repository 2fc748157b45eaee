# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The library of this engine, imported in one place so that its lack can be said in one sentence."""

from __future__ import annotations

import traceback

__all__ = ["LIBRARIES", "dns"]

DNSPYTHON_ERROR = None
try:
    import dns.edns
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdata
    import dns.rdataclass
    import dns.rdataset
    import dns.rdatatype
    import dns.tsig
    import dns.update  # noqa: F401
except ImportError:
    dns = None
    DNSPYTHON_ERROR = traceback.format_exc()

#: Name of each library and the traceback of its import, None if it can be used.
LIBRARIES = (("dnspython", DNSPYTHON_ERROR),)
