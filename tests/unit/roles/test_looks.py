# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role does what it describes to the playbook site: what its tasks give to modules of ours is what the look gives to their calls."""

from __future__ import annotations

import pytest
import yaml
from mesh_lab import ROOT

#: The call that looks for what a module does.
CALLS = {
    "dns_key": "key",
    "dns_record_set": "records",
    "dns_zone": "zone",
    "rm_info": "offer",
    "switch": "switch",
    "vma_hn": "hn",
    "vpn_authority": "authority",
    "vpn_certificate": "certificate",
    "vpn_responder": "responder",
    "vpn_wrapping_key": "wrapping_key",
}
#: What controllers compare instead (tasks/compare.yml), and what no look needs.
COMPARED, NEVER = {"vma_rm"}, {"stage", "engines"}
#: Modules that are told by other words: through a variable, with what is omitted, with what an earlier task returned.
SAID_OTHERWISE = {"dns_key", "dns_record_set", "dns_zone", "rm_info", "vpn_responder"}
#: Tasks for an operation, not for setting up.
OPERATIONS = {"certificate.yml"}


def tasks(found):
    for task in found:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, ()))


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def used(role):
    """Return what the tasks of a role give to modules of ours, by module."""
    found = [task for path in (ROOT / "roles" / role / "tasks").glob("*.yml") if path.name not in OPERATIONS for task in tasks(read(path))]
    ours = [(key.rpartition(".")[2], options or {}) for task in found for key, options in task.items() if key.startswith("vmatrix.mesh.")]
    return [(module, options) for module, options in ours if module not in COMPARED | NEVER]


def described(role):
    """Return what the look of a role gives to each call."""
    variables = read(ROOT / "roles" / role / "vars" / "main.yml")
    calls = [call for name, value in variables.items() if name.endswith("_description") for call in value]
    wanted = {"key": "dns_key_wanted", "zone": "dns_zone_wanted", "records": "dns_host_wanted"} if role == "dns" else {}
    return {**{each["call"]: each.get("arguments", {}) for each in calls}, **{call: variables[name] for call, name in wanted.items()}}


@pytest.mark.parametrize("role", ["dns", "gateway", "rm", "vma", "vpn"])
def test_modules_and_looks_are_given_the_same(role):
    looked = described(role)
    for module, options in used(role):
        arguments = looked[CALLS[module]]
        assert set(options) == set(arguments), module
        if module not in SAID_OTHERWISE:
            assert options == arguments, module
