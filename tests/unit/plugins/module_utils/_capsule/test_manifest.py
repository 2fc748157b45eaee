# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError

BLOB = {"sha256": "d" * 64, "size": 10}


def changed(manifest, place, value):
    """Return a copy of the manifest with another value at the place, given as 'guest.mac'."""
    whole = copy.deepcopy(manifest)
    target = whole
    *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    for part in way:
        target = target[part]
    target[last] = value
    return whole


def test_a_good_manifest_is_returned_as_it_is(manifest):
    assert manifests.check(manifest) is manifest


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("extra", 1),
        ("guest.extra", 1),
        ("boot.kernel.extra", 1),
        ("disks.0.extra", 1),
        ("schema", 2),
        ("schema", True),
        ("machine.vcpus", 0),
        ("machine.vcpus", 1.0),
        ("machine.vcpus", True),
        ("machine.memory_mib", "128"),
        ("machine.type", "pc"),
        ("machine.type", "pc-i440fx-7.2' /><x"),
        ("machine.cpu", "host"),
        ("machine.cpu", "../qemu64"),
        ("guest.address", "192.168.1.10"),
        ("guest.address", "192.168.1.300/24"),
        ("guest.address", "192.168.1.0/24"),
        ("guest.address", "192.168.1.255/24"),
        ("guest.address", "192.168.1.10/31"),
        ("guest.address", "224.0.0.5/24"),
        ("guest.address", "127.0.0.5/24"),
        ("guest.address", "192.168.1.10/24\n"),
        ("guest.gateway", "192.168.2.1"),
        ("guest.gateway", "192.168.1.0"),
        ("guest.gateway", "192.168.1.255"),
        ("guest.gateway", "192.168.1.10"),
        ("guest.mac", "53:54:00:12:34:56"),
        ("guest.mac", "00:00:00:00:00:00"),
        ("guest.mac", "52:54:00:12:34"),
        ("ports.0.port", 0),
        ("ports.0.port", 65536),
        ("ports.0.protocol", "sctp"),
        ("boot.cmdline", "a\nb"),
        ("boot.kernel.sha256", "../../etc/shadow"),
        ("boot.kernel.sha256", "A" * 64),
        ("boot.kernel.sha256", "a" * 64 + "\n"),
        ("boot.kernel.size", -1),
        ("boot.kernel.size", 1 << 60),
        ("disks.0.format", "raw"),
        ("disks.0.name", "../root"),
        ("disks.0.overlay", BLOB),
        ("memory", {"accelerator": "tcg", "blob": BLOB}),
        ("memory", {"accelerator": "xen", "blob": BLOB}),
    ],
)
def test_a_wrong_value_is_refused_by_one_sentence_that_names_the_place(manifest, place, value):
    with pytest.raises(InvalidInput) as caught:
        manifests.check(changed(manifest, place, value))
    assert caught.value.message.endswith(".") and "\n" not in caught.value.message
    named = {"extra": "extra", "disks.0.name": "disk"}.get(place, place.split(".")[0])
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("machine.type", "q35", "'q35' is not a machine type with its version, such as pc-i440fx-7.2 or pc-q35-7.2"),
        ("machine.cpu", "host", "'host' is not a CPU model that is the same on every host, such as qemu64 or Westmere"),
        ("guest.mac", "00-0C-29-AA-BB-CC", "'00-0C-29-AA-BB-CC' is not a MAC address such as 52:54:00:12:34:56"),
        ("guest.address", "192.168.1.10", "'192.168.1.10' is not an IPv4 address with a prefix length such as 192.168.1.10/24"),
        ("guest.gateway", "router", "'router' is not an IPv4 address such as 192.168.1.1"),
        ("ports", [], "it holds 0 entries; at least 1 can be"),
        ("ports", [{"protocol": "tcp", "port": port} for port in range(1, 66)], "it holds 65 entries; at most 64 can be"),
    ],
)
def test_what_is_wrong_is_said_in_words(manifest, place, value, sentence):
    with pytest.raises(InvalidInput) as caught:
        manifests.check(changed(manifest, place, value))
    assert caught.value.message == f"The manifest is wrong at {place}: {sentence}."


@pytest.mark.parametrize("place", ["name", "version", "domain"])
@pytest.mark.parametrize("value", ["../x", "", "a/b", "a\n", ".", "..", "x" * 300, "-a"])
def test_names_with_path_tricks_are_refused(manifest, place, value):
    with pytest.raises(InvalidInput):
        manifests.check(changed(manifest, place, value))


def test_a_missing_key_is_refused(manifest):
    for key in list(manifest):
        with pytest.raises(InvalidInput, match=key):
            manifests.check({other: value for other, value in manifest.items() if other != key})


