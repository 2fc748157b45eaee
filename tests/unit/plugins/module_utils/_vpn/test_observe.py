# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as up."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.observe import missing


class Daemon:
    """A daemon with one IKE_SA."""

    def __init__(self, spi, state="ESTABLISHED", child="INSTALLED"):
        children = {"shop-1-1": {"name": "shop-1", "state": child}}
        self.shown = [{"connection": "shop", "initiator-spi": spi, "state": state, "child-sas": children}]

    def tunnels(self):
        return self.shown


WANTED = {"shop": {"remote_addrs": ["198.18.0.3"], "children": {"shop-1": {}}}}


def test_what_is_installed_is_up():
    assert missing(Daemon("aa"), WANTED) == []
    assert missing(Daemon("aa", child="DELETING"), WANTED) == [("shop", "shop-1")]


def test_what_has_been_replaced_is_not_up_however_it_looks():
    assert missing(Daemon("aa"), WANTED, replaced={"aa"}) == [("shop", "shop-1")]
    assert missing(Daemon("bb"), WANTED, replaced={"aa"}) == []
