# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be said of how instances share callers."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.balance import (
    USUAL,
    Check,
    check_of,
    checked,
    refuse_unclear,
    refuse_undeclared,
    whole,
)
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput


@pytest.mark.parametrize("usual", [None, {}, USUAL, {"policy": "spread"}, {"weight": None, "check": None}])
def test_what_is_as_usual_is_not_said(usual):
    assert checked(usual) == {}
    assert whole(checked(usual)) == USUAL


def test_what_is_not_as_usual_is_kept():
    unusual = {"policy": "sticky", "weight": 3, "check": "http", "path": "/health?deep=1"}
    assert checked(unusual) == unusual and whole(unusual) == {**USUAL, **unusual}
    assert checked({"check_interval": 0.5, "check_timeout": 1.0}) == {"check_interval": 0.5}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"colour": "red"}, "no 'colour'"),
        ({"policy": "random"}, "'random' is not a policy"),
        ({"weight": 0}, "0 is not a weight"),
        ({"weight": 101}, "101 is not a weight"),
        ({"weight": True}, "True is not a weight"),
        ({"check": "ping"}, "'ping' is not a check"),
        ({"path": "health"}, "must begin with /"),
        ({"path": ""}, "must begin with /"),
        ({"path": "/ HTTP/1.0\r\nHost: x"}, "without spaces"),
        ({"path": "/caf\u00e9"}, "printable ASCII"),
        ({"check_port": 0}, "0 is not a port"),
        ({"check_port": True}, "True is not a port"),
        ({"check_status": "2xx"}, "such as 200, or a range"),
        ({"check_status": "399-200"}, "such as 200, or a range"),
        ({"check_status": 200}, "such as 200, or a range"),
        ({"check_interval": 0.1}, "0.1 is not a check_interval: it must be a number from 0.2 to 300"),
        ({"check_timeout": "1"}, "'1' is not a check_timeout"),
        ({"check_failures": 1.5}, "1.5 is not a check_failures: it must be a whole number from 1 to 20"),
    ],
)
def test_what_is_invalid_is_refused(wrong, words):
    with pytest.raises(InvalidInput, match=words):
        checked(wrong)


TCP, OTHER, UDP = {"protocol": "tcp", "port": 80}, {"protocol": "tcp", "port": 22}, {"protocol": "udp", "port": 53}


@pytest.mark.parametrize(
    ("said", "ports", "asked"),
    [
        ({}, [TCP], Check("tcp", 80)),
        ({}, [TCP, UDP], Check("tcp", 80)),
        ({}, [OTHER, TCP], Check("arp")),
        ({}, [UDP], Check("arp")),
        ({"check_port": 22}, [OTHER, TCP], Check("tcp", 22)),
        ({"check": "http", "path": "/up", "check_status": "204"}, [TCP], Check("http", 80, "/up", (204, 204))),
        ({"check": "https", "check_port": 80, "check_status": "200-299"}, [OTHER, TCP], Check("https", 80, "/", (200, 299))),
        ({"check": "http"}, [OTHER, TCP], Check("arp")),
        ({"check": "udp"}, [TCP, UDP], Check("udp", 53)),
        ({"check": "arp", "check_interval": 5, "check_timeout": 2, "check_failures": 3}, [TCP], Check("arp", interval=5, timeout=2, failures=3)),
    ],
)
def test_what_shows_that_a_member_is_alive(said, ports, asked):
    assert check_of(checked(said), ports) == asked


def test_a_check_asks_what_is_declared():
    refuse_undeclared({"check_port": 80}, "shop", [TCP])
    for said, words in (({"check_port": 53}, "asks port 53, which is not among the TCP ports"), ({"check": "udp", "check_port": 80}, "the UDP ports")):
        with pytest.raises(InvalidInput, match=words):
            refuse_undeclared(said, "shop", [TCP, UDP])


def test_which_of_several_ports_is_asked_for_pages_has_to_be_said():
    for said, ports in (({}, [OTHER, TCP]), ({"check": "http"}, [TCP, UDP]), ({"check": "http", "check_port": 80}, [OTHER, TCP]), ({"check": "udp"}, [UDP])):
        refuse_unclear(said, "shop", ports)
    for said, ports in (({"check": "http"}, [OTHER, TCP]), ({"check": "https"}, [UDP]), ({"check": "udp"}, [TCP])):
        with pytest.raises(InvalidInput, match=f"Say which port the {said['check']} check of shop asks"):
            refuse_unclear(said, "shop", ports)


def test_a_range_is_several_ports_of_which_nobody_named_one():
    one = {"protocol": "tcp", "port": 8000, "last_port": 8010}
    assert check_of(None, [one]).kind == "arp"
    assert check_of({"check_port": 8005}, [one]) == Check("tcp", 8005)
    with pytest.raises(InvalidInput, match=r"Say which port the http check of shop asks \(check_port\)."):
        refuse_unclear({"check": "http"}, "shop", [one])
    with pytest.raises(InvalidInput, match="The check of shop asks port 8011, which is not among the TCP ports that it declares."):
        refuse_undeclared({"check_port": 8011}, "shop", [one])