def test_the_same_port_or_disk_twice_is_refused(manifest):
    with pytest.raises(InvalidInput, match="The service .* declares tcp/80 more than once"):
        manifests.check(changed(manifest, "ports", manifest["ports"] * 2))
    with pytest.raises(InvalidInput, match="ports"):
        manifests.check(changed(manifest, "ports", []))
    with pytest.raises(InvalidInput, match="disks.1.name"):
        manifests.check(changed(manifest, "disks", manifest["disks"] * 2))


def test_nothing_to_boot_from_is_refused(manifest):
    manifest.update(boot=None, disks=[])
    with pytest.raises(InvalidInput, match="neither a kernel nor a disk"):
        manifests.check(manifest)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_comes_is_refused_as_input(anything):
    with pytest.raises(MeshError):
        manifests.check(anything)


def test_blobs_are_named_once(manifest):
    manifest["boot"]["initrd"] = manifest["boot"]["kernel"]
    assert manifests.blobs(manifest) == [{"sha256": "a" * 64, "size": 1}, {"sha256": "c" * 64, "size": 3}]


def test_requirements_cover_the_most_that_an_instance_can_occupy(manifest):
    assert manifests.requirements(manifest) == {
        "memory_mib": 128,
        "vcpus": 1,
        "disk_bytes": 6 + 1073741824 + (128 << 20),
        "machine_type": "pc-i440fx-7.2",
        "cpu": "qemu64",
        "accelerator": None,
    }


def test_a_suspended_capsule_needs_the_accelerator_it_was_suspended_on(manifest):
    manifest["memory"] = {"accelerator": "tcg", "blob": BLOB}
    manifest["disks"][0]["overlay"] = {"sha256": "e" * 64, "size": 20}
    assert manifests.requirements(manifests.check(manifest))["accelerator"] == "tcg"
    assert [blob["size"] for blob in manifests.blobs(manifest)] == [1, 2, 3, 20, 10]


VPN = {
    "gateway": {"address": "198.18.0.3", "identity": "vpn.example.com"},
    "pool": ["172.21.162.9", "172.21.162.16/30"],
    "backends": [{"address": "172.21.162.10", "ports": [{"protocol": "tcp", "port": 5432}, {"protocol": "icmp", "port": None}]}],
    "inbound": [{"protocol": "udp", "port": 53}],
    "credentials": {"sha256": "e" * 64, "size": 11},
}


def test_a_vpn_part_is_optional_and_its_credentials_are_a_secret_blob(manifest):
    assert manifests.secrets(manifest) == set() and manifests.intranet_address(manifest, 1) is None
    manifest["vpn"] = VPN
    assert manifests.check(manifest) is manifest
    assert VPN["credentials"] in manifests.blobs(manifest)
    assert manifests.secrets(manifest) == {"e" * 64}
    assert [manifests.intranet_address(manifest, ordinal) for ordinal in (1, 2, 5)] == ["172.21.162.9", "172.21.162.16", "172.21.162.19"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("certificate", "-----BEGIN CERTIFICATE-----"),
        ("gateway.address", "198.18.0.300"),
        ("gateway.address", "198.18.1"),
        ("gateway.identity", "vpn example"),
        ("gateway.identity", "%any"),
        ("gateway.identity", "C=DE,CN=vpn"),
        ("identity", "*"),
        ("identity", "shop.example.com"),
        ("identity", None),
        ("pool", []),
        ("pool.0", "172.21.162.9/24"),
        ("pool.0", "172.21.162.9; drop"),
        ("pool.0", "172.16.0.0/12"),
        ("pool.0", "::1"),
        ("backends", []),
        ("backends.0.ports", []),
        ("backends.0.address", "172.21.162.17"),
        ("backends.0.ports.0.port", None),
        ("backends.0.ports.0.port", 65536),
        ("backends.0.ports.1.port", 8),
        ("backends.0.ports.1.protocol", "esp"),
        ("inbound.0.port", True),
        ("credentials", None),
    ],
)
def test_a_wrong_vpn_part_gets_one_sentence(manifest, place, value):
    manifest["vpn"] = copy.deepcopy(VPN)
    with pytest.raises(MeshError) as caught:
        manifests.check(changed(manifest, f"vpn.{place}", value))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("identity", ["store@example.com", "198.18.0.6", "C=DE, O=Example, CN=store", "keyid:store-17", "VPN-GW"])
def test_both_ends_may_call_themselves_what_they_like(manifest, identity):
    manifest["vpn"] = {**VPN, "identity": identity, "gateway": {**VPN["gateway"], "identity": identity}}
    assert manifests.check(manifest) is manifest


def test_two_back_ends_with_one_address_are_refused(manifest):
    manifest["vpn"] = {**VPN, "backends": VPN["backends"] * 2}
    with pytest.raises(InvalidInput, match="172.21.162.10 is there twice"):
        manifests.check(manifest)
