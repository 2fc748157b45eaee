# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway that tests of domain routers act on."""

from __future__ import annotations

from gateway_net import mesh, net

__all__ = ["mesh", "net"]
