# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which ports services and tunnels can declare."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

WEB, DOMAIN = {"protocol": "tcp", "port": 80}, {"protocol": "udp", "port": 53}
ECHO = {"protocol": "icmp", "port": None}


def test_they_are_sorted():
    assert ports.checked("service shop", [DOMAIN, WEB]) == [WEB, DOMAIN]
    assert ports.checked("tunnel", [WEB, {"protocol": "icmp"}], ports.TUNNELED) == [ECHO, WEB]
    assert ports.checked("tunnel", [], ports.TUNNELED, least=0) == []


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ([], "The service shop declares no port, so nobody could reach it."),
        ([{**WEB, "port": number} for number in range(1, 66)], "The service shop declares 65 ports; it can declare at most 64."),
        ([{**WEB, "port": 0}], "0 is not a port of the service shop: it must be a whole number from 1 to 65535."),
        ([{**WEB, "port": 65536}], "65536 is not a port of the service shop: it must be a whole number from 1 to 65535."),
        ([{**WEB, "port": True}], "True is not a port of the service shop: it must be a whole number from 1 to 65535."),
        ([{"protocol": "tcp"}], "None is not a port of the service shop: it must be a whole number from 1 to 65535."),
        ([ECHO], "'icmp' is not a protocol that the service shop can declare: it must be tcp or udp."),
        ([WEB, WEB], "The service shop declares tcp/80 more than once."),
        ([{**WEB, "name": "http"}], "A port of the service shop consists of protocol and port; {'protocol': 'tcp', 'port': 80, 'name': 'http'} does not."),
        ([80], "A port of the service shop consists of protocol and port; 80 does not."),
    ],
)
def test_what_no_service_can_declare(declared, sentence):
    with pytest.raises(InvalidInput) as caught:
        ports.checked("service shop", declared)
    assert caught.value.message == sentence


RANGE, FTP = {"protocol": "tcp", "port": 8000, "last_port": 8010}, {"protocol": "tcp", "port": 21, "helper": "ftp"}


def test_a_service_has_ranges_and_helpers():
    assert ports.checked("service shop", [RANGE, {**WEB, "last_port": None, "helper": None}, FTP]) == [FTP, WEB, RANGE]
    assert [ports.text(port) for port in (WEB, RANGE)] == ["80", "8000-8010"]
    assert [ports.covers(RANGE, number) for number in (7999, 8000, 8010, 8011)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ([{**RANGE, "last_port": 8000}], "The service shop declares the ports 8000 to 8000: the last one of a range must be greater than the first one."),
        ([{**RANGE, "last_port": 65536}], "65536 is not a port of the service shop: it must be a whole number from 1 to 65535."),
        ([RANGE, {**WEB, "port": 8010}], "The service shop declares tcp/8010 more than once."),
        ([RANGE, {**RANGE, "port": 7990}], "The service shop declares tcp/8000 more than once."),
        ([{**FTP, "helper": "sip"}], "'sip' is not a helper that the service shop can declare: it must be ftp."),
        ([{**FTP, "protocol": "udp"}], "The service shop declares the helper ftp for udp/21: it is for single TCP ports."),
        ([{**RANGE, "helper": "ftp"}], "The service shop declares the helper ftp for tcp/8000-8010: it is for single TCP ports."),
    ],
)
def test_what_is_no_range_and_no_helper(declared, sentence):
    with pytest.raises(InvalidInput) as caught:
        ports.checked("service shop", declared)
    assert caught.value.message == sentence


def test_tunnels_have_neither():
    with pytest.raises(InvalidInput, match="A port of the tunnel consists of protocol and port; "):
        ports.checked("tunnel", [RANGE], ports.TUNNELED)


def test_what_instances_of_several_capsules_open_is_joined():
    wider, udp = {**RANGE, "port": 8005, "last_port": 8020}, {**RANGE, "protocol": "udp"}
    assert ports.joined([wider, WEB, udp, RANGE, WEB]) == [WEB, {**RANGE, "last_port": 8020}, udp]
    assert ports.joined([FTP, {"protocol": "tcp", "port": 21}]) == [FTP] == ports.joined([{"protocol": "tcp", "port": 21}, FTP])
    assert ports.joined([FTP, {"protocol": "tcp", "port": 20, "last_port": 22}]) == [{"protocol": "tcp", "port": 20, "last_port": 22}]
    assert ports.checked("service shop", ports.joined([RANGE, wider]))


def test_icmp_has_no_port():
    with pytest.raises(InvalidInput, match="The tunnel of shop declares a port for icmp, which has none."):
        ports.checked("tunnel of shop", [{"protocol": "icmp", "port": 8}], ports.TUNNELED)
