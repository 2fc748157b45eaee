# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls that set a host up are the same for modules, which pass all of their options, and for looks, which say only what is not as usual."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import pytest
from mesh_lab import ROOT

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.archive import Installed
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.server import API_FILE, URL, ZoneSpec
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import certificates, engines, host, main, offers, records, responder, switch, vma, zones
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change


@pytest.fixture
def asked(monkeypatch):
    """Return what puts a recorder in an engine's place, and the list of what it was called with."""

    def stand_in(module, name, answer):
        calls = []
        monkeypatch.setattr(module, name, lambda *args, **kwargs: calls.append(kwargs or args) or answer)
        return calls

    return stand_in


def report(**after):
    return types.SimpleNamespace(changed=True, before=None, after=after)


def test_a_host_differs_in_what_was_found():
    told = host.compare({"existing": ["/", "/no/such/thing"]}, False)
    assert told == (True, {"differences": ["There is no /no/such/thing."]}, {"differences": []}, {"differences": ["There is no /no/such/thing."]})
    assert host.compare({"existing": ["/"]}, True).changed is False


def test_engines_are_those_that_came_with_the_call(asked, monkeypatch):
    calls = asked(engines.archive, "install", Installed(True, "a" * 64, True))
    monkeypatch.setattr(engines.archive, "origin", lambda: "b" * 64)
    assert engines.install({}, True).result == {"path": "/usr/lib/vmatrix/engines.zip", "missing": True}
    told = engines.install({"path": "/opt/engines.zip", "sha256": "c" * 64, "source": "/tmp/sent"}, False)
    assert calls == [("/usr/lib/vmatrix/engines.zip", "b" * 64, None, True), ("/opt/engines.zip", "c" * 64, "/tmp/sent", False)]
    assert (told.before, told.after) == ({"engines": "a" * 64}, {"engines": "c" * 64})


def test_switches(asked):
    applied, removed = asked(switch.switch, "apply", report(name="br-mesh")), asked(switch.switch, "remove", report())
    wanted = {"name": "br-mesh", "driver": "openvswitch", "uplinks": ["trunk0"]}
    assert (
        switch.ensure(wanted, True) == switch.ensure({**wanted, "state": "present"}, True) == (True, {}, {"name": "br-mesh"}, {"switch": {"name": "br-mesh"}})
    )
    switch.ensure({**wanted, "state": "absent"}, False)
    assert (applied, removed) == ([("br-mesh", "openvswitch", ["trunk0"], True)] * 2, [("br-mesh", False)])


def test_an_hn_and_its_subscriptions(asked, tmp_path, monkeypatch):
    keys: dict[str, str] = {}
    monkeypatch.setattr(vma.admission, "admitted", lambda: keys)
    monkeypatch.setattr(vma.admission, "admit", lambda rm, key, check: keys.update({rm: key}) is None)
    registry = f"sqlite:///{tmp_path}/registry.db"
    wanted = {"name": "hn-east", "public_pools": ["198.18.1.0/24"], "vlan_first": 100, "vlan_last": "200", "vcpu_overcommit": 8, "registry": registry}
    assert vma.declare(wanted, False).changed and not vma.declare(wanted, True).changed
    offered = {"address": "10.0.0.1", "memory_mib": 1, "vcpus": 1, "disk_bytes": 1, "machine_types": ["pc"], "cpus": ["qemu64"], "accelerator": "tcg"}
    assert vma.subscriptions({"registry": registry}, True).result == {"rms": {}}
    vma.subscribe({"name": "rm-1", **offered, "registry": registry}, False)
    found = vma.subscriptions({"registry": registry}, True)
    known = {"name": "rm-1", **offered, "in_service": True, "capsules": None, "instances": [], "key": None}
    assert found.result == {"rms": {"rm-1": known}} and not found.changed
    assert vma.subscribe({"name": "rm-1", "key": "ssh-ed25519 AAAA", "registry": registry}, False).changed
    assert vma.subscriptions({"registry": registry}, True).result["rms"]["rm-1"]["key"] == "ssh-ed25519 AAAA"
    calls = asked(vma.hn, "declare", Change(False, {}, {}, {}))
    vma.declare({**wanted, "registry": None}, True)
    assert calls == [("sqlite:////var/lib/vmatrix/vma/registry.db", "hn-east", ["198.18.1.0/24"], 100, 200, 8, True)]


