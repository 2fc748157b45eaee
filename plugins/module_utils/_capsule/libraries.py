# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The third-party libraries of this engine, named in one place so that a module can say which one is missing."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.lazy import Lazy

jsonschema, netaddr, zstandard = Lazy("jsonschema"), Lazy("netaddr"), Lazy("zstandard")

#: (name, why it cannot be imported or None) of each.
LIBRARIES = tuple((library.name, library.problem) for library in (jsonschema, netaddr, zstandard))
