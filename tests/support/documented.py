# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of docs/vpn.md, for tests that use them as they stand."""

from __future__ import annotations

import re

from mesh_lab import ROOT


def example(chapter: str, file: str) -> str:
    """Return the file that a chapter of the page shows; the comment in its first line says how it is called."""
    page = (ROOT / "docs" / "vpn.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0]
    found = re.findall(rf"```[a-z]+\n(# {re.escape(file)}\b.*?)```\n", text, re.S)
    assert len(found) == 1, f"docs/vpn.md: {chapter}: {file}"
    return found[0]
