# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading the kernel's connection tracking, as conntrack 1.4.7 prints it."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.connections import Connection, parse

LISTING = """<?xml version="1.0" encoding="utf-8"?>
<conntrack>
<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>198.18.0.2</src><dst>198.18.7.1</dst></layer3>\
<layer4 protonum="6" protoname="tcp"><sport>43570</sport><dport>80</dport></layer4></meta>\
<meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>192.168.1.11</src><dst>198.18.0.2</dst></layer3>\
<layer4 protonum="6" protoname="tcp"><sport>80</sport><dport>43570</dport></layer4></meta>\
<meta direction="independent"><state>ESTABLISHED</state><timeout>431999</timeout><mark>0</mark><use>1</use><id>12</id><assured/></meta></flow>
</conntrack>
"""


def test_a_connection_says_whom_the_caller_meant_and_who_serves_it():
    assert parse(LISTING) == [Connection("tcp", "198.18.7.1", 80, "192.168.1.11")]


@pytest.mark.parametrize("nothing", ["", "\n", '<?xml version="1.0" encoding="utf-8"?>\n<conntrack>\n</conntrack>\n'])
def test_no_connections_are_no_error(nothing):
    assert parse(nothing) == []


@pytest.mark.parametrize(
    ("state", "lives"), [("SYN_RECV", 0), ("ESTABLISHED", 1), ("FIN_WAIT", 1), ("CLOSE_WAIT", 1), ("LAST_ACK", 1), ("TIME_WAIT", 0), ("CLOSE", 0)]
)
def test_a_connection_lives_until_both_sides_have_closed_it(state, lives):
    assert len(parse(LISTING.replace("ESTABLISHED", state))) == lives
