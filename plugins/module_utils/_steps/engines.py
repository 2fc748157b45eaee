# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Have the engines on this device as one archive."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome


def install(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Install the archive with the digest C(sha256) as C(path) out of the file C(source), or say that it is C(missing) here.

    Without a digest it is the archive that these engines came in.
    """
    path, sha256 = arguments.get("path") or archive.PATH, arguments.get("sha256") or archive.origin()
    done = archive.install(path, sha256, arguments.get("source"), check)
    return Outcome(done.changed, {"engines": done.before}, {"engines": sha256}, {"path": path, "missing": done.missing})
