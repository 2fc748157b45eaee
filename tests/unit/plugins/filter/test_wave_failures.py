# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong in a wave, in one sentence per device."""

from __future__ import annotations

import pathlib

import yaml

from ansible_collections.vmatrix.mesh.plugins.filter.wave_failures import RESULTS, wave_failures

SKIPPED = {"changed": False, "skipped": True}
#: The tasks of the role that leaves these results.
WAVE = pathlib.Path(__file__).resolve().parents[4] / "roles" / "wave" / "tasks"


def test_all_well():
    assert not wave_failures([{"inventory_hostname": "rm-1", "wave_cutover": {"changed": True}, "wave_router": SKIPPED}])


def test_each_kind_of_failure():
    devices = [
        {"inventory_hostname": "rm-1", "wave_cutover": {"failed": True, "msg": "It did not arrive."}, "wave_router": SKIPPED},
        {"inventory_hostname": "gw-1", "wave_router": {"unreachable": True, "msg": "ssh: something long"}},
        {"inventory_hostname": "rm-2", "wave_published": {"failed": True, "msg": "It is stopped."}, "wave_instances": SKIPPED},
        {"inventory_hostname": "gw-2", "wave_router": SKIPPED},
        {"inventory_hostname": "gw-3"},
    ]
    assert wave_failures(devices) == [
        "rm-1: It did not arrive.",
        "gw-1: it does not answer.",
        "rm-2: It is stopped.",
        "gw-2: it was not asked.",
        "gw-3: it was not asked.",
    ]


def test_it_reads_what_a_wave_registers_and_forgets():
    forget, *unused = yaml.safe_load((WAVE / "main.yml").read_text(encoding="utf-8"))
    parts = [task for part in (WAVE / "part").iterdir() for task in yaml.safe_load(part.read_text(encoding="utf-8"))]
    assert set(RESULTS) == {task["register"] for task in parts} == set(forget["ansible.builtin.set_fact"])
