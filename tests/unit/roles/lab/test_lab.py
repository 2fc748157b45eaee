# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import pathlib
import signal
import subprocess
import sys

import pytest
import yaml

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

sys.path.insert(0, str(pathlib.Path(__file__).parents[4] / "roles/lab/files"))

from vmatrix_lab import cgroup, host, hosts, layer, links, network, places, root, tiny, wheels  # noqa: E402  pylint: disable=wrong-import-position

DEFAULTS = yaml.safe_load((pathlib.Path(__file__).parents[4] / "roles/lab/defaults/main.yml").read_text())


@pytest.fixture
def document(tmp_path):
    sources = tmp_path / "debian.sources"
    sources.write_text("Types: deb\n")
    described = copy.deepcopy(DEFAULTS["lab_hosts"])
    for one in described.values():
        for templated in ("programs", "files"):
            one.pop(templated, None)
    described_root = {"absent_units": [], "packages": ["curl", "zstd"], "suite": "bookworm", "sources": str(sources)}
    return {"hosts": described, "idle_units": DEFAULTS["lab_idle_units"], **described_root}


@pytest.mark.parametrize(("rate", "expected"), [("622mbit", 77_750_000), ("44.7mbit", 5_587_500), ("1gbit", 125_000_000), ("8kbit", 1000), ("unlimited", None)])
def test_rates_of_links(rate, expected):
    assert links.bytes_per_second(rate) == expected


@pytest.mark.parametrize("rate", ["", "622", "622mbps", "-1mbit", "0mbit", "1e3mbit", "40gbit", "1mbit\n", "unlimited "])
def test_what_is_no_rate_gets_one_sentence(rate):
    with pytest.raises(InvalidInput, match="is not a rate for a link"):
        links.bytes_per_second(rate)


DEPENDENCIES = """\
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko:
kernel/drivers/block/virtio-blk.ko: kernel/drivers/virtio/virtio.ko
"""


def test_modules_come_after_what_they_need():
    order = [path.rsplit("/", 1)[1] for path in tiny.module_order(DEPENDENCIES, ("virtio_net", "virtio_blk"))]
    assert sorted(order) == ["failover.ko", "net_failover.ko", "virtio-blk.ko", "virtio.ko", "virtio_net.ko"]
    needed = (("failover.ko", "net_failover.ko"), ("net_failover.ko", "virtio_net.ko"), ("virtio.ko", "virtio_net.ko"), ("virtio.ko", "virtio-blk.ko"))
    for earlier, later in needed:
        assert order.index(earlier) < order.index(later)


def test_a_module_that_the_kernel_lacks_is_named():
    with pytest.raises(InvalidInput, match="no module virtio_rng"):
        tiny.module_order(DEPENDENCIES, ("virtio_rng",))


def test_network_unit_has_address_routes_and_forwarding():
    unit = layer.network_unit("wan0", {"address": "198.18.0.1/16", "forward": True, "routes": [{"to": "10.82.0.0/24", "via": "198.18.0.2"}]})
    assert "Name=wan0\n" in unit
    assert "Address=198.18.0.1/16\n" in unit
    assert "IPForward=ipv4\n" in unit
    assert unit.endswith("[Route]\nDestination=10.82.0.0/24\nGateway=198.18.0.2\n")


def test_network_unit_of_a_trunk_has_no_address():
    unit = layer.network_unit("trunk0", {"segment": "trunk-east-1"})
    assert "Address=" not in unit and "Gateway=" not in unit and "[Route]" not in unit


def test_root_is_named_after_what_goes_into_it(document):
    path = root.path(document)
    assert root.path({**document, "packages": ["zstd", "curl"]}) == path
    assert root.path({**document, "packages": ["curl"]}) != path
    pathlib.Path(document["sources"]).write_text("Types: deb-src\n")
    assert root.path(document) != path


def test_sources_that_are_not_there_get_one_sentence(document):
    with pytest.raises(InvalidInput, match="The package sources /nowhere do not exist"):
        root.path({**document, "sources": "/nowhere"})


def test_only_hosts_of_a_kind_keep_its_units(document):
    described = hosts.descriptions(document, "/root")
    assert "libvirtd.service" in described["gw-east"]["masked_units"]
    assert "ovs-vswitchd.service" not in described["gw-east"]["masked_units"]
    assert described["rm-east-1"]["masked_units"] == ["pdns.service", "postgresql.service", "unbound.service"]
    assert "postgresql.service" not in described["owner-backend"]["masked_units"]
    assert "pdns.service" not in described["cpa-1"]["masked_units"]
    assert "unbound.service" not in described["client-west"]["masked_units"]
    assert {"libvirtd.service", "ovs-vswitchd.service"} <= set(described["client-east"]["masked_units"])


