# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience


def test_it_grows_with_the_memory_unless_somebody_says_how_long():
    assert (patience(0), patience(16 << 10), patience(16 << 10, 5.0), patience(1024, None, 300.0, 4)) == (60.0, 380.0, 5.0, 380.0)
