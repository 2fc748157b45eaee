# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publishing an instance with its memory: the life cycle is simulated, the store is real."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import image
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import capsules
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.publish import publish
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, manifest, qcow2

CLONE = "shop-2.example.com"


class Published:
    """An RM whose capsules lie in a real store."""

    def __init__(self, rm, tmp_path):
        self.rm, self.store = rm, Store(f"{rm.root}/store", f"{rm.root}/instances")
        os.makedirs(f"{rm.root}/store")

        def blob(content):
            path = tmp_path / "content"
            path.write_bytes(content)
            return self.store.add_file(str(path))

        content = manifest(boot=None, machine={**manifest()["machine"], "memory_mib": 16})
        content["disks"][0]["blob"] = blob(b"base")
        self.store.put_manifest(content)

    @property
    def host(self):
        return self.rm.host._replace(capsules=capsules(self.store))

    def order(self, state, name=NAME, **more):
        host = self.host
        original, type(self.rm).host = type(self.rm).host, property(lambda _rm: host)
        try:
            return self.rm.order(state, name=name, **more)
        finally:
            type(self.rm).host = original

    def publish(self, version="warm", name=NAME, check=False):
        return publish(self.host, self.store, name, version, 0.5, check)

    def content(self, blob):
        with open(self.store.blob_path(blob["sha256"]), "rb") as handle:
            return handle.read()

    def files(self):
        return sorted(os.listdir(f"{self.rm.root}/store/blobs/sha256"))


@pytest.fixture
def made(east, tmp_path):
    made = Published(east, tmp_path)
    made.order("running")
    written(made.rm, NAME)
    return made


def written(rm, name):
    """Let an instance have an overlay that looks like one."""
    with open(rm.places.overlay(name, "root"), "wb") as handle:
        handle.write(qcow2() + name.encode())


def test_a_running_instance_is_published_and_goes_on(made):
    foretold = made.publish(check=True)
    assert foretold.changed and foretold.manifest is None and len(made.rm.connection.lives) == 1
    done = made.publish()
    assert done.changed and done.outage > 0 and made.rm.found.state == "running"
    assert made.rm.connection.lives == [(NAME, "boot")], "it was not ended and begun again"
    assert made.rm.files() == ["disk-root.qcow2", "instance.json"]
    assert done.manifest == made.store.get("example.com", "shop", "warm")
    assert done.manifest["memory"]["accelerator"] == "tcg" and made.content(done.manifest["disks"][0]["overlay"]) == qcow2() + NAME.encode()
    assert fake_libvirt.read_image(made.store.blob_path(done.manifest["memory"]["blob"]["sha256"]))[0].findtext("name") == NAME
    for check in (True, False):
        again = made.publish(check=check)
        assert not again.changed and again.manifest == done.manifest and made.rm.connection.calls.count("snapshotCreateXML") == 1


def test_clones_begin_where_a_suspended_instance_is_and_so_does_it(made):
    made.order("suspended")
    done = made.publish()
    assert done.outage is None and made.rm.found.state == "suspended"
    assert made.order("running", name=CLONE, capsule="warm", epoch=1).action == "started"
    assert made.order("running").action == "resumed"
    (one, image_one), (two, image_two) = made.rm.connection.lives[-2:]
    assert (one, two) == (CLONE, NAME) and image_one == image_two
    made.order("suspended", name=CLONE)
    made.order("running", name=CLONE, capsule=None)
    assert made.store.problems(done.manifest, full=True) == []


def test_the_clone_of_a_clone_lies_on_the_base_again(made, monkeypatch):
    merged = []

    def merge(overlay, frozen, base):
        merged.append(base)
        with open(overlay, "rb") as upper, open(frozen, "ab") as lower:
            lower.write(upper.read())

    monkeypatch.setattr(image, "merge", merge)
    first = made.publish().manifest
    made.order("running", name=CLONE, capsule="warm")
    written(made.rm, CLONE)
    second = made.publish("warmer", CLONE).manifest
    frozen = made.content(first["disks"][0]["overlay"])
    assert made.content(second["disks"][0]["overlay"]) == frozen + qcow2() + CLONE.encode()
    assert merged == [made.store.blob_path(first["disks"][0]["blob"]["sha256"])]
    assert second["memory"]["blob"] != first["memory"]["blob"] and not [name for name in made.files() if name.startswith(".")]


def test_what_cannot_be_published_is_refused(made):
    with pytest.raises(NotFound, match="no instance shop-2.example.com"):
        made.publish(name=CLONE)
    with pytest.raises(Refused, match="exists and was not made from shop-1"):
        made.publish("1.0.0")
    made.publish()
    made.order("running", name=CLONE, capsule="warm")
    with pytest.raises(Refused, match="exists and was not made from shop-2"):
        made.publish(name=CLONE)
    made.order("stopped", stop_force=True)
    with pytest.raises(Refused, match="is stopped: only a running or suspended instance"):
        made.publish("cold")


@pytest.mark.parametrize("call", ["suspend", "snapshotCreateXML", "resume"])
def test_what_fails_leaves_nothing_behind_and_says_how_the_instance_is(made, call):
    before = made.files()
    made.rm.connection.fail[call] = fake_libvirt.libvirtError("no")
    with pytest.raises(CommandFailed) as caught:
        made.publish()
    assert made.files() == before and made.store.find("example.com", "shop", "warm") is None
    stands = call == "resume"
    assert made.rm.found.live == ("paused" if stands else "running")
    assert ("stood still for a copy of its memory, and its guest is paused now" in caught.value.message) == stands
    made.rm.connection.fail.clear()
    assert made.publish().changed and made.rm.found.live == "running"


def test_whom_somebody_paused_is_left_alone(made):
    made.rm.connection.domains[NAME].suspend()
    with pytest.raises(Refused, match="cannot be published: its guest is paused"):
        made.publish()
    assert made.rm.found.live == "paused"


def test_a_copy_that_fails_lets_the_instance_go_on(made, monkeypatch):
    before = made.files()
    os.unlink(made.rm.places.overlay(NAME, "root"))
    with pytest.raises((OSError, MeshError)):
        made.publish()
    assert made.files() == before and made.store.find("example.com", "shop", "warm") is None
    assert made.rm.found.live == "running"