def test_a_changed_program_changes_only_the_hosts_that_have_it(document, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("1")
    document["hosts"]["client-east"]["programs"] = {"program": str(program)}
    before = hosts.descriptions(document, "/root")
    program.write_text("2")
    after = hosts.descriptions(document, "/root")
    assert [name for name in before if before[name] != after[name]] == ["client-east"]


def test_a_changed_file_changes_only_the_hosts_that_have_it(document):
    before = hosts.descriptions(document, "/root")
    document["hosts"]["client-west"]["files"] = {"etc/unbound/unbound.conf.d/lab.conf": "server:\n"}
    after = hosts.descriptions(document, "/root")
    assert [name for name in before if before[name] != after[name]] == ["client-west"]


def test_links_outside_are_distinct_and_short_enough(document):
    described = hosts.descriptions(document, "/root")
    names = [host.outer(one, interface) for one in described.values() for interface in one["interfaces"]]
    assert len(set(names)) == len(names)
    assert max(map(len, [*names, *DEFAULTS["lab_segments"]])) <= 15


def test_topology_holds_together():
    addresses = []
    for name, one in DEFAULTS["lab_hosts"].items():
        assert "mgmt0" in one["interfaces"], name
        for wire in one["interfaces"].values():
            assert wire["segment"] in DEFAULTS["lab_segments"]
            addresses += [wire["address"]] if "address" in wire else []
    addresses += [segment["address"] for segment in DEFAULTS["lab_segments"].values() if segment]
    assert len(set(addresses)) == len(addresses)


def test_a_host_without_processes_can_be_ended_and_removed():
    cgroup.kill("no-such-host")
    cgroup.remove("no-such-host")
    assert cgroup.processes("no-such-host") == []


def test_a_lab_goes_down_whatever_is_left_of_it(tmp_path, monkeypatch):
    """Of one host there is a directory, of another a control group only; and a program that nobody ends is in the network namespace."""
    for place in ("STATE", "SOCKETS", "VMS", "LOCK"):
        monkeypatch.setattr(places, place, str(tmp_path / place))
    monkeypatch.setattr(places, "HOSTS", str(tmp_path / "STATE" / "hosts"))
    monkeypatch.setattr(network, "PATH", str(tmp_path / "netns"))
    monkeypatch.setattr(cgroup, "_LAYOUTS", dict.fromkeys((True, False), (str(tmp_path / "cgroup"),)))
    (tmp_path / "STATE" / "hosts" / "gw-west").mkdir(parents=True)
    (tmp_path / "cgroup" / places.NAME / "gw-east" / "init.scope").mkdir(parents=True)
    for name in ("LOCK", "netns"):
        (tmp_path / name).touch()
    left = subprocess.Popen(["sleep", "60"])
    ran, stopped = [], []

    def run(argv):
        ran.append(argv[:3])
        return subprocess.CompletedProcess(argv, 0, f"{left.pid}\n" if "pids" in argv else "", "")

    monkeypatch.setattr(network, "run", run)
    monkeypatch.setattr(host, "stop", stopped.append)
    assert hosts.down({"purge_cache": False}, check=False)["changed"]
    assert sorted(stopped) == ["gw-east", "gw-west"] and not (tmp_path / "STATE").exists()
    assert left.wait(5) == -signal.SIGKILL and ran[-1] == ["ip", "netns", "delete"]


def test_a_host_that_was_never_made_is_not_running():
    assert not host.running("no-such-host")


def tool(document, **environment):
    command = [sys.executable, "-m", "vmatrix_lab", "--check", "links"]
    variables = {"PYTHONPATH": ":".join(sys.path), "VMATRIX_LAB_NAME": "vmatrix-unit", **environment}
    return subprocess.run(command, input=document, capture_output=True, text=True, env=variables, check=False)


def test_tool_says_bad_input_in_one_sentence():
    done = tool('{"rate": "fast", "gateways": [], "interface": "wan0"}')
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("'fast' is not a rate for a link") and done.stderr.count("\n") == 1


def test_tool_refuses_a_name_that_leads_elsewhere():
    done = tool("{}", VMATRIX_LAB_NAME="../x")
    assert done.returncode == 1
    assert done.stderr.startswith("'../x' is not a name for a lab") and done.stderr.count("\n") == 1


def test_tool_names_a_gateway_that_does_not_run():
    done = tool('{"rate": "622mbit", "gateways": ["gw-east"], "interface": "wan0"}')
    assert (done.returncode, done.stderr) == (1, "The host gw-east is not running in the lab; build the lab first.\n")


def test_wheels_are_fetched_once_and_again_when_others_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "_MARK", str(tmp_path / "wheels.json"))
    monkeypatch.setattr(wheels.places, "IMAGES", str(tmp_path))
    monkeypatch.setattr(wheels, "_fetched", lambda wanted: [f"{one}.whl" for one in wanted])
    assert wheels.fetch({"wheels": ["vici"]}, check=True) == {"changed": True, "wheels": []}
    assert wheels.fetch({"wheels": ["vici"]}, check=False) == {"changed": True, "wheels": [str(tmp_path / "vici.whl")]}
    assert wheels.fetch({"wheels": ["vici"]}, check=False) == {"changed": False, "wheels": [str(tmp_path / "vici.whl")]}
    assert wheels.fetch({"wheels": ["vici", "other"]}, check=True)["changed"]
