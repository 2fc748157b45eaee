# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Packet marks by which rules of different engines understand each other; they never leave their network namespace."""

from __future__ import annotations

#: "vpn": the tunnels' rules let it through, so the domain router's do. Guests cannot set marks.
VPN = 0x76706E
