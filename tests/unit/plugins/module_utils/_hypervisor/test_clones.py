# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many instances from one memory image, which none of them owns."""

from __future__ import annotations

import os
import threading
import time
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import home, saved, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.several import ensure_all
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, manifest, qcow2

CLONES = [f"shop-{ordinal}.example.com" for ordinal in range(2, 6)]


@pytest.fixture
def warm(rm):
    """An RM with a capsule that holds the memory of shop-1.example.com."""
    rm.order("running")
    rm.order("suspended")
    os.makedirs(f"{rm.root}/blobs")
    os.rename(rm.places.memory(NAME), f"{rm.root}/blobs/{'e' * 64}")
    with open(f"{rm.root}/blobs/{'f' * 64}", "wb") as handle:
        handle.write(qcow2())
    rm.order("absent", epoch=1)
    disk = {**manifest()["disks"][0], "overlay": {"sha256": "f" * 64, "size": 72}}
    rm.capsules["warm"] = manifest(version="warm", memory={"accelerator": "tcg", "blob": {"sha256": "e" * 64, "size": 1}}, disks=[disk])
    return rm


def image(rm):
    with open(f"{rm.root}/blobs/{'e' * 64}", "rb") as handle:
        return handle.read()


def test_all_come_from_one_image_at_the_same_time_each_under_its_name_and_address(warm):
    before = image(warm)

    def start(number, name):
        warm.order("running", name=name, capsule="warm", record={"fabric_address": f"192.168.1.{254 - number}"})

    threads = [threading.Thread(target=start, args=each) for each in enumerate(CLONES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    drawn = {ET.fromstring(warm.connection.domains[name].xml).findtext("genid") for name in CLONES}
    assert len(drawn) == len(CLONES), "each is a generation of its own"
    born = [(name, origin) for name, origin in warm.connection.lives if name in CLONES]
    assert sorted(name for name, _origin in born) == CLONES and len({origin for _name, origin in born}) == 1
    guarded = {name: warm.ports.guarded[tap_name(name)] for name in CLONES}
    assert guarded == {name: (101, "52:54:00:12:34:56", ["192.168.1.10/24"], f"192.168.1.{254 - number}") for number, name in enumerate(CLONES)}
    assert image(warm) == before
    assert {name: sorted(os.listdir(warm.places.directory(name))) for name in CLONES} == dict.fromkeys(CLONES, ["disk-root.qcow2", "instance.json"])


def test_each_asks_libvirt_over_a_connection_of_its_own(warm, monkeypatch):
    """libvirtd serves a few calls at a time for one."""
    opened, real = [], fake_libvirt.open
    monkeypatch.setattr(fake_libvirt, "open", lambda uri: (opened.append(uri), real(uri))[1])
    told = ensure_all(warm.host, [Wanted(name, "running", epoch=1, capsule="warm", vlan=101) for name in CLONES])
    assert [each.error for each in told] == [None] * len(CLONES) and len(opened) == len(CLONES)


def test_a_clone_goes_on_in_an_image_of_its_own(warm):
    warm.order("running", name=CLONES[0], capsule="warm")
    warm.order("suspended", name=CLONES[0])
    own = warm.places.memory(CLONES[0])
    assert not os.path.islink(own) and saved.belongs_to(own, CLONES[0]) and not saved.belongs_to(own, NAME)
    assert warm.order("running", name=CLONES[0]).action == "resumed"
    warm.order("stopped", name=CLONES[0], stop_force=True)
    assert warm.order("running", name=CLONES[0], capsule="warm").action == "started" and warm.connection.lives[-1][1] == "boot"


def test_a_clone_that_never_ran_is_suspended_and_resumes_from_the_capsule(warm):
    """The process died when all its files were there: the first life is still to come."""
    content = {"name": CLONES[0], "capsule": "warm", "manifest": warm.capsules["warm"], "vlan": 101, "record": None, "accelerator": "tcg"}
    home.furnish(warm.places, CLONES[0], content, warm.host.capsules.blobs(warm.capsules["warm"]))
    os.mkfifo(warm.places.pipe(CLONES[0]))
    assert state.find(warm.host, CLONES[0]).state == "suspended"
    assert warm.order("running", name=CLONES[0]).action == "resumed"
    assert warm.connection.lives[-1][1].startswith("image") and image(warm)


def test_a_standby_is_made_without_running_and_comes_to_life_when_it_is_resumed(warm):
    order = {"name": CLONES[0], "capsule": "warm", "vlan": 101, "epoch": 1}
    foretold = warm.order("suspended", check=True, **order)
    assert state.find(warm.host, CLONES[0]).state == "absent"
    made = warm.order("suspended", **order)
    assert (made.action, made.changed, made.after) == ("furnished", True, foretold.after) and made.after["state"] == "suspended"
    assert CLONES[0] not in [name for name, _origin in warm.connection.lives]
    assert not warm.order("suspended", **order).changed
    assert warm.order("running", name=CLONES[0]).action == "resumed"
    assert warm.connection.lives[-1][1].startswith("image") and image(warm)


def test_nothing_waits_that_has_no_memory(warm):
    with pytest.raises(Refused, match="cannot be suspended from the first: its capsule 1.0.0 holds no memory"):
        warm.order("suspended", name=CLONES[0], capsule="1.0.0")


@pytest.mark.parametrize("call", ["restoreFlags", "restoreFlags!", "resume"])
def test_a_clone_that_cannot_start_leaves_nothing_and_the_image_as_it_was(warm, call):
    before = image(warm)
    warm.connection.fail[call] = fake_libvirt.libvirtError("no")
    with pytest.raises(CommandFailed):
        warm.order("running", name=CLONES[0], capsule="warm")
    assert (state.find(warm.host, CLONES[0]).state, warm.leftovers(), warm.connection.domains, image(warm)) == ("absent", [], {}, before)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"LibvirtQemudSave\n",
        fake_libvirt.HEADER.pack(b"LibvirtQemudPart", 2, 4, 1, 0, 0) + b"<x/>stream",
        fake_libvirt.HEADER.pack(b"LibvirtQemudSave", 2, 4, 1, 3, 0) + b"<x/>stream",
        fake_libvirt.HEADER.pack(b"LibvirtQemudSave", 2, 1 << 31, 1, 0, 0) + b"<x/>stream",
        fake_libvirt.HEADER.pack(b"LibvirtQemudSave", 2, 400, 1, 0, 0) + b"<x/>",
    ],
)
def test_what_is_no_plain_memory_image_is_refused_before_anything_is_touched(warm, content):
    with open(f"{warm.root}/blobs/{'e' * 64}", "wb") as handle:
        handle.write(content)
    with pytest.raises(Refused, match="is not a plain memory image as libvirt saves it"):
        warm.order("running", name=CLONES[0], capsule="warm")
    assert state.find(warm.host, CLONES[0]).state == "absent" and warm.leftovers() == []


