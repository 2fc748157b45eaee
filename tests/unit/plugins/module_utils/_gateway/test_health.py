# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Health checks: whom is asked what, and what makes a member go down and come up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.balance import Check
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import health
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.health import RISE, Record, Target, judged, targets
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.rules import render, rotation


FALL = 3


def after(answers, record=Record(False)):
    for answered in answers:
        record = judged(record, answered, FALL)
    return record


def test_it_falls_after_some_failures_in_a_row_and_rises_after_some_answers():
    assert not after([False] * (FALL - 1)).down
    assert after([False] * FALL).down
    assert after([True] * (RISE - 1), Record(True)).down
    assert not after([True] * RISE, Record(True)).down


def test_what_alternates_changes_nothing():
    assert not after([False, True] * 50).down
    assert after([True, False] * 50, Record(True)).down


@given(st.lists(st.booleans(), max_size=60))
def test_the_last_long_enough_row_decides(answers):
    down = False
    for end in range(1, len(answers) + 1):
        if not down and answers[:end][-FALL:] == [False] * FALL:
            down = True
        elif down and answers[:end][-RISE:] == [True] * RISE:
            down = False
    assert after(answers).down is down


def document(*addresses):
    members = [{"instance": f"shop-{number}.example.com", "address": address} for number, address in enumerate(addresses, 1)]
    service = {"name": "shop", "public_address": "198.18.1.1", "ports": [{"protocol": "tcp", "port": 80}], "members": members}
    return {"domain": "example.com", "vlan": 101, "generation": 1, "gateways": ["192.168.1.1/24"], "services": [service]}


def test_each_member_is_asked_what_its_service_says():
    found = document("192.168.1.10", "192.168.1.11")
    assert targets(found) == {Target(address, Check("tcp", 80)) for address in ("192.168.1.10", "192.168.1.11")}
    (service,) = found["services"]
    service.update(balance={"check": "http", "check_interval": 0.5, "check_failures": 4}, members=service["members"][:1])
    assert targets(found) == {Target("192.168.1.10", Check("http", 80, interval=0.5, failures=4))}
    service["ports"].append({"protocol": "tcp", "port": 22})
    service["balance"] = {}
    assert targets(found) == {Target("192.168.1.10", Check("arp"))}, "nobody has named a port"


def test_each_router_has_a_watch_that_looks(monkeypatch):
    """Also when one has ended by an error, or the namespace of a router is another one."""
    looks = []

    class Stub:
        def __init__(self, domain):
            self.domain, self.dead = domain, False

        def start(self):
            looks.append(self.domain)
            return self

        def alive(self):
            return not self.dead

        def stop(self):
            looks.append(f"no {self.domain}")

    monkeypatch.setattr(health, "Watch", Stub)
    watches = {}
    health.follow(watches, {("a.example", 1)})
    health.follow(watches, {("a.example", 1)})
    assert looks == ["a.example"]
    watches["a.example", 1].dead = True
    health.follow(watches, {("a.example", 1)})
    health.follow(watches, {("a.example", 2)})
    health.follow(watches, set())
    assert looks[1:] == ["no a.example", "a.example"] * 2 + ["no a.example"] and watches == {}


def test_those_who_are_all_down_stay_in_rotation_and_keep_their_connections():
    (service,) = document("192.168.1.10", "192.168.1.11")["services"]
    assert rotation(service, ["192.168.1.10"]) == {"192.168.1.11": 1}
    assert rotation(service, ["192.168.1.10", "192.168.1.11"]) == rotation(service, [])


def test_rules_leave_out_who_is_down_unless_all_are():
    both = document("192.168.1.10", "192.168.1.11")
    assert render(both, ["192.168.1.10"]) == render(document("192.168.1.11"))
    # But for pings.
    of = [line for line in render(both).splitlines() if "198.18.1.1 } icmp type echo-request" not in line]
    assert render(both, ["192.168.1.10", "192.168.1.11"]).splitlines() == of != render(both).splitlines()