@pytest.mark.parametrize("kernel, probed", [("/vmlinuz", "/vmlinuz"), ("", None), (None, None)])
def test_what_an_rm_offers(asked, monkeypatch, kernel, probed):
    calls = asked(offers.capabilities, "subscription", {"vcpus": 2})
    monkeypatch.setattr(offers.Hypervisor, "connect", lambda: "libvirt")
    held = [{"domain": "example.com", "name": name, "version": "1.0"} for name in ("shop", "mail")]
    monkeypatch.setattr(offers.Store, "list", lambda self: held)
    there = [{"name": "shop-1.example.com", "state": "running", "epoch": 1, "lease": 7}]
    monkeypatch.setattr(offers.state, "holdings", lambda places, hypervisor: there)
    told = {"rm": {"vcpus": 2, "capsules": held[::-1]}, "instances": there}
    assert offers.offer({"probe_kernel": kernel, "probe_timeout": 15}, True) == (False, None, None, told)
    assert [call[1:] for call in calls] == [("libvirt", probed, 15)]


def test_authorities_and_certificates(asked):
    authority = asked(certificates.authorities, "present", (False, {}, {}, {}))
    present, absent = (asked(certificates.certificates, name, (False, {}, {}, {})) for name in ("present", "absent"))
    certificates.authority({"domain": "example.com", "days": "10", "crl_days": 5}, True)
    certificates.authority({"domain": "example.com", "days": 10, "crl_days": None, "directory": "/d"}, False)
    assert authority == [("example.com", 10, 5, "/etc/vmatrix/authority", True), ("example.com", 10, 365, "/d", False)]
    certificates.certificate({"name": "vpn.example.com", "days": 9, "renew_before": 3}, True)
    certificates.certificate({"name": "vpn.example.com", "days": 9, "renew_before": 3, "renew": True, "recipients": ["k"], "directory": "/d"}, False)
    certificates.certificate({"name": "vpn.example.com", "state": "absent", "crl_days": 5}, True)
    assert present == [
        ("vpn.example.com", 9, 3, False, (), "/etc/vmatrix/authority", True),
        ("vpn.example.com", 9, 3, True, ["k"], "/d", False),
    ]
    assert absent == [("vpn.example.com", 5, "/etc/vmatrix/authority", True)]


def test_responders(asked):
    applied, removed = asked(responder.tunnel, "apply_responder", report(tunnel={"domain": "d"})), asked(responder.tunnel, "remove", report(tunnel=None))
    document = {"domain": "example.com", **dict.fromkeys(("local", "authority", "crl", "backends", "services"))}
    assert responder.ensure({**document, "state": "present"}, True).result == {"responder": {"domain": "d"}}
    assert responder.ensure({**document, "state": "absent"}, False).result == {"responder": None}
    (endpoint, sent, check), ((gone, what, unused),) = applied[0], removed
    assert sent == document and check and endpoint == gone and (gone.domain, what) == ("example.com", responder.document.RESPONDER)


def test_keys_and_zones(asked, monkeypatch):
    kept, gone = (asked(zones.keys, name, (False, {}, {}, {})) for name in ("present", "absent"))
    zones.key({"path": "/k", "name": "platform"}, True)
    zones.key({"path": "/k", "name": "platform", "algorithm": "hmac-sha512", "secret": "s", "state": "present"}, False)
    zones.key({"path": "/k", "state": "absent"}, True)
    assert kept == [("/k", "platform", "hmac-sha256", None, True), ("/k", "platform", "hmac-sha512", "s", False)] and gone == [("/k", True)]

    made, removed = (asked(zones.server, name, (False, {}, {}, {})) for name in ("present", "absent"))
    monkeypatch.setattr(zones.server, "api_key", lambda path: f"key in {path}")
    monkeypatch.setattr(zones.server, "Api", lambda url, key: (url, key))
    monkeypatch.setattr(zones.keys, "read", lambda path: f"read {path}")
    zones.zone({"name": "z", "nameservers": ["ns1"], "update_keys": ["/k"]}, True)
    everything = {"transfer_keys": ["/t"], "update_from": ["10.0.0.0/8"], "steering": True, "api_url": "http://a", "api_file": "/f", "state": "present"}
    zones.zone({"name": "z", "nameservers": ["ns1"], "update_keys": ["/k"], **everything}, False)
    zones.zone({"name": "z", "state": "absent"}, True)
    usual = (URL, f"key in {API_FILE}")
    assert made == [
        (usual, ZoneSpec("z", ("ns1",), ("read /k",)), True),
        (("http://a", "key in /f"), ZoneSpec("z", ("ns1",), ("read /k",), ("read /t",), ("10.0.0.0/8",), True), False),
    ]
    assert removed == [(usual, "z", True)]


