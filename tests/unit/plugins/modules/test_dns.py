# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DNS modules as programs: check and apply, twice each, against a real PowerDNS; no secret shows, however much they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from name_servers import ROOT, PowerDns, lookup

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import keys

SECRET = "b2ggc28gc2VjcmV0Ly9vaCBzbyBzZWNyZXQvLyEhISE="
SITES = [{"hn": "hn-east", "addresses": ["192.0.2.1"]}, {"hn": "hn-west", "addresses": ["192.0.2.2", "2001:db8::2"]}]
REGIONS = [{"name": "west", "prefixes": ["127.2.0.0/16"], "order": ["hn-west"]}]
#: Modules whose truth is shown here.
SHOWN = {"dns_key", "dns_zone", "dns_record_set", "dns_steering", "dns_service"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each module returned when it ran in check mode, for real, in check mode again and for real again; and all that was printed."""
    tmp = tmp_path_factory.mktemp("modules")
    (tmp / "powerdns").mkdir()
    daemon = PowerDns(tmp / "powerdns")
    # On a host pdnsutil finds the server's configuration by itself.
    (tmp / "bin").mkdir()
    (tmp / "bin" / "pdnsutil").write_text(f'#!/bin/sh\nexec {shutil.which("pdnsutil")} --config-dir={daemon.directory} "$@"\n')
    (tmp / "bin" / "pdnsutil").chmod(0o755)
    printed = []

    def run(module, args, check=False):
        told = {"ANSIBLE_MODULE_ARGS": {**args, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_verbosity": 3}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT / ".build" / "collections"), "PATH": f"{tmp / 'bin'}:{os.environ['PATH']}"}
        argv = [sys.executable, "-m", f"ansible_collections.vmatrix.mesh.plugins.modules.{module}"]
        done = subprocess.run(argv, input=json.dumps(told), env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout + done.stderr)
        return json.loads(done.stdout)

    key_file = str(tmp / "platform.key")
    zone = {"zone": "mesh.test", "server": str(daemon.endpoint), "servers": [str(daemon.endpoint)]}
    api = {"api_url": f"http://127.0.0.1:{daemon.api_port}", "api_file": daemon.api_file}
    steered = {"name": "shop.mesh.test", "sites": SITES, "order": ["hn-east"], "regions": REGIONS}
    steps = {
        "dns_key": {"path": key_file, "name": "platform", "secret": SECRET},
        "dns_zone": {"name": "mesh.test", "nameservers": ["ns1.mesh.test"], "update_keys": [key_file], "transfer_keys": [key_file], "steering": True, **api},
        "dns_record_set": {**zone, "key_file": key_file, "name": "ns1.mesh.test", "values": ["127.0.0.1"], "ttl": 30},
        "dns_steering": {**zone, "key_file": key_file, **steered},
        "dns_service": {
            **zone,
            "key_file": key_file,
            "name": "store.mesh.test",
            "alias": {"name": "store.customer.test", "zone": "customer.test"},
            "publish": SITES,
            "order": ["hn-east"],
            "ask": {"type": "none"},
        },
    }
    try:
        daemon.wait("mesh.test")
        run("dns_key", steps["dns_key"])
        run("dns_zone", {"name": "customer.test", "nameservers": ["ns1.mesh.test"], "update_keys": [key_file], **api})
        os.unlink(key_file)
        # In check mode there is no key yet that the others could read, so each module goes all four ways before the next one begins.
        found = {module: [run(module, args, check) for check in (True, False, True, False)] for module, args in steps.items()}
        found["dns_record_set_info"] = run("dns_record_set_info", {**zone, "name": "ns1.mesh.test"})
        found["dns_steering_info"] = run("dns_steering_info", {**zone, "key_file": key_file, "name": "shop.mesh.test"})
        found["all"] = run("dns_steering_info", {**zone, "key_file": key_file})
        assert keys.read(key_file).secret == SECRET
        yield {**found, "printed": "".join(printed), "endpoint": daemon.endpoint, "api_key": daemon.API_KEY, "run": run, "steps": steps}
    finally:
        daemon.close()


def tell_the_truth(turns):
    """Check, apply, check, apply: the first two must tell the same, the last two that nothing is left to do."""
    assert [turn["changed"] for turn in turns] == [True, True, False, False]
    assert turns[0]["diff"] == turns[1]["diff"], "check mode foresees what is done"
    assert turns[2]["diff"]["before"] == turns[2]["diff"]["after"] == turns[1]["diff"]["after"]


@pytest.mark.parametrize("module", sorted(SHOWN))
def test_check_apply_check_apply(results, module):
    tell_the_truth(results[module])


def test_what_they_return(results):
    assert results["dns_key"][1]["key"]["name"] == "platform"
    assert results["dns_zone"][1]["zone"]["steering"] is True
    assert results["dns_record_set"][1]["record"] == {"name": "ns1.mesh.test", "type": "A", "ttl": 30, "values": ["127.0.0.1"]}
    assert results["dns_record_set"][1]["confirmed_by"] == [str(results["endpoint"])]
    assert results["dns_steering"][0]["confirmed_by"] == []
    assert lookup(results["endpoint"], "shop.mesh.test", source="127.2.0.1") == ["192.0.2.2"]
    assert [turn["alias"] for turn in results["dns_service"]] == ["made", "made", "there", "there"]
    assert lookup(results["endpoint"], "store.customer.test") == ["192.0.2.1"]


def test_the_info_modules_see_it(results):
    (answer,) = results["dns_record_set_info"]["answers"]
    assert results["dns_record_set_info"]["agree"] and answer["records"] == [results["dns_record_set"][1]["record"]]
    seen = results["dns_steering_info"]
    assert seen["steering"] == results["dns_steering"][1]["steering"] and seen["drift"] == []
    assert seen["names"] == [{"name": "shop.mesh.test", **{key: seen[key] for key in ("steering", "table", "drift")}}]
    assert [found["name"] for found in results["all"]["names"]] == ["shop.mesh.test", "store.mesh.test"]
    assert [(row["region"], row["answers"]["A"]) for row in seen["table"]] == [("west", ["192.0.2.2"]), ("rest", ["192.0.2.1"])]


def test_no_secret_shows(results):
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in results["printed"], "the modules were asked to say what they were told"
    for secret in (SECRET, results["api_key"]):
        assert secret not in results["printed"]


def test_check_apply_check_apply_of_taking_it_all_away(results):
    """It comes last in this file, and who is needed by others goes last."""
    steps = results["steps"]
    away = {**{module: {"state": "absent"} for module in steps}, "dns_service": {"publish": [], "retire": ["hn-east", "hn-west"]}}
    for module in reversed(steps):
        tell_the_truth([results["run"](module, {**steps[module], **away[module]}, check) for check in (True, False, True, False)])
