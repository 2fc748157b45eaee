# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frame that announces an address, byte by byte (RFC 826, RFC 5227)."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.announce import frame

MAC = bytes.fromhex("02766d000001")


def test_a_request_asks_for_the_address_that_it_announces():
    assert frame(MAC, "198.18.1.1", 1).hex() == "ffffffffffff" + "02766d000001" + "0806" + "0001080006040001" + "02766d000001c6120101" + "000000000000c6120101"


def test_a_reply_carries_the_mac_on_both_sides():
    assert frame(MAC, "198.18.1.1", 2).hex() == "ffffffffffff" + "02766d000001" + "0806" + "0001080006040002" + "02766d000001c6120101" + "02766d000001c6120101"
