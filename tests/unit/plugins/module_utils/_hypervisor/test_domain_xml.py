# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import Placement, as_saved, instance_uuid, render, tap_name
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, manifest

BLOBS = {letter * 64: f"/var/lib/vmatrix/store/blobs/sha256/{letter * 64}" for letter in "bcd"}
PLACEMENT = Placement(NAME, 101, "tcg", BLOBS)


def domain(content=None, placement=PLACEMENT):
    """Render and parse."""
    return ET.fromstring(render(content or manifest(), placement, Places()))


def test_what_is_pinned_is_there():
    found = domain()
    assert found.get("type") == "qemu" and domain(placement=PLACEMENT._replace(accelerator="kvm")).get("type") == "kvm"
    assert found.find("os/type").attrib == {"arch": "x86_64", "machine": "pc-i440fx-7.2"}
    assert found.find("cpu").attrib == {"mode": "custom", "match": "exact", "check": "partial"}
    assert (found.findtext("cpu/model"), found.find("cpu/model").get("fallback")) == ("qemu64", "forbid")
    assert (found.findtext("memory"), found.find("memory").get("unit"), found.findtext("vcpu")) == ("1", "MiB", "1")
    assert found.findtext("genid") == "", "libvirt draws it"
    assert found.findtext("name") == NAME and found.findtext("uuid") == instance_uuid(NAME) == "84650ad6-d989-592a-876b-dfcf2b28d20a"


def test_it_has_libvirt_leave_its_files_alone_whatever_that_does_for_others():
    label = domain().find("seclabel[@model='dac']")
    assert label.attrib == {"type": "static", "model": "dac", "relabel": "no"} and label.findtext("label") == "libvirt-qemu:libvirt-qemu"


def test_what_is_restored_has_the_generation_of_its_image_or_none():
    xml = render(manifest(), PLACEMENT, Places())
    drawn = "7f6d1bd2-6e4b-4d0c-9a53-0d1f3c1f9a10"
    assert ET.fromstring(as_saved(xml, drawn)).findtext("genid") == drawn
    assert ET.fromstring(as_saved(xml, None)).find("genid") is None


def test_the_whole_chain_of_a_disk_is_spelled_out():
    disk = domain().find("devices/disk")
    assert disk.find("source").get("file") == f"/var/lib/vmatrix/instances/{NAME}/disk-root.qcow2"
    backing = disk.find("backingStore")
    assert backing.get("type") == "file" and backing.find("format").get("type") == "qcow2"
    assert backing.find("source").get("file") == BLOBS["b" * 64]
    end = backing.find("backingStore")
    assert end is not None and len(end) == 0 and not end.attrib


def test_of_a_capsule_with_memory_the_frozen_overlay_lies_in_between():
    frozen = [{**manifest()["disks"][0], "overlay": {"sha256": "d" * 64, "size": 1}}]
    above = domain(manifest(disks=frozen)).find("devices/disk/backingStore")
    below = above.find("backingStore")
    assert [each.find("source").get("file") for each in (above, below)] == [BLOBS["d" * 64], BLOBS["b" * 64]]
    assert {each.find("format").get("type") for each in (above, below)} == {"qcow2"}
    end = below.find("backingStore")
    assert end is not None and len(end) == 0 and not end.attrib


def test_libvirt_is_not_asked_for_a_vlan_on_a_plain_bridge():
    port = domain(placement=PLACEMENT._replace(virtualport=None)).find("devices/interface")
    assert port.find("source").get("bridge") == "br-mesh" and port.find("target").get("dev") == tap_name(NAME)
    assert port.find("virtualport") is None and port.find("vlan") is None


def test_the_port_has_its_vlan_and_no_offloads():
    port = domain().find("devices/interface")
    assert port.find("virtualport").get("type") == "openvswitch" and port.find("source").get("bridge") == "br-mesh"
    assert [tag.get("id") for tag in port.findall("vlan/tag")] == ["101"]
    assert port.find("mac").get("address") == "52:54:00:12:34:56" and port.find("target").get("dev") == tap_name(NAME)
    assert set(port.find("driver/host").attrib.values()) == set(port.find("driver/guest").attrib.values()) == {"off"}
    assert len(tap_name(NAME)) <= 15 and tap_name(NAME) != tap_name("shop-2.example.com")


def test_a_guest_without_a_kernel_boots_its_disk():
    found = domain(manifest(boot=None))
    assert found.find("os/boot").get("dev") == "hd" and found.find("os/kernel") is None
    assert domain().findtext("os/kernel") == BLOBS["c" * 64] and domain().findtext("os/initrd") == BLOBS["d" * 64]
    without = manifest(boot={"kernel": {"sha256": "c" * 64, "size": 1}, "initrd": None, "cmdline": ""})
    assert domain(without).find("os/initrd") is None and domain(without).find("os/cmdline") is None


def test_nothing_else_is_given_to_the_guest():
    devices = {child.tag for child in domain().find("devices")}
    assert devices == {"emulator", "disk", "interface", "serial", "console", "rng", "controller", "memballoon"}
    assert domain().find("devices/memballoon").get("model") == "none"
    assert [each.get("model") for each in domain().findall("seclabel")] == ["dac"], "AppArmor confines it as it does any other"


def test_what_helps_the_clock_is_there_where_the_capsule_says_so():
    assert domain().find("clock/timer") is None and domain().find("devices/channel") is None
    assert domain(manifest(clock={"catch_up": True})).find("clock/timer").attrib == {"name": "rtc", "tickpolicy": "catchup"}
    assert domain(manifest(clock={"agent": True})).find("devices/channel/target").attrib == {"type": "virtio", "name": "org.qemu.guest_agent.0"}


@pytest.mark.parametrize(
    "where, value",
    [
        (("guest", "mac"), "52:54:00:12:34:56'/><x"),
        (("guest", "mac"), None),
        (("disks", 0, "name"), "../../etc"),
        (("disks", 0, "format"), "vmdk"),
        (("boot", "cmdline"), "console=ttyS0\x00"),
        (("machine", "type"), "pc\n"),
    ],
)
def test_what_cannot_be_part_of_a_domain_is_refused(where, value):
    content = copy.deepcopy(manifest())
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(InvalidInput):
        domain(content)


@pytest.mark.parametrize("change", [{"name": "../../x"}, {"name": "shop-1.example.com/../x"}, {"vlan": 0}, {"vlan": 4095}, {"accelerator": "hvf"}])
def test_a_wrong_placement_is_refused(change):
    with pytest.raises(InvalidInput):
        domain(placement=PLACEMENT._replace(**change))


@given(cmdline=st.text(max_size=60), machine=st.text(min_size=1, max_size=30), cpu=st.text(min_size=1, max_size=30))
def test_no_text_becomes_an_element(cmdline, machine, cpu):
    content = manifest(boot={**manifest()["boot"], "cmdline": cmdline}, machine={**manifest()["machine"], "type": machine, "cpu": cpu})
    plain = [element.tag for element in domain().iter() if element.tag != "cmdline"]
    try:
        found = domain(content)
    except InvalidInput:
        assert not (cmdline + machine + cpu).isprintable()
        return
    assert [element.tag for element in found.iter() if element.tag != "cmdline"] == plain
    assert (found.findtext("os/cmdline") or "") == cmdline
    assert (found.find("os/type").get("machine"), found.findtext("cpu/model")) == (machine, cpu)
