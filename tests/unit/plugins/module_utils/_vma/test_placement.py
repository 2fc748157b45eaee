# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which RM takes an instance, and why not."""

from __future__ import annotations

import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.placement import choose, count, left
from hypothesis import given
from hypothesis import strategies as st

GIB = 1 << 30


def rm(name, **different):
    return {
        "name": name,
        "address": name,
        "memory_mib": 512,
        "vcpus": 1,
        "disk_bytes": 10 * GIB,
        "machine_types": ["pc-i440fx-7.2"],
        "cpus": ["qemu64"],
        "accelerator": "tcg",
        "in_service": True,
        **different,
    }


def needs(**different):
    return {"memory_mib": 128, "vcpus": 1, "disk_bytes": GIB, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None, **different}


def on(name, **different):
    return {"rm": name, "requirements": needs(**different)}


def used(records):
    """Return what records take of each RM."""
    sums = {}
    for record in records:
        count(sums, record)
    return sums


def pick(requirements, machines, records=(), **different):
    return choose("hn-east", "shop-1.example.com", requirements, machines, used(records), 8, **different)


def test_the_rm_with_most_memory_left_is_chosen():
    assert pick(needs(), [rm("rm-1"), rm("rm-2", memory_mib=640)]) == "rm-2"
    assert pick(needs(), [rm("rm-1"), rm("rm-2", memory_mib=640)], [on("rm-2", memory_mib=256)]) == "rm-1"


def test_ties_go_by_name():
    assert pick(needs(), [rm("rm-2"), rm("rm-1"), rm("rm-3")]) == "rm-1"


def test_a_pin_is_kept_even_if_another_has_more_room():
    assert pick(needs(), [rm("rm-1"), rm("rm-2", memory_mib=640)], pin="rm-1") == "rm-1"


def test_an_exact_fit_fits():
    assert pick(needs(memory_mib=512, vcpus=8, disk_bytes=10 * GIB), [rm("rm-1")]) == "rm-1"


@pytest.mark.parametrize(
    ("requirements", "machine", "reason"),
    [
        (needs(memory_mib=576), {}, "lacks 64 MiB of memory"),
        (needs(vcpus=9), {}, "lacks 1 vCPU"),
        (needs(vcpus=10), {}, "lacks 2 vCPUs"),
        (needs(disk_bytes=10 * GIB + 1), {}, "lacks 1 MiB of disk"),
        (needs(), {"in_service": False}, "is out of service"),
        (needs(machine_type="pc-q35-7.2"), {}, "does not offer machine type pc-q35-7.2"),
        (needs(cpu="Skylake-Server"), {}, "does not offer CPU Skylake-Server"),
        (needs(accelerator="kvm"), {}, "has accelerator tcg, not kvm"),
    ],
)
def test_the_reason_is_said(requirements, machine, reason):
    with pytest.raises(Refused) as caught:
        pick(requirements, [rm("rm-1", **machine)])
    assert caught.value.message == f"hn-east has no room for shop-1.example.com: rm-1 {reason}."


def test_every_rm_has_its_reason_in_one_sentence():
    with pytest.raises(Refused) as caught:
        pick(needs(memory_mib=576), [rm("rm-east-2", in_service=False), rm("rm-east-1"), rm("rm-east-3")], exclude=["rm-east-3"])
    assert caught.value.message == (
        "hn-east has no room for shop-1.example.com: rm-east-1 lacks 64 MiB of memory, rm-east-2 is out of service, rm-east-3 is excluded."
    )


def test_without_rms_and_with_an_unknown_pin():
    with pytest.raises(Refused, match=r"^hn-east has no room for shop-1.example.com: it has no RM\.$"):
        pick(needs(), [])
    with pytest.raises(Refused, match=r"^hn-east has no room for shop-1.example.com: rm-9 is not one of its RMs\.$"):
        pick(needs(), [rm("rm-1")], pin="rm-9")


SIZES = st.builds(needs, memory_mib=st.integers(1, 300), vcpus=st.integers(1, 5), disk_bytes=st.integers(0, 4 * GIB))


@given(st.lists(SIZES, max_size=20))
def test_no_sequence_overfills_an_rm(wanted):
    machines, records = [rm("rm-1"), rm("rm-2", memory_mib=700, vcpus=2)], []
    for requirements in wanted:
        try:
            records.append({"rm": pick(requirements, machines, records), "requirements": requirements})
        except Refused:
            for machine in machines:
                assert any(left(machine, used(records), 8)[key] < requirements[key] for key in ("memory_mib", "vcpus", "disk_bytes"))
    assert all(number >= 0 for machine in machines for number in left(machine, used(records), 8).values())