@pytest.mark.parametrize(
    "said, there, only",
    [({}, True, True), ({"exclusive": False}, True, False), ({"state": "absent"}, False, False), ({"state": "absent", "values": []}, False, True)],
)
def test_records(asked, monkeypatch, said, there, only):
    wishes, applied = asked(records.record_set, "wish", "wish"), asked(records.record_set, "apply", (False, None, None, {}))
    monkeypatch.setattr(records.options, "zone", lambda params, key_file: (params["zone"], key_file))
    monkeypatch.setattr(records.options, "servers", lambda params: params["servers"])
    wanted = {"zone": "z", "server": "s", "key_file": "/k", "name": "n", "values": ["192.0.2.1"], **said}
    records.ensure(wanted, True)
    assert wishes == [(("z", "/k"), "n", "A", wanted["values"], None, there, only)]
    assert applied == [(("z", "/k"), "wish", None, 30, True)]


#: What looks ask of hosts, with arguments that say something of one.
LOOKS = {
    "host": {"packages": ["one"], "units": [{"name": "one.service", "enabled": True}]},
    "engines": {"path": "/no/such/engines.zip"},
    "switch": {"name": "br-none", "driver": "openvswitch", "uplinks": []},
    "hn": {
        "name": "hn-1",
        "public_pools": ["198.18.1.0/24"],
        "vlan_first": 1,
        "vlan_last": 2,
        "vcpu_overcommit": 1,
        "registry": "sqlite:////no/such/registry.db",
    },
    "subscriptions": {"registry": "sqlite:////no/such/registry.db"},
    "peers": {},
    "offer": {"probe_kernel": "", "probe_timeout": 1},
    "wrapping_key": {},
    "authority": {"domain": "example.com", "days": 2, "crl_days": 1, "directory": "/no/such/authority"},
    "certificate": {"name": "vpn.example.com", "days": 2, "renew_before": 1, "directory": "/no/such/authority"},
    "responder": {"domain": "example.com", "local": {"certificate": {"_answer": ["certificate", "certificate"]}}},
    "key": {"path": "/no/such/keys/platform.key", "name": "platform"},
    "zone": {"name": "example.com", "nameservers": ["ns1.example.com"], "api_file": "/no/such/file"},
    "records": {"zone": "example.com", "server": "127.0.0.1", "key_file": "/no/such/key", "name": "a.example.com", "values": ["192.0.2.1"]},
}
INSTALLED_BY_ROLES = ("cryptography", "dns", "jsonschema", "libvirt", "netaddr", "sqlalchemy", "vici", "zstandard")


def test_where_nothing_is_installed_each_look_says_so_for_itself():
    """A host is looked at before roles have ever been there."""
    calls = [{"ids": [call], "call": call, "arguments": arguments, "check": True, "goes_on": True} for call, arguments in LOOKS.items()]
    bare = f"import sys; sys.modules.update(dict.fromkeys({INSTALLED_BY_ROLES})); from {main.__package__}.main import main; main()"
    environment = {"PATH": "/no/such/directory", "PYTHONPATH": str(ROOT / ".build" / "collections")}
    done = subprocess.run([sys.executable, "-c", bare], env=environment, input=json.dumps({"calls": calls}), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = {each["ids"][0]: each for each in json.loads(done.stdout)["answers"]}
    assert set(told) == set(LOOKS)
    assert {call for call, each in told.items() if not (each["failed"] or each["changed"])} == {"peers"}