def test_a_frozen_overlay_that_points_elsewhere_is_refused(warm):
    with open(f"{warm.root}/blobs/{'f' * 64}", "wb") as handle:
        handle.write(qcow2(features=1 << 2))
    with pytest.raises(Refused, match="data file outside"):
        warm.order("running", name=CLONES[0], capsule="warm")
    assert state.find(warm.host, CLONES[0]).state == "absent" and warm.leftovers() == []


def test_a_long_stream_comes_through_whole_and_a_reader_that_goes_away_holds_nobody_up(tmp_path):
    path, pipe, stream = str(tmp_path / "image"), str(tmp_path / "pipe"), os.urandom(3 << 20)
    fake_libvirt.write_image(path, "<domain/>", "")
    with open(path, "ab") as handle:
        handle.write(stream)
    with saved.readable_as(path, NAME, "<domain>ours</domain>", pipe) as given, open(given, "rb") as handle:
        length = fake_libvirt.HEADER.unpack(handle.read(fake_libvirt.HEADER.size))[2]
        assert handle.read(length) == b"<domain>ours</domain>\0" and handle.read(1 + len(stream)) == b"\n" + stream
    began = time.monotonic()
    for read in (0, 10, 1 << 20):
        with saved.readable_as(path, NAME, "<domain>ours</domain>", pipe) as given:
            if read:
                with open(given, "rb") as handle:
                    handle.read(read)
    assert time.monotonic() - began < 5 and not os.path.exists(pipe)


def test_whoever_reads_an_image_that_fails_sees_an_end(tmp_path, monkeypatch):
    path, pipe = str(tmp_path / "image"), str(tmp_path / "pipe")
    fake_libvirt.write_image(path, "<domain/>", "life")

    def broken(*_arguments):
        raise OSError("the disk is broken")

    monkeypatch.setattr(os, "sendfile", broken)
    with saved.readable_as(path, NAME, "<domain>ours</domain>", pipe) as given, open(given, "rb") as handle:
        assert b"life" not in handle.read()


def test_several_orders_are_carried_out_at_once_and_one_that_fails_does_not_stop_the_others(warm):
    orders = [Wanted(name, "running", 1, "warm", 101, timeout=5.0) for name in CLONES]
    orders[1] = orders[1]._replace(capsule="none")
    foretold = ensure_all(warm.host, orders, check=True)
    assert warm.connection.lives[1:] == []
    told = ensure_all(warm.host, orders)
    assert [each.name for each in told] == CLONES and [each.error is None for each in told] == [True, False, True, True]
    assert [each.done and each.done.action for each in foretold] == [each.done and each.done.action for each in told] == ["started", None, "started", "started"]
    assert "no capsule none" in told[1].error.message
    assert not any(each.done.changed for each in ensure_all(warm.host, [orders[0], *orders[2:]]))
    with pytest.raises(InvalidInput, match="more than once"):
        ensure_all(warm.host, [orders[0], orders[0]])
