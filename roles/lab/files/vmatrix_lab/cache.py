# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is built or fetched once: the hosts' root file system, the guests' images and wheels from PyPI, side by side."""

from __future__ import annotations

import concurrent.futures
import typing as t

from vmatrix_lab import images, root, wheels


def build(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Make what the cache lacks of what *document* describes; returns {changed, root: path, images: [paths], wheels: [paths]}."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        parts = [future.result() for future in [pool.submit(part, document, check) for part in (root.build, images.build, wheels.fetch)]]
    return {**parts[0], **parts[1], **parts[2], "changed": any(part["changed"] for part in parts)}
